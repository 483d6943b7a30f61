"""ldmd's key and certificate, made at the first start: who this server is to the managers of others (migration).

An EC key (P-256) and a certificate signed with it, with the machine's name; both in the manager's directory, the key
for its owner alone. `trust/` holds the certificates of others, NAME.pem each, which an administrator puts there.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ldmd.messages import refuse

KEY, CERTIFICATE, TRUST = "server.key", "server.crt", "trust"
YEARS = 20
"""A server's certificate is trusted by a copy of it, not by an authority: it need not end before the server does."""


def certificates(directory: Path, name: str) -> tuple[Path, Path]:
    """(certificate, key), made where there is no key. Raises RefusedError where they do not fit, or others may read."""
    key_path, certificate_path = directory / KEY, directory / CERTIFICATE
    (directory / TRUST).mkdir(mode=0o700, exist_ok=True)
    if not key_path.exists():
        _make(key_path, certificate_path, name)
    _check(key_path, certificate_path)
    return certificate_path, key_path


def _make(key_path: Path, certificate_path: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                       critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # the key last, and only together are they used: a certificate without its key is made anew
    _write(certificate_path, certificate.public_bytes(Encoding.PEM), 0o644)
    _write(key_path, private, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole and durable, or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _check(key_path: Path, certificate_path: Path) -> None:
    if key_path.exists() and not certificate_path.exists():
        refuse("certificate.missing", path=certificate_path, other=key_path)
    mode = stat.S_IMODE(key_path.stat().st_mode)
    if mode & 0o077:
        refuse("certificate.open", path=key_path, mode=f"{mode:04o}")
    try:
        key = load_pem_private_key(key_path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (ValueError, TypeError, OSError) as error:
        refuse("certificate.damaged", key=key_path, certificate=certificate_path, problem=error)
    encodings = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*encodings) != certificate.public_key().public_bytes(*encodings):
        refuse("certificate.damaged", key=key_path, certificate=certificate_path, problem="they do not belong together")
