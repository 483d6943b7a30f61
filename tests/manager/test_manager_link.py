"""The manager's end of hvctl: answers to the right requests, events, a machine that goes, hangs, or talks nonsense."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import changes
import pytest
from fakeserver import MachineServer
from manager_support import FakeMachine, commit, make_manager

from emulator.hvctl.wire import Receiver, send
from ldmd.hvctl import Link
from ldmd.messages import RefusedError
from ldmd.operations.context import HypervisorError

DEADLINE = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "h"


@pytest.fixture
def server(path: Path) -> Iterator[MachineServer]:
    found = MachineServer(FakeMachine(), path)
    yield found
    found.close()


def test_calls_and_errors(server: MachineServer) -> None:
    link = Link(server.path)
    assert link.connect()["machine"] == "alpha"
    assert link.call("hello")["boot"] == "boot-1"
    assert link.call("machine.info")["domains"] == 0
    with pytest.raises(HypervisorError) as caught:
        link.call("guest.status", guest=5)
    assert caught.value.code == "no-guest"
    with pytest.raises(HypervisorError) as caught:
        link.call("guest.status", guest=object())
    assert caught.value.code == "args"
    link.close()
    with pytest.raises(HypervisorError) as caught:
        link.call("machine.info")
    assert caught.value.code == "unreachable"


def test_many_threads_get_their_own_answers(server: MachineServer) -> None:
    link, wrong = Link(server.path), []
    link.connect()
    for number in range(1, 9):
        spec = {"id": number, "name": f"g{number}", "uuid": "", "vcpus": [], "memory": [], "generation": number}
        link.call("guest.configure", spec=spec)

    def ask(number: int) -> None:
        wrong.extend(row for row in (link.call("guest.status", guest=number) for _ in range(50))
                     if row["name"] != f"g{number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    link.close()
    assert wrong == []


def test_a_listener_may_make_requests(server: MachineServer) -> None:
    link, heard = Link(server.path), threading.Event()
    link.connect()
    seen: list[Any] = []

    def on_event(event: Any) -> None:
        seen.append((event["event"], link.call("machine.info")["domains"]))
        heard.set()

    link.listen(on_event)
    server.machine.emit("guest.soft_state", guest=1)
    assert heard.wait(DEADLINE)
    assert seen == [("guest.soft_state", 0)]
    link.close()


def test_it_connects_again_and_says_so(server: MachineServer) -> None:
    again, heard = threading.Event(), threading.Event()
    link = Link(server.path, on_again=again.set)
    link.connect()
    link.listen(lambda event: heard.set())
    machine = server.machine
    server.close()
    machine.power_cycle()
    second = MachineServer(machine, server.path)
    assert again.wait(DEADLINE)
    assert link.call("hello")["boot"] == "boot-2"
    machine.emit("guest.soft_state", guest=1)
    assert heard.wait(DEADLINE)
    link.close()
    second.close()


class Odd:
    """A machine that says hello, and then what the test has it say to each request."""

    def __init__(self, path: Path, reply: Callable[[socket.socket, dict[str, Any]], None]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(4)
        self._reply = reply
        self.connections = 0
        self.twice = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            receiver = Receiver(sock)
            try:
                while (frame := receiver.receive()) is not None:
                    if frame.message["op"] == "hello":
                        send(sock, {"id": frame.message["id"], "result": {"machine": "odd", "boot": "1"}})
                        if self.connections > 1:
                            self.twice.set()
                    else:
                        self._reply(sock, frame.message)
            except Exception:
                sock.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(DEADLINE)


def test_no_answer_is_a_timeout_and_a_new_connection(path: Path) -> None:
    odd = Odd(path, lambda sock, request: None)
    link = Link(path, call_seconds=0.05)
    link.connect()
    with pytest.raises(HypervisorError) as caught:
        link.call("machine.info")
    assert caught.value.code == "timeout"
    assert odd.twice.wait(DEADLINE)
    link.close()
    odd.close()


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\0\0\0\1\xc0", b"\0\0\0\5hello"])
def test_nonsense_ends_the_connection_and_the_request(path: Path, data: bytes) -> None:
    odd = Odd(path, lambda sock, request: sock.sendall(data))
    link = Link(path)
    link.connect()
    with pytest.raises(HypervisorError) as caught:
        link.call("machine.info")
    assert caught.value.code == "unreachable"
    link.close()
    odd.close()


@pytest.mark.parametrize("answer", [{"id": 999, "result": 1}, {"result": 1}, {"id": "x"}, {"id": [1]}])
def test_answers_to_nobody_are_passed_over(path: Path, answer: dict[str, Any]) -> None:
    def reply(sock: socket.socket, request: dict[str, Any]) -> None:
        send(sock, answer)
        send(sock, {"id": request["id"], "result": "mine"})

    odd = Odd(path, reply)
    link = Link(path)
    link.connect()
    assert link.call("machine.info") == "mine"
    link.close()
    odd.close()


def test_descriptors_that_nobody_takes_are_closed(path: Path) -> None:
    def reply(sock: socket.socket, request: dict[str, Any]) -> None:
        read, write = os.pipe()
        send(sock, {"id": request["id"], "error": {"code": "x", "text": "y"}} if request["op"] == "bad" else
             {"id": request["id"], "result": 1}, [write])
        os.close(write)
        ends.append(read)

    ends: list[int] = []
    odd = Odd(path, reply)
    link = Link(path)
    link.connect()
    result, fds = link.call_fds("good")
    assert result == 1 and len(fds) == 1
    os.close(fds[0])
    link.call("good")
    with pytest.raises(HypervisorError):
        link.call("bad")
    for end in ends:
        assert os.read(end, 1) == b""  # the end of a pipe that nobody can write to any more
        os.close(end)
    link.close()
    odd.close()


def test_a_change_that_the_machine_went_away_in_is_taken_back_and_told() -> None:
    machine = FakeMachine()
    manager = make_manager(machine=machine)
    first = changes.roomy(manager.configuration)
    commit(manager, first)
    machine.refuse = {"guest.configure": HypervisorError("timeout", "no answer within 60 seconds")}
    with pytest.raises(RefusedError) as caught:
        commit(manager, first.with_domain(changes.bound(first, changes.guest(1))))
    assert caught.value.code == "machine.unreachable" and "alpha" in caught.value.text and caught.value.remedy
    # it had done it all the same: that is found out when it answers again
    machine.refuse = {}
    machine.call("guest.configure", spec={"id": 1, "name": "ldg1", "uuid": "", "vcpus": [], "memory": [],
                                          "generation": 1})
    manager.again()
    assert set(machine.guests) == {0} and manager.configuration == first
