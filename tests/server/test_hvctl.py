"""hvctl over its socket: every operation is answered, whoever misbehaves is disconnected, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_support import LABOS, labos_spec

from emulator.hvctl import operations, server, wire
from emulator.hvctl.client import Hvctl, HvctlError
from emulator.hvctl.operations import OPERATIONS, Station
from emulator.hvctl.server import HvctlServer
from emulator.server import Server
from emulator.server.events import RING

PROTOCOL = Path(operations.__file__).with_name("protocol.md").read_text()
DEADLINE = 60


class Site:
    """A server in real time, with hvctl at a path."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hvctl.sock"
        self.server = Server("t5-2", name="alpha", memory_bytes=64 << 30)
        self.hvctl = HvctlServer(self.server, self.path, station=Station(os.getpid(), "/x.toml"))
        self.hvctl.start()

    def raw(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(DEADLINE)
        sock.connect(str(self.path))
        return sock

    def close(self) -> None:
        self.server.power_off()
        self.hvctl.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close()
    assert not found.path.exists()


def refused(client: Hvctl, code: str, op: str, /, **args: Any) -> str:
    with pytest.raises(HvctlError) as caught:
        client.call(op, **args)
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


def wait_for(client: Hvctl, **members: Any) -> dict[str, Any]:
    """The next event with these members."""
    for event in client.events(seconds=DEADLINE):
        if all(event.get(name) == value for name, value in members.items()):
            return event
    raise AssertionError(f"no event {members}")


def read_until(sock: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


def test_the_socket_is_its_owners_alone(site: Site) -> None:
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_another_user_is_disconnected(site: Site) -> None:
    site.path.chmod(0o666)  # the mode alone is not what keeps others out
    for folder in site.path.parents:
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        status = 9
        try:
            os.setgid(65534)
            os.setuid(65534)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(DEADLINE)
            sock.connect(str(site.path))
            status = 0 if sock.recv(1) == b"" else 1
        except ConnectionError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_hello(site: Site) -> None:
    with Hvctl(site.path) as client:
        hello = client.hello
        assert hello["machine"] == "alpha" and hello["version"] == [1, 2] and hello["memory"] == 64 << 30
        assert hello["platform"] == "t5-2" and hello["platform_toml"] == "/x.toml" and hello["pid"] == os.getpid()
        assert client.call("machine.info")["boot"] == hello["boot"] == site.server.boot
    with site.raw() as sock:
        wire.send(sock, {"id": 1, "op": "guest.list", "args": {}})
        wire.send(sock, {"id": 2, "op": "hello", "args": {"version": [2, 0], "client": "x"}})
        wire.send(sock, {"id": 3, "op": "hello", "args": {"version": [1, 9], "client": "x"}})
        receiver = wire.Receiver(sock)
        answers = [receiver.receive() for _ in range(3)]
        codes = [frame.message.get("error", {"code": "none"})["code"] for frame in answers if frame]  # type: ignore[index]
        assert codes == ["hello", "version", "none"]


def test_every_operation_is_described_and_checks_its_arguments(site: Site) -> None:
    with Hvctl(site.path) as client:
        for op in OPERATIONS:
            assert f"`{op} {{" in PROTOCOL, f"{op} is not in protocol.md"
            assert refused(client, "args", op, nonsense=1)
        refused(client, "op", "guest.fly", guest=1)
        refused(client, "args", "guest.start", guest="1")
        refused(client, "args", "guest.start", guest=True)
        refused(client, "no-guest", "guest.start", guest=77)
        refused(client, "spec", "guest.configure", spec={})
        refused(client, "state", "machine.advance", ns=1)
        refused(client, "state", "machine.clock", run=True)
        client.call("guest.configure", spec=labos_spec(1))
        for op in ("guest.stop", "guest.reset", "guest.suspend", "guest.resume", "memory.descriptors", "guest.digest",
                   "console.break"):  # fmt: skip
            refused(client, "state", op, guest=1)
        for op, args in (("guest.shutdown", {}), ("guest.panic", {}), ("guest.md_update", {}),
                         ("guest.dr_cpu", {"action": "status", "cpus": [0]}),
                         ("guest.dr_mem", {"action": "status", "blocks": [[0, 8192]]}),
                         ("guest.dr_crypto", {"action": "status", "kind": "mau", "cpus": [0]})):  # fmt: skip
            refused(client, "no-service", op, guest=1, **args)
        assert client.call("guest.variables", guest=1) == {}
        assert client.call("service.list") == {"switches": []}
        assert client.call("guest.spec", guest=1)["name"] == "g1"


def test_requests_that_are_none(site: Site) -> None:
    with site.raw() as sock:
        receiver = wire.Receiver(sock)
        for message in ({}, {"id": -1, "op": "hello"}, {"id": True}, {"id": 1 << 63, "op": "hello"}, {"id": "1"}):
            wire.send(sock, message)
            frame = receiver.receive()
            assert frame is not None and frame.message["id"] is None
            assert frame.message["error"]["code"] == "request"  # type: ignore[index]
        for message in ({"id": 1}, {"id": 2, "op": 5}, {"id": 3, "op": "hello", "args": []},
                        {"id": 4, "op": "hello", "more": 1}):  # fmt: skip
            wire.send(sock, message)
            frame = receiver.receive()
            assert frame is not None and frame.message["id"] == message["id"]
            assert frame.message["error"]["code"] == "args"  # type: ignore[index]


def test_a_guest_from_start_to_end_in_real_time(site: Site) -> None:
    with Hvctl(site.path) as client:
        client.call("events.subscribe")
        client.call("guest.configure", spec=labos_spec(1))
        client.call("guest.start", guest=1)
        _, fds = client.call_fds("console.open", guest=1, replay=True)
        with socket.socket(fileno=fds[0]) as console:
            console.settimeout(DEADLINE)
            read_until(console, b"\n# ")
            console.sendall(b"uname -a\r")
            assert b"SunOS labos" in read_until(console, b"sparc sun4v\r\n# ")
            _, fds = client.call_fds("console.open", guest=1, replay=True)
            with socket.socket(fileno=fds[0]) as second:
                second.settimeout(DEADLINE)
                assert b"OpenBoot" in read_until(second, b"sparc sun4v\r\n# ")
                console.sendall(b"echo both\r")
                read_until(console, b"both\r\n# ")
                read_until(second, b"both\r\n# ")
            client.call("guest.shutdown", guest=1)
            event = wait_for(client, event="guest.state", state="halted")
            assert event["why"] == "power-off" and event["guest"] == 1
            replies = [each for each in client.pending() if each["event"] == "guest.reply"]
            assert not replies or replies[0]["result"] == 0


def test_the_prompt_and_a_break(site: Site) -> None:
    with Hvctl(site.path) as client:
        client.call("guest.configure", spec=labos_spec(1, variables={"auto-boot?": "false"}) | {"boot": {}})
        client.call("guest.start", guest=1)
        _, fds = client.call_fds("console.open", guest=1, replay=True)
        with socket.socket(fileno=fds[0]) as console:
            console.settimeout(DEADLINE)
            read_until(console, b"ok ")
            console.sendall(b": forever begin again ; forever\r")
            read_until(console, b"forever\r\n")
            client.call("console.break", guest=1)
            read_until(console, b"ok ")
            console.sendall(b"2 3 + .\r")
            read_until(console, b"5 ")


def test_events_of_before_and_a_gap(site: Site) -> None:
    with Hvctl(site.path) as client:
        client.call("guest.configure", spec=labos_spec(1))
        client.call("guest.destroy", guest=1)
        answer = client.call("events.subscribe", since=0)
        assert answer == {"seq": 2, "lost": False}
        assert [event["why"] for event in client.pending()] == ["defined", "destroyed"]
        client.call("events.unsubscribe")
        for _ in range(RING + 10):
            site.server.events.emit("x")
        assert client.call("events.subscribe", since=2)["lost"]
        assert len(client.pending()) == RING


def test_a_client_that_does_not_read_is_disconnected(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OUTBOX_BYTES", 1 << 20)
    with Hvctl(site.path) as good, Hvctl(site.path) as slow:
        slow.call("events.subscribe")
        for _ in range(300):
            site.server.events.emit("x", text="y" * 10_000)
            good.call("machine.info")
        seen = sum(1 for event in slow.events(seconds=DEADLINE) if event["event"] == "x")
        assert seen < 300  # and then the end of the connection


def test_requests_beyond_what_is_sensible_wait(site: Site) -> None:
    """A client that sends a thousand requests without reading is served all the same, in order."""
    with site.raw() as sock:
        wire.send(sock, {"id": 0, "op": "hello", "args": {"version": [1, 0], "client": "x"}})
        wire.send(sock, {"id": 1, "op": "guest.configure", "args": {"spec": labos_spec(1)}})

        def send() -> None:
            for number in range(2, 2002):
                wire.send(sock, {"id": number, "op": "guest.variables", "args": {"guest": 1}})

        sender = threading.Thread(target=send)
        sender.start()
        receiver = wire.Receiver(sock)
        frames = [receiver.receive() for _ in range(2002)]
        sender.join(DEADLINE)
        assert [frame.message["id"] for frame in frames if frame] == list(range(2002))


RULE_BREAKERS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\1\x01", b"GET / HTTP/1.1\r\n"]


@pytest.mark.parametrize("data", RULE_BREAKERS)
def test_what_breaks_the_rules_is_disconnected(site: Site, data: bytes) -> None:
    with site.raw() as sock, Hvctl(site.path) as other:
        sock.sendall(data)
        with contextlib.suppress(ConnectionResetError):  # some of it was not even read
            assert sock.recv(100) == b""
        assert other.call("machine.info")["domains"] == 0


@pytest.mark.slow
def test_fuzz(site: Site) -> None:
    """100,000 frames, most of them damaged requests: each has an answer or ends the connection; the machine goes on."""
    seed = 20
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [*(op for op in OPERATIONS if op not in ("machine.power_off", "guest.start")), "x", ""]
    values: list[Any] = [None, True, -1, 0, 1, 2, 1 << 63, 1.5, "", "abc", b"\1", [], [1], [[0, 8192]], {}, {"id": 1}]
    args = ["guest", "spec", "cpus", "action", "blocks", "since", "set", "remove", "version", "switches", "replay"]
    taken = ends = 0
    while taken < 100_000:
        with site.raw() as sock:
            receiver = wire.Receiver(sock, max_fds=8)
            batch = [{"id": 0, "op": "hello", "args": {"version": [1, 0]}}]
            batch += [{"id": n, "op": chance.choice(names), "args": _arguments(chance, args, values)}
                      for n in range(1, 400)]  # fmt: skip
            frames = [wire.encode(message) for message in batch]
            for at in range(1, len(frames)):
                if chance.random() < 0.003:
                    damaged = bytearray(frames[at])
                    damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
                    frames[at] = bytes(damaged)
            if chance.random() < 0.3:
                frames.append(chance.randbytes(chance.randrange(1, 2000)))
            answered, ended = _exchange(sock, receiver, frames)
            taken += answered + ended
            ends += ended
    assert ends > 50
    with Hvctl(site.path) as client:
        assert client.call("machine.info")["domains"] <= 256


def _arguments(chance: random.Random, names: list[str], values: list[Any]) -> Any:
    if chance.random() < 0.05:
        return chance.choice(values)
    found = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(3))}
    if chance.random() < 0.1:
        found = {"spec": labos_spec(chance.randrange(4)) | {"boot": {"kernel": str(LABOS)}}}
        found["spec"][chance.choice(list(found["spec"]))] = chance.choice(values)
    return found


def _exchange(sock: socket.socket, receiver: wire.Receiver, frames: list[bytes]) -> tuple[int, int]:
    """Send all, read to the end: answers, and 1 where the machine ended the connection before its time."""

    def send() -> None:
        try:
            for at in range(0, len(frames), 50):
                sock.sendall(b"".join(frames[at : at + 50]))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            return

    sender = threading.Thread(target=send)
    sender.start()
    answers = 0
    try:
        while True:
            frame = receiver.receive()
            assert frame is not None
            frame.close()
            error = frame.message.get("error")
            assert not isinstance(error, dict) or error["code"] != "internal", error
            answers += "event" not in frame.message
    except wire.WireError:
        pass
    sender.join(DEADLINE)
    return answers, int(answers < len(frames))
