"""Who may come in, and that who may not learns nothing and changes nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from migrator_support import Pair, Site, until

from emulator.hvctl.wire import encode
from ldmd.messages import RefusedError
from ldmd.migrator import connector, greeting
from ldmd.migrator.greeting import Join, RefusedGreetingError, common_version, introduce
from ldmd.migrator.link import PREAMBLE, Identity, Link, LinkError, Pace, PinError, accept, connect
from ldmd.migrator.passwords import FILE, Guesses, check_password, set_password
from ldmd.migrator.peers import find_peer, fingerprint, read_certificate
from ldmd.migrator.settings import read_hosts, read_settings
from ldmd.security import certificates

UUID = "00000000-0000-4000-8000-00000000000a"


def stranger(tmp_path: Path, name: str = "mallory") -> Identity:
    directory = tmp_path / name
    directory.mkdir()
    return Identity(*certificates(directory, name))


def pin(site: Site) -> frozenset[str]:
    return frozenset({fingerprint(read_certificate(site.directory / "server.crt"))})


def knock(site: Site, identity: Identity, **join: Any) -> greeting.Welcome:
    sock = connect(*site.address, pin(site), identity=identity, seconds=10)
    try:
        return introduce(sock, Join(**({"uuid": UUID, "how": "certificate", "machine": "m"} | join)), seconds=10)
    finally:
        sock.close()


@pytest.mark.parametrize("join", [
    {"how": "certificate"}, {"how": "session", "mid": 1}, {"how": "password", "user": "root", "password": "wrong"},
    {"how": "password", "user": "nobody", "password": "secret"}, {"how": "password", "user": "root"}])
def test_a_stranger_is_told_the_same_whatever_was_wrong(pair: Pair, tmp_path: Path, join: dict[str, Any]) -> None:
    identity = stranger(tmp_path)
    before = pair.beta.manager.configuration
    with pytest.raises(RefusedGreetingError) as caught:
        knock(pair.beta, identity, **join)
    assert caught.value.why == "authentication"
    assert pair.beta.migrations.attempts() == () and pair.beta.manager.configuration == before
    assert pair.beta.manager.store.get(f"migration.target.{UUID}") is None
    assert pair.beta.means.targets.uuids() == ()


def test_guesses_are_slowed_for_an_address_and_the_right_one_too(pair: Pair, tmp_path: Path) -> None:
    identity = stranger(tmp_path)
    for _ in range(3):
        with pytest.raises(RefusedGreetingError):
            knock(pair.beta, identity, how="password", user="root", password="wrong")
    with pytest.raises(RefusedGreetingError):  # now it must wait, even with the right one
        knock(pair.beta, identity, how="password", user="root", password="secret")
    pair.beta.clock.advance(2.0)
    assert knock(pair.beta, identity, how="password", user="root", password="secret").machine == "beta"


def test_the_pauses_double_up_to_a_bound() -> None:
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    pauses = []
    for _ in range(12):
        start = now[0]
        guesses.wrong("a")
        while guesses.blocked("a"):
            now[0] += 0.5
        pauses.append(now[0] - start)
    assert pauses == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert not guesses.blocked("b")
    guesses.wrong("a")
    guesses.right("a")
    assert not guesses.blocked("a")


def test_a_session_may_speak_of_its_own_domain_only(pair: Pair) -> None:
    assert pair.move().done().done
    assert knock(pair.beta, pair.alpha.identity, uuid=pair.uuid, how="session", mid=1).greatest == 1
    with pytest.raises(RefusedGreetingError):
        knock(pair.beta, pair.alpha.identity, how="session", mid=1)
    with pytest.raises(RefusedGreetingError):
        knock(pair.beta, pair.beta.identity, uuid=pair.uuid, how="session", mid=1)


def test_with_certificates_both_sides_must_trust(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    options = {"certificates": True, "password": None}
    there = pair.beta.directory / "trust" / "alpha.pem"
    here = pair.alpha.directory / "trust" / "beta.pem"
    saved = there.read_bytes(), here.read_bytes()
    there.unlink()
    assert pair.move(**options).refused() == "migration.authentication"
    there.write_bytes(saved[0])
    here.unlink()
    assert pair.move(**options).refused() == "migration.own-certificate"
    here.write_bytes(saved[1])
    assert pair.move(**options).done().done
    pair.close()


def test_a_home_in_common_is_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -c it is the certificate in trust/ that counts, not the one that the neighbour's files have."""
    pair = Pair(tmp_path)
    monkeypatch.setattr(connector, "find_peer", lambda host, directory: replace(
        find_peer(host, directory), fingerprints=find_peer(host, directory).fingerprints | pin(pair.beta)))
    here = pair.alpha.directory / "trust" / "beta.pem"
    here.write_bytes((pair.alpha.directory / "server.crt").read_bytes())
    assert pair.move(certificates=True, password=None).refused() == "migration.certificate"
    here.unlink()
    assert pair.move(certificates=True, password=None).refused() == "migration.own-certificate"
    assert pair.move().done().done
    pair.close()


