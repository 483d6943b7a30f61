"""Who has no right to come in, and tries: old TLS, huge lengths, one byte at a time, all places, other's sessions."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from migrator_support import Gate, Pair, Site, until
from test_migrator_security import knock, pin, stranger

from ldmd.migrator.greeting import RefusedGreetingError
from ldmd.migrator.link import PREAMBLE, Identity, Pace, connect
from ldmd.migrator.listener import MOST
from ldmd.migrator.passwords import FILE, check_password, set_password


def unchanged(site: Site) -> tuple[Any, ...]:
    """What a stranger must not change."""
    store = site.manager.store
    return site.manager.configuration, site.migrations.attempts(), site.means.targets.uuids(), store.history(50)


def raw(site: Site, *, source: str = "127.0.0.1", seconds: float = 30.0) -> socket.socket:
    return socket.create_connection(site.address, timeout=seconds, source_address=(source, 0))


def ended(sock: socket.socket) -> bool:
    """Did the other side hang up, without a word?"""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_old_tls_is_not_spoken(pair: Pair, tmp_path: Path) -> None:
    identity, before = stranger(tmp_path), unchanged(pair.beta)
    with raw(pair.beta) as sock:
        sock.sendall(PREAMBLE + len(identity.der).to_bytes(2, "big") + identity.der)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(identity.certificate, identity.key)
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(sock)
    assert unchanged(pair.beta) == before


def test_no_tls_and_no_certificate(pair: Pair) -> None:
    """What is no certificate, a huge one, and words in clear."""
    before = unchanged(pair.beta)
    for said in (b"GET / HTTP/1.0\r\n\r\n", PREAMBLE + b"\xff\xff" + bytes(65535), PREAMBLE + b"\0\0",
                 PREAMBLE + b"\0\x10" + bytes(16)):
        with raw(pair.beta) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(said)
            assert ended(sock)
    assert unchanged(pair.beta) == before


@pytest.mark.parametrize("length", [0, 16385, 1 << 24, (1 << 32) - 1])
def test_a_greeting_of_that_length_is_not_waited_for(pair: Pair, tmp_path: Path, length: int) -> None:
    before = unchanged(pair.beta)
    with connect(*pair.beta.address, pin(pair.beta), identity=stranger(tmp_path), seconds=30) as sock:
        sock.sendall(length.to_bytes(4, "big") + b"x")
        assert ended(sock)
    assert unchanged(pair.beta) == before


def test_one_byte_at_a_time_gets_no_more_time(tmp_path: Path) -> None:
    """The whole greeting has its seconds, not each read of it."""
    pair = Pair(tmp_path, pace=Pace(greeting_seconds=1.0))
    with raw(pair.beta) as sock:
        sock.setblocking(True)
        sock.settimeout(0.05)
        for byte in PREAMBLE + (500).to_bytes(2, "big") + bytes(500):  # 25 s of it
            try:
                sock.sendall(bytes((byte,)))
                if sock.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            raise AssertionError("it was listened to for ever")
    pair.close()


def test_who_takes_all_places_leaves_one_to_others(pair: Pair) -> None:
    """Connections that say nothing, from one address: from another one a manager comes in at once."""
    mute = [raw(pair.beta, source="127.0.0.2") for _ in range(MOST + 4)]
    listener = pair.beta.migrations._door._listener
    assert listener is not None
    until(lambda: len(listener._greeting) == MOST)
    assert knock(pair.beta, pair.alpha.identity).machine == "beta"
    assert sum(1 for each in mute if not _open(each)) >= 5  # four had no place, one gave his
    for each in mute:
        each.close()
    assert pair.move().done().done


def _open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_user_who_does_not_exist_costs_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long the answer takes tells nothing: one scrypt of the same size, whoever is named."""
    path, sizes = tmp_path / FILE, list[tuple[int, int, int, int]]()
    set_password(path, "root", "secret")
    scrypt = hashlib.scrypt

    def counted(password: bytes, *, n: int, r: int, p: int, **more: Any) -> bytes:
        sizes.append((n, r, p, int(more.get("dklen", 64))))
        return scrypt(password, n=n, r=r, p=p, **more)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    for user, password in (("root", "wrong"), ("nobody", "secret"), ("", ""), ("root", "x" * 100_000)):
        assert not check_password(path, user, password)
    assert len(sizes) == 4 and len(set(sizes)) == 1


def test_a_session_is_of_the_certificate_that_began_it(pair: Pair, tmp_path: Path) -> None:
    """While a domain moves, another server that knows its uuid and number does not get into its session; nor does one
    that shows the right certificate and has another key."""
    gate = Gate(pair, "source.copied")
    moving = pair.move()
    gate.reached()
    mallory = stranger(tmp_path)
    before = unchanged(pair.beta)
    with pytest.raises(RefusedGreetingError):
        knock(pair.beta, mallory, uuid=pair.uuid, how="session", mid=1)
    both = Identity(pair.alpha.identity.certificate, mallory.key)
    with pytest.raises((OSError, ValueError)):
        connect(*pair.beta.address, pin(pair.beta), identity=both, seconds=10)
    assert unchanged(pair.beta)[0] == before[0]
    gate.open()
    assert moving.done().done and pair.beta.runs(pair.uuid)
