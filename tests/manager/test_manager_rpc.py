"""The RPC: lines and answers, roles, watching and cancelling, and clients that mean harm."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import changes
import msgpack
import pytest
from manager_support import commit, make_manager

from emulator.hvctl.wire import Receiver, encode
from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.operations.registry import OPERATIONS, Operation
from ldmd.rpc.access import Access, read_access
from ldmd.rpc.client import Client
from ldmd.rpc.server import CONNECTIONS, QUEUE_FRAMES, Server

DEADLINE = 60


@pytest.fixture
def manager() -> Manager:
    return make_manager()


@pytest.fixture
def server(manager: Manager, tmp_path: Path) -> Iterator[Server]:
    found = Server(manager, tmp_path / "s", Access(), frame_seconds=0.5)
    found.start()
    yield found
    found.close()


@pytest.fixture
def registered() -> Iterator[Callable[..., None]]:
    names = []

    def register(name: str, function: Callable[..., Any], *, write: bool = True, tied: bool = False) -> None:
        names.append(name)
        OPERATIONS[name] = Operation(name, function, write, tied)

    yield register
    for name in names:
        del OPERATIONS[name]


def raw(server: Server) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(server.path))
    sock.settimeout(DEADLINE)
    return sock


def alive(server: Server) -> None:
    """Commands are still served, and the lock is free."""
    with Client(server.path) as client:
        assert client.call("version")["platform"] == "t5-2"
        client.call("set-logctl", {"debug": "off"})


def test_lines_come_as_they_are_said(server: Server, registered: Any) -> None:
    gate = threading.Event()

    def slow(context: Any, arguments: Any) -> Any:
        context.say("first")
        assert gate.wait(DEADLINE)
        context.warn("second")
        context.progress(70, "almost there")
        return {"names": arguments.texts("names"), "number": 1 << 60, "bytes": b"x"}

    registered("slow", slow)
    seen: list[tuple[str, Any]] = []

    def on_line(kind: str, value: Any) -> None:
        seen.append((kind, value))
        gate.set()  # the first line arrives while the operation runs

    with Client(server.path) as client:
        result = client.call("slow", {"names": ["a", "b"]}, on_line=on_line)
        assert result == {"names": ["a", "b"], "number": 1 << 60, "bytes": b"x"}
        assert seen == [("say", "first"), ("warn", "second"), ("progress", {"percent": 70, "text": "almost there"})]


def test_the_command_as_typed_is_in_the_history(server: Server) -> None:
    with Client(server.path) as client:
        client.call("set-logctl", {"debug": "on"}, line="ldm set-logctl debug=on")
        row = client.call("list-history")["history"][-1]
    assert row["line"] == "ldm set-logctl debug=on" and row["caller"] != "local"


def test_errors_have_all_their_parts(server: Server, registered: Any) -> None:
    def fails(context: Any, arguments: Any) -> Any:
        raise RefusedError("a.b", "text", cause="cause", remedy="remedy")

    registered("fails", fails)
    with Client(server.path) as client, pytest.raises(RefusedError) as caught:
        client.call("fails")
    error = caught.value
    assert (error.code, error.text, error.cause, error.remedy) == ("a.b", "text", "cause", "remedy")


def test_a_result_that_cannot_be_sent_is_an_error(server: Server, registered: Any) -> None:
    registered("odd", lambda context, arguments: object(), write=False)
    registered("big", lambda context, arguments: "x" * (17 << 20), write=False)
    with Client(server.path) as client:
        for name in ("odd", "big"):
            with pytest.raises(RefusedError) as caught:
                client.call(name)
            assert caught.value.code == "internal"
        assert client.call("version")


def test_watch(server: Server, manager: Manager) -> None:
    with Client(server.path) as client:
        client.subscribe()
        first = changes.roomy(manager.configuration)
        commit(manager, first.with_domain(changes.bound(first, changes.guest(1))))
        event = next(client.events())
        assert event["event"] == "consoles"
        assert event["consoles"] == [{"domain": "ldg1", "guest": 1, "group": "ldg1", "port": 5001,
                                      "service": "primary-vcc0", "log": True, "state": "bound"}]
        assert client.call("list-consoles")["consoles"] == event["consoles"]


def test_jobs_and_cancel(server: Server, manager: Manager, registered: Any) -> None:
    begun = threading.Event()

    def waits(context: Any, arguments: Any) -> None:
        begun.set()
        manager.clock.wait = lambda bell, heard, seconds: bell.wait(heard, seconds)  # type: ignore[method-assign]
        context.wait(lambda: False, seconds=DEADLINE)

    registered("waits", waits)
    errors: list[str] = []

    def ask() -> None:
        with Client(server.path) as client:
            try:
                client.call("waits")
            except RefusedError as error:
                errors.append(error.code)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(DEADLINE)
    with Client(server.path) as client:
        (job,) = [row for row in client.call("jobs")["jobs"] if row["command"] == "waits"]
        assert job["status"] is None
        client.call("cancel", {"job": job["job"]})
        thread.join(DEADLINE)
        assert errors == ["job.cancelled"]
        with pytest.raises(RefusedError) as caught:
            client.call("cancel", {"job": job["job"]})
        assert caught.value.code == "job.not-found"


@pytest.mark.parametrize(("tied", "talks", "stops"), [
    (True, False, "gone"), (True, True, "gone"), (False, True, "gone"), (True, True, "reading")])
def test_an_operation_may_end_with_its_client(server: Server, manager: Manager, registered: Any, *, tied: bool,
                                              talks: bool, stops: str) -> None:
    """It is cancelled when the client is gone, whether or not there was something to tell it; not when it is slow."""
    begun, deaf, ended, cancelled = threading.Event(), threading.Event(), threading.Event(), tied and stops == "gone"
    seen: list[str] = []

    def looking() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "rpc-tether"]

    def works(context: Any, arguments: Any) -> None:
        begun.set()
        manager.clock.wait = lambda bell, heard, seconds: bell.wait(heard, 0.05)  # type: ignore[method-assign]
        assert deaf.wait(DEADLINE)
        try:
            for _ in range(QUEUE_FRAMES + 1000 if talks else 1):
                if talks:
                    context.say("x" * 500)  # more than the queue and the socket hold
            context.wait(lambda: not cancelled and not looking(), seconds=DEADLINE)
        except RefusedError as error:
            seen.append(error.code)
        ended.set()

    registered("works", works, tied=tied)
    sock = raw(server)
    sock.sendall(encode({"id": 1, "command": "works", "arguments": {}}))
    assert begun.wait(DEADLINE)
    if stops == "gone":
        sock.close()
    deaf.set()
    assert ended.wait(DEADLINE)
    sock.close()
    assert seen == (["job.cancelled"] if cancelled else [])
    alive(server)


# -- roles


def test_roles_of_users_and_groups() -> None:
    access = Access(users={"bob": "none", "eve": "read"}, groups={"ops": "write", "all": "read"}, default="none")
    me = os.geteuid()
    assert access.role(me, "me", []) == access.role(0, "root", []) == "write"
    assert access.role(12345, "bob", ["ops"]) == "none"
    assert access.role(12345, "eve", ["ops"]) == "read"
    assert access.role(12345, "sue", ["all", "ops"]) == "write"
    assert access.role(12345, "sue", ["all"]) == "read"
    assert access.role(12345, "sue", ["others"]) == "none"
    assert Access().role(12345, "sue", []) == "read"


@pytest.mark.parametrize(("text", "words"), [
    ("users = 3", "'users' is none of the tables"), ("[user]\na = \"read\"", "'user' is none of the tables"),
    ("[users]\na = \"rw\"", "'rw' is none of"), ("[users", "access.toml"),
    ("[socket]\ngroup = \"no-such-group\"", "there is no group"), ("[socket]\ndefault = \"write\"", "neither"),
    ("[socket]\nmode = 1", "no key 'mode'")])
def test_a_faulty_file_is_refused_as_a_whole(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(RefusedError) as caught:
        read_access(path)
    assert caught.value.code == "access.file" and words in caught.value.text


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "access.toml"
    assert read_access(path) == Access()
    path.write_text("[users]\nalice = \"write\"\n[groups]\nstaff = \"read\"\n[socket]\ndefault = \"none\"\n")
    assert read_access(path) == Access({"alice": "write"}, {"staff": "read"}, None, "none")


def as_nobody(server: Server, work: Callable[[], None]) -> int:
    """Run something in a child that is user 65534; its exit status: 0 where it returned."""
    for parent in (server.path, *server.path.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755 if parent.is_dir() else 0o666)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("default", ["read", "none"])
def test_another_user_gets_the_role_of_the_file(server: Server, default: str) -> None:
    server.access = Access(default=default)

    def work() -> None:
        with Client(server.path) as client:
            if default == "read":
                assert client.call("version")
            for command, arguments in (("set-logctl", {}), ("cancel", {"job": 1})):
                with pytest.raises(RefusedError) as caught:
                    client.call(command, arguments)
                assert caught.value.code == ("access.write" if default == "read" else "access.none")
                assert caught.value.text.startswith("Authorization failed")
                if default == "none":
                    return

    assert as_nobody(server, work) == 0
    alive(server)


def test_the_socket_is_for_owner_and_group(server: Server) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o660


# -- clients that mean harm


def closed_by_server(sock: socket.socket) -> bool:
    """Whether the server ends the connection (in whatever way) within the deadline."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


