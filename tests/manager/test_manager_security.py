"""Key and certificate: made once, held against openssl, never used when they do not fit or are open to others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ldmd.messages import RefusedError
from ldmd.security import CERTIFICATE, KEY, TRUST, certificates


def openssl(*arguments: str) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path, "alpha")
    assert (certificate, key) == (tmp_path / CERTIFICATE, tmp_path / KEY)
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / TRUST).stat().st_mode & 0o777 == 0o700
    before = certificate.read_bytes(), key.read_bytes()
    certificates(tmp_path, "alpha")
    assert (certificate.read_bytes(), key.read_bytes()) == before
    assert not list(tmp_path.glob("*.new"))


def test_openssl_takes_them(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path, "alpha")
    text = openssl("x509", "-in", str(certificate), "-noout", "-text")
    assert "CN = alpha" in text and "DNS:alpha" in text and "CA:FALSE" in text and "prime256v1" in text
    # what the product's procedure has an administrator do with a copy of it (migration, certificates)
    assert "OK" in openssl("verify", "-CAfile", str(certificate), str(certificate))
    assert openssl("x509", "-in", str(certificate), "-noout", "-pubkey") == openssl("pkey", "-in", str(key), "-pubout")


def test_two_machines_have_two(tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        (tmp_path / name).mkdir()
        certificates(tmp_path / name, name)
    assert (tmp_path / "alpha" / KEY).read_bytes() != (tmp_path / "beta" / KEY).read_bytes()


def test_a_start_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path, "alpha")
    key.unlink()  # the certificate is written first
    (tmp_path / (KEY + ".new")).write_text("half")
    certificates(tmp_path, "alpha")
    assert openssl("x509", "-in", str(certificate), "-noout", "-pubkey") == openssl("pkey", "-in", str(key), "-pubout")


def spoil_mode(directory: Path) -> None:
    (directory / KEY).chmod(0o640)


def spoil_key(directory: Path) -> None:
    (directory / KEY).write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def spoil_certificate(directory: Path) -> None:
    (directory / CERTIFICATE).write_text("no certificate")


def lose_certificate(directory: Path) -> None:
    (directory / CERTIFICATE).unlink()


def exchange(directory: Path) -> None:
    (directory / "other").mkdir()
    certificates(directory / "other", "beta")
    (directory / "other" / CERTIFICATE).rename(directory / CERTIFICATE)


@pytest.mark.parametrize(("spoil", "code", "words"), [
    (spoil_mode, "certificate.open", "0640"), (spoil_key, "certificate.damaged", ""),
    (spoil_certificate, "certificate.damaged", ""), (lose_certificate, "certificate.missing", CERTIFICATE),
    (exchange, "certificate.damaged", "do not belong together")])
def test_what_does_not_fit_is_refused_and_left(tmp_path: Path, spoil: object, code: str, words: str) -> None:
    certificates(tmp_path, "alpha")
    assert callable(spoil)
    spoil(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("server.*")}
    with pytest.raises(RefusedError) as caught:
        certificates(tmp_path, "alpha")
    assert caught.value.code == code and words in caught.value.text and caught.value.remedy
    assert {path.name: path.read_bytes() for path in tmp_path.glob("server.*")} == before
