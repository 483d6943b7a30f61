"""A client's bytes over a real socket: acknowledgements, what is sent again, noise, leaving; who may come in."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gdb_fake import FakeDebuggee, packet, payloads

from emulator.errors import ConfigError
from emulator.gdb.debuggee import DebugError, Reason, Stopped
from emulator.gdb.doors import Address, Door, parse_address, peer_user
from emulator.gdb.serve import SocketStream, serve

PATIENCE = 60


class AttachableFake(FakeDebuggee):
    """With a descriptor that nothing comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.attached = 0
        self.refuses = ""
        self._quiet, self._other = socket.socketpair()

    def attach(self) -> Stopped:
        if self.refuses:
            raise DebugError(self.refuses)
        self.attached += 1
        return Stopped(Reason.ATTACHED)

    def detach(self) -> None:
        self.attached -= 1

    def fileno(self) -> int:
        return self._quiet.fileno()

    def pump(self) -> None:
        self._quiet.recv(1)

    def close(self) -> None:
        self._quiet.close()
        self._other.close()


class Wire:
    """A client at one end; the server at the other in a thread."""

    def __init__(self) -> None:
        self.fake = AttachableFake()
        self.client, self._server = socket.socketpair()
        self.client.settimeout(PATIENCE)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        serve(SocketStream(self._server), self.fake)
        self._server.close()

    def start(self) -> Wire:
        self._thread.start()
        return self

    def ask(self, raw: bytes, answers: int = 1) -> list[bytes]:
        """Send bytes; so many packets that come back."""
        self.client.sendall(raw)
        seen = b""
        while seen.count(b"#") < answers or seen[-3:-2] != b"#":
            more = self.client.recv(65536)
            assert more, seen
            seen += more
        return payloads(seen)

    def rest(self) -> bytes:
        """All that comes up to the end."""
        seen = b""
        while more := self.client.recv(65536):
            seen += more
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return seen

    def close(self) -> None:
        self.client.close()
        if self._thread.ident:
            self._thread.join(PATIENCE)
        self.fake.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_acknowledgements(wire: Wire) -> None:
    """As long as the client wants them; what did not arrive whole is sent again."""
    wire.start()
    wire.client.sendall(packet(b"p50"))
    assert wire.client.recv(1) == b"+"
    wanted = packet(b"0000000000001100")
    seen = b""
    while len(seen) < len(wanted):
        seen += wire.client.recv(len(wanted) - len(seen))
    assert seen == wanted
    assert wire.ask(b"-") == [b"0000000000001100"]
    wire.client.sendall(b"+$p50#00")
    assert wire.client.recv(1) == b"-"
    assert wire.ask(packet(b"QStartNoAckMode")) == [b"OK"]
    wire.client.sendall(b"+" + packet(b"p50"))
    assert wire.client.recv(1) == b"$"


def test_what_waited_and_was_sent_again_is_answered_once(wire: Wire) -> None:
    """As by a client that grows impatient while the server starts."""
    wire.client.sendall(packet(b"qC") * 3)
    wire.start()
    assert wire.ask(packet(b"p50"), 2) == [b"QC1", b"0000000000001100"]


def test_leaving(wire: Wire) -> None:
    wire.start()
    assert wire.ask(packet(b"?"))[0].startswith(b"T05")
    assert wire.fake.attached == 1
    wire.client.sendall(packet(b"vCont;c"))
    wire.client.shutdown(socket.SHUT_WR)
    assert wire.rest() == b"+"
    assert wire.fake.attached == 0


def test_detach_ends_it(wire: Wire) -> None:
    wire.start()
    wire.client.sendall(packet(b"D"))
    assert payloads(wire.rest()) == [b"OK"]
    assert wire.fake.attached == 0


def test_a_guest_that_cannot_be_attached(wire: Wire) -> None:
    wire.fake.refuses = "lab is suspended"
    wire.start()
    assert payloads(wire.rest()) == [b"E.lab is suspended"]


def test_noise(wire: Wire) -> None:
    """Whatever comes, the next true packet is answered."""
    seed = 20261126
    print("seed", seed)
    chance = random.Random(seed)
    wire.start()
    wire.ask(packet(b"QStartNoAckMode"))
    letters = bytes(each for each in range(256) if each not in b"DkcsCSv")  # nothing that runs it or leaves
    for _ in range(200):
        wire.client.sendall(bytes(chance.choice(letters) for _ in range(chance.randrange(500))))
    wire.client.sendall(b"$" * 3 + b"#00#00")
    found = wire.ask(packet(b"qAttached"), 1)
    while found[-1] != b"1":
        found = wire.ask(b"", 1)
    assert wire.fake.attached == 1


@pytest.mark.parametrize(("text", "wanted"), [
    ("127.0.0.1:5000", Address("127.0.0.1", 5000)), ("[::1]:7", Address("::1", 7)), (":9", Address("127.0.0.1", 9)),
    ("9", Address("127.0.0.1", 9)), ("0.0.0.0:0", Address("0.0.0.0", 0)), ("unix:/tmp/x", Address(path="/tmp/x")),
])  # fmt: skip
def test_addresses(text: str, wanted: Address) -> None:
    assert parse_address(text) == wanted
    assert wanted.local == ("0.0.0.0" not in text)


@pytest.mark.parametrize("text", ["", "unix:", "localhost:1", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "a:b:c"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "gdb"
    door = Door(Address(path=str(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        taken = door.accept()
        assert taken is not None
        taken.close()
    door.close()
    assert not path.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_user_of_a_tcp_client_is_known(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another user than root or ours is not let in."""
    try:
        door = Door(Address(host, 0))
    except ConfigError:
        pytest.skip(f"no {host} on this host")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as client:
        client.connect((host, door.address.port))
        taken = door.accept()
        assert taken is not None
        assert peer_user(taken) == os.geteuid()
        taken.close()
    monkeypatch.setattr("emulator.gdb.doors.peer_user", lambda _: 4242)
    with socket.socket(family) as client:
        client.connect((host, door.address.port))
        assert door.accept() is None
        client.settimeout(PATIENCE)
        assert client.recv(1) == b""
    with pytest.raises(ConfigError, match="in use"):
        Door(door.address)
    door.close()