@pytest.mark.parametrize("data", [
    b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\x20\0\0" + b"x" * 64, b"\0\0\0\1\xc0", b"\0\0\0\5hello",
    b"\0\0\0\1\xc1", struct.pack(">I", 60) + b"\x91" * 60, encode({"id": 1}),
    encode({"id": "x", "command": "version"}),
    encode({"id": 1, "command": ["version"]}), encode({"id": 1, "command": "version", "arguments": []}),
    encode({"id": 1, "command": "version", "line": 7}), encode({"id": None, "command": "version"})])
def test_nonsense_ends_the_connection_and_nothing_else(server: Server, data: bytes) -> None:
    with raw(server) as sock:
        sock.sendall(data)
        assert closed_by_server(sock)
    alive(server)


def test_a_frame_that_never_ends_is_not_waited_for(server: Server) -> None:
    with raw(server) as sock:
        sock.sendall(struct.pack(">I", 100) + b"abc")
        assert closed_by_server(sock)
    with raw(server) as idle:  # one that says nothing may stay
        alive(server)
        idle.sendall(encode({"id": 1, "command": "version"}))
        frame = Receiver(idle).receive()
        assert frame is not None and frame.message["status"] == 0


def test_who_does_not_read_holds_up_nobody(server: Server, manager: Manager, registered: Any) -> None:
    """An operation that says more than the client takes ends all the same, at once, and its client is dropped."""
    done = threading.Event()

    def chatter(context: Any, arguments: Any) -> None:
        for _ in range(20_000):
            context.say("x" * 1000)
        done.set()

    registered("chatter", chatter)
    with raw(server) as sock:
        sock.sendall(encode({"id": 1, "command": "chatter", "arguments": {}}))
        assert done.wait(DEADLINE)
        alive(server)
        assert closed_by_server(sock)
    with raw(server) as sock:
        sock.sendall(encode({"id": 1, "command": "watch", "arguments": {}}))
        frame = Receiver(sock).receive()
        assert frame is not None
        for number in range(10_000):
            manager.publish("x", text="y" * 1000, number=number)
        alive(server)
        assert closed_by_server(sock)
    assert manager._watchers == []