@pytest.mark.parametrize(("data", "problem"), [(b"", "it is no certificate in PEM"), (b"x" * 9000, "more than 8192"),
                                               (None, "Is a directory")])
def test_a_certificate_that_cannot_be_read_is_named(
        pair: Pair, data: bytes | None, problem: str) -> None:
    """At both ends: here to the person, there in the log."""
    here, there = pair.alpha.directory / "trust" / "beta.pem", pair.beta.directory / "trust" / "alpha.pem"
    kept = here.read_bytes()
    for path in (here, there):
        path.unlink()
        path.mkdir() if data is None else path.write_bytes(data)
    moving = pair.move(certificates=True, password=None)
    assert moving.refused() == "migration.trust-file"
    assert moving.error is not None and moving.error.cause.startswith("trust/beta.pem: ")
    assert problem in moving.error.cause
    here.rmdir() if data is None else here.unlink()
    here.write_bytes(kept)
    assert pair.move(certificates=True, password=None).refused() == "migration.authentication"
    assert any("trust/alpha.pem: " in line and problem in line for line in pair.beta.lines)


def test_oneself_by_another_name_is_no_target(pair: Pair) -> None:
    (pair.alpha.directory / "hosts.toml").write_text(
        f'[gamma]\naddress = "127.0.0.1"\nport = {pair.alpha.address[1]}\n'
        f'fingerprint = "{next(iter(pin(pair.alpha)))}"\n')
    assert pair.move(target="gamma").refused() == "migration.itself"
    assert pair.alpha.runs(pair.uuid) and pair.alpha.means.sources.uuids() == ()


def test_a_target_that_is_not_who_it_should_be_is_told_nothing(pair: Pair) -> None:
    wrong = "0" * 64
    (pair.alpha.directory / "trust" / "beta.pem").unlink()
    (pair.alpha.directory / "hosts.toml").write_text(
        f'[beta]\naddress = "127.0.0.1"\nport = {pair.beta.address[1]}\nfingerprint = "{wrong}"\n')
    assert pair.move().refused() == "migration.certificate"
    (pair.alpha.directory / "hosts.toml").write_text(
        f'[beta]\naddress = "127.0.0.1"\nport = {pair.beta.address[1]}\n')
    moving = pair.move()
    assert moving.refused() == "migration.certificate-unknown"
    assert moving.error is not None and next(iter(pin(pair.beta))) in moving.error.cause
    assert pair.beta.means.targets.uuids() == () and pair.alpha.means.sources.uuids() == ()


