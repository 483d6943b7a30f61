"""Where another manager is, and which certificate it must have: what `host` of `ldm migrate-domain` stands for.

In this order: a table of hosts.toml; a machine of the same S4V_HOME, whose ldmd publishes its address beside its
sockets; a DNS name or address, optionally with a port, at the product's port. Which certificate a peer must have is
known before anything is said to it: from trust/HOST.pem, the fingerprint in hosts.toml, or the same home's own files.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from emulator.places import Place, PlaceError, machine_names, place
from ldmd.messages import refuse
from ldmd.migrator.settings import HOSTS, PORT, read_hosts
from ldmd.security import CERTIFICATE, TRUST

PUBLISHED = "ldmd.peer"
"""In the run directory: {"address", "port"} of a manager that listens."""
CERTIFICATE_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`fingerprints`: SHA-256 of the certificates it may have; none: it is not known. `same_home`: shares our files."""

    name: str
    address: str
    port: int
    fingerprints: frozenset[str]
    same_home: bool = False


def fingerprint(der: bytes) -> str:
    """Of a certificate."""
    return hashlib.sha256(der).hexdigest()


def read_certificate(path: Path) -> bytes:
    """DER of a PEM file, b"" where there is none or it is none."""
    return _read(path)[0]


def _read(path: Path) -> tuple[bytes, str]:
    """DER of a PEM file, or why it cannot be had; neither where there is no file."""
    try:
        if path.stat().st_size > CERTIFICATE_BYTES:
            return b"", f"it has more than {CERTIFICATE_BYTES} bytes"
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER), ""
    except FileNotFoundError:
        return b"", ""
    except OSError as error:
        return b"", error.strerror or str(error)
    except ValueError:
        return b"", "it is no certificate in PEM"


def trusted(directory: Path) -> dict[str, str]:
    """Fingerprints of trust/ by host name."""
    found = {}
    for path in sorted((directory / TRUST).glob("*.pem")):
        der = read_certificate(path)
        if der:
            found[path.stem] = fingerprint(der)
    return found


def _trust_problem(directory: Path, host: str) -> str:
    """Why trust/HOST.pem, which is there, is of no use."""
    return "" if "/" in host or len(host) > 200 else _read(directory / TRUST / f"{host}.pem")[1]


def unreadable_trust(directory: Path) -> tuple[str, ...]:
    """Files of trust/ that trust nobody, each with why."""
    found = ((path.name, _read(path)[1]) for path in sorted((directory / TRUST).glob("*.pem")))
    return tuple(f"{name}: {problem}" for name, problem in found if problem)


def publish(where: Place, address: str, port: int) -> None:
    """Let the machines of this home find the manager."""
    path = where.run / PUBLISHED
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"address": address, "port": port}), encoding="utf-8")
    os.chmod(fresh, 0o600)
    fresh.replace(path)


def withdraw(where: Place) -> None:
    """It does not listen any more."""
    (where.run / PUBLISHED).unlink(missing_ok=True)


def find_peer(host: str, directory: Path) -> Peer:
    """Where it is. `directory`: of this manager. Raises RefusedError migration.host, migration.connect (a machine
    of this home that does not listen), migration.trust-file, settings.file.
    """
    known = trusted(directory)
    if host not in known and (problem := _trust_problem(directory, host)):
        refuse("migration.trust-file", host=host, problem=problem)
    pins = frozenset({known[host]}) if host in known else frozenset()
    entry = read_hosts(directory / HOSTS).get(host)
    if entry is not None:
        listed = {entry.fingerprint} if entry.fingerprint else set()
        return Peer(name=host, address=entry.address, port=entry.port, fingerprints=pins | listed)
    near = _neighbour(host)
    if near is not None:
        return Peer(name=host, address=near.address, port=near.port, fingerprints=near.fingerprints | pins,
                    same_home=True)
    if host in machine_names():
        on = place(host).on
        refuse("migration.connect", host=host,
               problem=f"the ldmd of {host} does not listen" if on else f"machine {host} of this home is off",
               help=f"`ldmd --machine {host}` starts it" if on else f"`sun4v power-on {host}`")
    address, port = host, PORT
    if host.count(":") == 1 and host.rpartition(":")[2].isdecimal():
        address, number = host.split(":")
        port = int(number)
    if not address or not 0 < port < 65536 or len(address) > 255 or not address.isprintable() or "/" in address:
        refuse("migration.host", host=host)
    if address in known:
        pins |= {known[address]}
    return Peer(name=host, address=address, port=port, fingerprints=pins)


def _neighbour(host: str) -> Peer | None:
    """A machine of this home whose manager listens."""
    try:
        there = place(host)
    except PlaceError:
        return None
    try:
        data = json.loads((there.run / PUBLISHED).read_text(encoding="utf-8"))
        address, port = str(data["address"]), int(data["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    der = read_certificate(there.manager / CERTIFICATE)
    if address in ("0.0.0.0", "::"):
        address = "127.0.0.1"
    return Peer(name=host, address=address, port=port, fingerprints=frozenset({fingerprint(der)} if der else ()),
                same_home=True)