def test_who_leaves_in_the_middle_lets_it_end(server: Server, manager: Manager, registered: Any) -> None:
    begun, gate, done = threading.Event(), threading.Event(), threading.Event()

    def works(context: Any, arguments: Any) -> None:
        begun.set()
        assert gate.wait(DEADLINE)
        context.say("nobody hears it")
        context.commit(context.configuration.but(freed_macs=(1,)))
        done.set()

    registered("works", works)
    with raw(server) as sock:
        sock.sendall(encode({"id": 1, "command": "works", "arguments": {}}))
        assert begun.wait(DEADLINE)
    gate.set()
    assert done.wait(DEADLINE)
    alive(server)
    assert manager.configuration.freed_macs == (1,)


def test_connections_are_counted(server: Server) -> None:
    socks = [raw(server) for _ in range(CONNECTIONS)]
    for sock in socks:
        sock.sendall(encode({"id": 1, "command": "version", "arguments": {}}))
        assert Receiver(sock).receive() is not None
    with pytest.raises(RefusedError) as caught, Client(server.path) as client:
        client.call("version")
    assert caught.value.code == "rpc.busy"
    for sock in socks:
        sock.close()
    while server._connections:
        for connection in tuple(server._connections):
            connection.join()
    alive(server)


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(server: Server, seed: int) -> None:
    print(f"seed {seed}")
    rng = Random(seed)
    good = [encode({"id": n, "command": name, "arguments": {"limit": "3", "domains": ["a"]}, "line": "ldm"})
            for n, name in enumerate(("version", "list-history", "watch", "jobs", "cancel", "nope"))]

    def value(depth: int) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: rng.getrandbits(63), lambda: None, lambda: "x" * rng.randrange(300), rng.random,
            lambda: b"\0" * rng.randrange(9), lambda: rng.choice(("id", "command", "version", "watch"))]
        if depth:
            kinds += [lambda: [value(depth - 1) for _ in range(rng.randrange(4))],
                      lambda: {rng.choice(("id", "command", "arguments", "line", 3)): value(depth - 1)
                               for _ in range(4)}]
        return rng.choice(kinds)()

    for _ in range(60):
        with raw(server) as sock:
            pieces = []
            for _ in range(rng.randrange(1, 5)):
                piece = bytearray(rng.choice(good) if rng.randrange(2) else b"")
                if not piece:
                    body = msgpack.packb(value(5))
                    piece = bytearray(struct.pack(">I", len(body)) + body)
                for _ in range(rng.choice((0, 0, 1, 3))):
                    piece[rng.randrange(len(piece))] = rng.getrandbits(8)
                pieces.append(bytes(piece[: rng.randrange(len(piece) + 1)] if rng.randrange(4) == 0 else piece))
            with contextlib.suppress(OSError):
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                closed_by_server(sock)
    alive(server)