def test_nobody_there_and_switched_off(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.beta.migrations._door.close()
    moving = pair.move()
    assert moving.refused() == "migration.connect"
    assert moving.error is not None and moving.error.text.startswith(
        "Failed to establish connection with ldmd(1m) on target: beta\n")
    pair.close()


def test_the_certificate_that_is_announced_must_be_the_one_of_the_key(tmp_path: Path) -> None:
    """Another's certificate is no secret; its key is."""
    server, alice, mallory = (stranger(tmp_path, name) for name in ("server", "alice", "mallory"))
    listener = socket.create_server(("127.0.0.1", 0))
    raw = socket.create_connection(listener.getsockname())
    raw.settimeout(10)
    ours, _ = listener.accept()
    der = alice.der
    raw.sendall(PREAMBLE + len(der).to_bytes(2, "big") + der)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(mallory.certificate, mallory.key)
    import threading

    thread = threading.Thread(target=lambda: _quietly(lambda: context.wrap_socket(raw).recv(1)), daemon=True)
    thread.start()
    with pytest.raises(LinkError):
        accept(ours, identity=server, seconds=10)
    thread.join(10)
    listener.close()


def _quietly(what: Any) -> None:
    with contextlib.suppress(OSError):
        what()


def test_a_server_with_another_certificate_is_left_before_anything_is_said(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(PinError) as caught:
        connect(*pair.beta.address, frozenset({"0" * 64}), identity=stranger(tmp_path), seconds=10)
    assert {caught.value.found} == pin(pair.beta)


def test_versions() -> None:
    assert common_version(((1, 2), (2, 0)), [(1, 0), (2, 5)]) == (2, 0)
    assert common_version(((1, 2), (2, 0)), [(1, 1)]) == (1, 1)
    assert common_version(((1, 0),), [(2, 0)]) is None


def test_another_version_is_refused_before_it_says_who_it_is(pair: Pair, tmp_path: Path) -> None:
    sock = connect(*pair.beta.address, pin(pair.beta), identity=stranger(tmp_path), seconds=10)
    with pytest.raises(RefusedGreetingError) as caught:
        introduce(sock, Join(uuid=UUID, how="certificate", machine="m"), seconds=10, versions=((7, 3),))
    assert caught.value.why == "version"
    sock.close()


@pytest.mark.parametrize("seed", range(8))
def test_nonsense_at_every_stage_ends_the_connection_alone(pair: Pair, tmp_path: Path, seed: int) -> None:
    """In clear, in TLS before the greeting, and as one who was let in: bytes, lengths, maps of any shape."""
    print(f"seed {seed}")
    rng = Random(seed)
    raw = socket.create_connection(pair.beta.address)
    _quietly(lambda: raw.sendall(rng.choice((b"", PREAMBLE)) + rng.randbytes(rng.randrange(64))))
    raw.close()
    sock = connect(*pair.beta.address, pin(pair.beta), identity=pair.alpha.identity, seconds=10)
    stage = rng.randrange(3)
    if stage:
        introduce(sock, Join(uuid=pair.uuid, how="certificate", machine="alpha"), seconds=10)
    for _ in range(rng.randrange(1, 8)):
        frame = rng.choice((
            rng.randbytes(rng.randrange(1, 200)), struct.pack(">I", rng.getrandbits(32)),
            encode({"type": "facts", "facts": rng.choice((1, None, {"domain": {}}, {"server": []}))}),
            encode({"type": "message", "body": rng.randbytes(40)}), encode({"type": "message"}),
            encode({"type": rng.choice(("data", "report", "forgotten", "x")), "mid": -1})))
        _quietly(lambda frame=frame: sock.sendall(frame))
    sock.close()
    until(lambda: all(each.idle for each in pair.beta.migrations.attempts()))
    assert pair.beta.means.targets.uuids() == ()
    assert not pair.beta.has("ldg1")
    assert pair.move().done().done


def test_a_link_that_is_silent_is_gone(tmp_path: Path) -> None:
    server, client = stranger(tmp_path, "server"), stranger(tmp_path, "client")
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[str] = []
    import threading

    def serve() -> None:
        raw, _ = listener.accept()
        sock, _ = accept(raw, identity=server, seconds=10)
        link = Link(sock, pace=Pace(ping_seconds=60, dead_seconds=0.3))
        link.start(lambda frame: None, ends.append)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    mark = frozenset({fingerprint(read_certificate(server.certificate))})
    sock = connect(*listener.getsockname(), mark, identity=client, seconds=10)
    until(lambda: bool(ends))
    assert ends == ["it has been silent"]
    sock.close()
    listener.close()


def test_links_keep_each_other_alive(tmp_path: Path) -> None:
    """With pings, and only with them, both stand for longer than a silence may be."""
    server, client = stranger(tmp_path, "server"), stranger(tmp_path, "client")
    listener = socket.create_server(("127.0.0.1", 0))
    mark = frozenset({fingerprint(read_certificate(server.certificate))})
    got: list[Any] = []
    made: list[Link] = []
    import threading

    def serve() -> None:
        raw, _ = listener.accept()
        made.append(Link(accept(raw, identity=server, seconds=10)[0], pace=Pace(0.1, 5.0)))
        made[0].start(got.append, got.append)

    threading.Thread(target=serve, daemon=True).start()
    link = Link(connect(*listener.getsockname(), mark, identity=client, seconds=10), pace=Pace(0.1, 5.0))
    link.start(lambda frame: None, lambda why: None)
    until(lambda: bool(made))
    for number in range(50):
        assert link.send({"type": "x", "n": number, "data": b"x" * 100_000})
    until(lambda: len(got) == 50)
    assert [each["n"] for each in got] == list(range(50))
    link.close()
    until(lambda: len(got) == 51)
    made[0].join()
    listener.close()


def test_passwords_in_their_file(tmp_path: Path) -> None:
    path = tmp_path / FILE
    set_password(path, "root", "secret")
    set_password(path, "alice", "wonderland")
    set_password(path, "root", "other")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "secret" not in path.read_text() and "other" not in path.read_text()
    assert check_password(path, "root", "other") and check_password(path, "alice", "wonderland")
    assert not check_password(path, "root", "secret") and not check_password(path, "bob", "other")
    for user, password in (("", "x"), ("a:b", "x"), ("root", ""), ("root", "x" * 2000)):
        with pytest.raises(RefusedError):
            set_password(path, user, password)
    path.chmod(0o644)
    with pytest.raises(RefusedError):
        check_password(path, "root", "other")


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "ldmd.toml"
    assert read_settings(path).port == 0
    path.write_text('[mac-detection]\nenabled = true\n[migration]\nlisten = "0.0.0.0"\nport = 8101\n')
    assert (read_settings(path).listen, read_settings(path).port) == ("0.0.0.0", 8101)
    for text in ("port = true", "port = 70000", 'compress = "rar"', "colour = 1", 'lease-directory = "x"',
                 "bandwidth-bps = 999", 'at-limit = "stop"', "max-rounds = 0", "max-seconds = -1", 'verify = "no"',
                 "dirty-limit = 1"):
        path.write_text(f"[migration]\n{text}\n")
        with pytest.raises(RefusedError):
            read_settings(path)
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[beta]\naddress = "192.0.2.7"\nfingerprint = "' + "AB:" * 31 + 'AB"\n')
    entry = read_hosts(hosts)["beta"]
    assert (entry.port, entry.fingerprint) == (8101, "ab" * 32)
    for text in ("[b]\nport = 1", '[b]\naddress = "x"\nfingerprint = "12"', "b = 1", '[b]\naddress = "x"\nport = 0'):
        hosts.write_text(text)
        with pytest.raises(RefusedError):
            read_hosts(hosts)
