"""The command itself: which server it is for, how it reaches its manager, statuses, files, signals, pipes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ldm_support import InMemory, ldm, ldm_ok
from manager_support import make_manager

from emulator.places import Hold, hold, place
from ldmd.cli.grammar import COMMANDS
from ldmd.cli.main import MAX_FILE_BYTES, run, with_files
from ldmd.cli.parse import parse
from ldmd.cli.screen import Screen
from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.operations.registry import OPERATIONS, Operation
from ldmd.rpc.access import Access
from ldmd.rpc.server import Server

PROGRAM = [sys.executable, "-c", "import sys; from ldmd.cli import main; sys.exit(main())"]


class Room:
    """Machines that are on, each with a manager behind its socket; all in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.servers: dict[str, Server] = {}
        self._holds: list[Hold] = []

    def power_on(self, name: str, *, manager: bool = True) -> Manager:
        where = place(name)
        where.make()
        self._holds.append(hold(where.machine_pid))
        made = make_manager(name=name)
        if manager:
            self.servers[name] = Server(made, where.rpc, Access())
            self.servers[name].start()
        return made

    def ldm(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, timeout=60, check=False,
                              env=self.environment(), **more)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "S4V_HOME": str(self.home), "SUN4V_MACHINE": os.environ.get("SUN4V_MACHINE", "")}

    def close(self) -> None:
        for server in self.servers.values():
            server.close()
        for each in self._holds:
            each.release()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    with tempfile.TemporaryDirectory(prefix="s4v") as folder:
        monkeypatch.setenv("S4V_HOME", folder)
        monkeypatch.delenv("SUN4V_MACHINE", raising=False)
        made = Room(Path(folder))
        yield made
        made.close()


def test_the_only_machine_that_is_on_is_meant(room: Room) -> None:
    room.power_on("alpha")
    done = room.ldm("list", "-p")
    assert done.returncode == 0 and not done.stderr and done.stdout.splitlines()[1].startswith("DOMAIN|name=primary|")


def test_machines_are_named(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.power_on("alpha").execute("add-domain", {"domains": ["on-alpha"]})
    room.power_on("beta").execute("add-domain", {"domains": ["on-beta"]})
    for words in (("--machine", "beta"), ("-m", "beta"), ("--machine=beta",)):
        assert "on-beta" in room.ldm(*words, "list").stdout
    monkeypatch.setenv("SUN4V_MACHINE", "alpha")
    assert "on-alpha" in room.ldm("list").stdout
    assert "on-beta" in room.ldm("-m", "beta", "list").stdout
    monkeypatch.setenv("SUN4V_MACHINE", "")
    unclear = room.ldm("list")
    assert unclear.returncode == 1 and "alpha, beta" in unclear.stderr and "--machine" in unclear.stderr


def test_no_machine_is_on(room: Room) -> None:
    done = room.ldm("list")
    assert (done.returncode, done.stdout) == (1, "") and "no machine is on" in done.stderr


def test_bad_names_of_machines(room: Room) -> None:
    done = room.ldm("-m", "../etc", "list")
    assert done.returncode == 1 and "no name of a machine" in done.stderr


def test_a_manager_that_is_not_there(room: Room) -> None:
    """The product's words, which programs look for; then the remedy."""
    room.power_on("alpha", manager=False)
    (room.home / "run" / "alpha" / "ldmd.sock").touch()
    done = room.ldm("list")
    first, *rest = done.stderr.splitlines()
    assert first == "Failed to connect to logical domain manager: Connection refused"
    assert done.returncode == 1 and any(line.startswith("Remedy: start ldmd") for line in rest)


def test_lines_come_and_the_history_knows_what_was_typed(room: Room) -> None:
    manager = room.power_on("alpha")
    done = room.ldm("start-reconf", "primary")
    assert done.returncode == 0
    assert "Initiating a delayed reconfiguration operation on the primary domain." in done.stdout + done.stderr
    assert manager.history(10)[-1]["line"] == "ldm start-reconf primary"


def test_help_needs_no_manager(room: Room) -> None:
    for words in (("--help",), ("--help", "stop"), ("stop", "--help"), ("--completion", "bash")):
        done = room.ldm(*words)
        assert done.returncode == 0 and done.stdout and not done.stderr
    bare = room.ldm()
    assert bare.returncode == 2 and "Usage:" in bare.stderr and not bare.stdout


def test_nobody_reads(room: Room) -> None:
    """`ldm list-devices | head -0`: it ends by itself, says nothing, and its status is that of a broken pipe."""
    room.power_on("alpha")
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*PROGRAM, "list-devices", "-a"], stdout=write, stderr=subprocess.PIPE,
                          env=room.environment()) as process:
        os.close(write)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("words", ["ldm list", "sun4v platforms t5-2"])
def test_output_that_cannot_be_written_or_is_closed(room: Room, words: str) -> None:
    """One line and a status; a stream that was closed from the start is as /dev/null."""
    room.power_on("alpha")
    program, *rest = words.split()
    argv = [sys.executable, "-m", {"ldm": "ldmd.cli", "sun4v": "emulator.cli"}[program], *rest]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=60, env=room.environment(),
                              check=False)  # fmt: skip
    assert done.returncode == {"ldm": 1, "sun4v": 2}[program]
    assert done.stderr.decode() == f"{program}: input/output: No space left on device\n"
    closed = subprocess.run(["sh", "-c", 'exec "$@" <&- >&-', "sh", *argv], stderr=subprocess.PIPE, timeout=60,
                            env=room.environment(), check=False)  # fmt: skip
    assert (closed.returncode, closed.stderr) == (0, b"")


@contextlib.contextmanager
def operation(name: str, function: Any, *, tied: bool = False) -> Iterator[None]:
    before = OPERATIONS.get(name)
    OPERATIONS[name] = Operation(name, function, True, tied)
    try:
        yield
    finally:
        if before is None:
            del OPERATIONS[name]
        else:
            OPERATIONS[name] = before


def test_an_interrupted_command_says_that_the_operation_goes_on(room: Room) -> None:
    room.power_on("alpha")
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(context: Any, _arguments: Any) -> None:
        context.say("begun")
        begun.set()
        may_end.wait(60)
        ended.set()

    with operation("panic-domain", slow), subprocess.Popen(
            [*PROGRAM, "panic-domain", "primary"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=room.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", "lines come while the operation runs"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and "goes on" in err and "Traceback" not in err
        may_end.set()
        assert begun.is_set() and ended.wait(60)


@pytest.mark.parametrize(("number", "status", "says"), [
    (signal.SIGINT, 130, "interrupted; what it began is cancelled"), (signal.SIGKILL, -signal.SIGKILL, ""),
    (signal.SIGTERM, 143, ""), (signal.SIGHUP, 0, "")])
def test_a_migration_ends_with_its_command_but_outlives_its_terminal(room: Room, number: int, status: int, says: str
                                                                     ) -> None:
    room.power_on("alpha")
    (room.home / "secret").write_text("x")
    (room.home / "secret").chmod(0o600)
    ended, outcome, gone = threading.Event(), [], threading.Event()

    def moves(context: Any, _arguments: Any) -> None:
        context.say("begun")
        try:
            while not gone.is_set():
                context.wait(lambda: False, seconds=0.05)
        except RefusedError as error:
            outcome.append(error.code)
        ended.set()

    words = ["migrate-domain", "-p", str(room.home / "secret"), "primary", "beta"]
    with operation("migrate-domain", moves, tied=True), subprocess.Popen(
            [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=room.environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        if number == signal.SIGHUP:
            gone.set()
        _, err = process.communicate(timeout=60)
        assert (process.returncode, says in err, "Traceback" in err) == (status, True, False)
        assert ended.wait(60)
    assert outcome == ([] if number == signal.SIGHUP else ["job.cancelled"])


def test_both_sides_know_what_ends_with_its_command() -> None:
    assert {name for name, each in OPERATIONS.items() if each.tied} == \
        {name for name, each in COMMANDS.items() if each.tied} == {"migrate-domain"}


# -- without a process


def test_progress_is_one_line_on_a_terminal() -> None:
    def slow(context: Any, _arguments: Any) -> None:
        for percent in (5, 50, 100):
            context.progress(percent, "scrubbing" if percent < 100 else "done")
        context.say("LDom ldg1 panicked")

    manager = make_manager()
    with operation("panic-domain", slow):
        shown = {}
        for terminal in (True, False):
            out, err = io.StringIO(), io.StringIO()
            run(["panic", "ldg1"], screen=Screen(out, err, terminal=terminal), reach=lambda _m: InMemory(manager))
            shown[terminal] = (out.getvalue(), err.getvalue())
        lines = ldm(manager, "panic --json ldg1").out
    assert shown[True] == ("LDom ldg1 panicked\n",
                           "\r  5% scrubbing\r 50% scrubbing\r100% done     \r         \r")
    assert shown[False] == ("LDom ldg1 panicked\n", "")
    assert lines.splitlines()[0] == '{"progress": {"percent": 5, "text": "scrubbing"}}'


def test_files_are_sent_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_text("<LDM_interface/>\n<!-- é -->\n", encoding="utf-8")
    (tmp_path / "password").write_text("secret word\nmore\n", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    assert with_files(parse(["add-domain", "-i", "a.xml"]))["xml"] == "<LDM_interface/>\n<!-- é -->\n"
    assert with_files(parse(["migrate", "-p", "password", "ldg1", "beta"]))["password"] == "secret word"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"<x/>")))
    assert with_files(parse(["add-domain", "-i", "-"]))["xml"] == "<x/>"


def test_a_backend_is_a_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager runs in another directory than the one in which the person types."""
    monkeypatch.chdir(tmp_path)
    for typed, sent in (("disk.img", f"{tmp_path}/disk.img"), ("/a/../b", "/b"), ("./x", f"{tmp_path}/x")):
        assert with_files(parse(["add-vdsdev", typed, "vol@vds"]))["backend"] == sent


@pytest.mark.parametrize(("name", "content", "text"), [
    ("none", None, "No such file or directory"), ("bytes", b"<a>\xff</a>", "byte 3 is not UTF-8"),
    ("large", b"x" * (MAX_FILE_BYTES + 1), "more than 8 MiB"), (".", None, "Is a directory"),
])
def test_files_that_cannot_be_sent(tmp_path: Path, name: str, content: bytes | None, text: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = ldm(make_manager(), f"add-domain -i {tmp_path / name}")
    assert done.status == 1 and text in done.err and done.out == ""


def test_connections_are_closed_also_after_an_error() -> None:
    manager = make_manager()
    for line in ("list", "list nobody", "monitor -c 0", "-V"):
        connection = InMemory(manager)
        out = io.StringIO()
        run(line.split(), screen=Screen(out, out), reach=lambda _m, found=connection: found)  # type: ignore[misc]
        assert connection.closed == 1, line


class Watched(InMemory):
    def watch(self) -> Iterator[Mapping[str, Any]]:
        for number in range(3):
            yield {"event": "domain-state", "time": 1_700_000_000.0 + number, "domain": "ldg1", "state": "active"}


def test_events_as_lines_and_as_json() -> None:
    def monitor(*words: str) -> tuple[int, str]:
        out = io.StringIO()
        connection = Watched(make_manager())
        return run(["monitor", *words], screen=Screen(out, out), reach=lambda _m: connection), out.getvalue()

    assert monitor("-c", "2") == (0, "22:13:20 domain-state domain=ldg1 state=active\n"
                                     "22:13:21 domain-state domain=ldg1 state=active\n")
    assert monitor("--json", "-c", "1")[1] == (
        '{"event": "domain-state", "time": 1700000000.0, "domain": "ldg1", "state": "active"}\n')
    assert monitor()[1].count("\n") == 3
    assert monitor("-c", "some")[0] == 2


def test_events_over_the_socket(room: Room) -> None:
    manager = room.power_on("alpha")
    with subprocess.Popen([*PROGRAM, "monitor", "-c", "1", "--json"], stdout=subprocess.PIPE, text=True,
                          env=room.environment()) as process:
        deadline = threading.Event()
        for _ in range(600):  # until it watches
            manager.publish("test-event", domain="ldg1")
            if process.poll() is not None:
                break
            deadline.wait(0.1)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and '"event": "test-event"' in out


def test_the_version_of_records_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make_manager()
    assert ldm_ok(manager, "list -p").splitlines()[0] == "VERSION 1.17"
    monkeypatch.setenv("LDM_PARSEABLE_VERSION", "1.11")
    assert ldm_ok(manager, "list -p").splitlines()[0] == "VERSION 1.11"


def test_a_command_that_the_daemon_does_not_know() -> None:
    """An older daemon than the command: the answer names the command, and what to do."""
    class Old(InMemory):
        def call(self, command: str, arguments: Any = None, **more: Any) -> Any:
            raise RefusedError("command.unknown", f"unknown sub-command {command}")

    err = io.StringIO()
    status = run(["list"], screen=Screen(io.StringIO(), err), reach=lambda _m: Old(make_manager()))
    assert status == 1 and err.getvalue().startswith("list-domain is not supported by the logical domain manager")


def test_what_is_sent_for_short_lists_is_short() -> None:
    """`ldm list` on many domains does not have all of their devices made and sent."""
    sent: list[Any] = []

    class Noted(InMemory):
        def call(self, command: str, arguments: Any = None, **more: Any) -> Any:
            sent.append(arguments)
            return super().call(command, arguments, **more)

    for line in ("list", "list -o net,mem", "list -l"):
        run(line.split(), screen=Screen(io.StringIO(), io.StringIO()), reach=lambda _m: Noted(make_manager()))
    assert [each.get("sections") for each in sent] == ["", "mac,memory,vsw,vnet", None]


def test_the_command_does_not_load_the_emulator() -> None:
    """`ldm` answers at once: neither the C core nor the planner is needed to ask the manager."""
    check = ("import sys, ldmd.cli.main; print(sorted("
             "{'emulator._core', 'emulator.machine', 'numpy', 'ldmd.planner', 'ldmd.model'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_sun4v_does_not_load_the_manager() -> None:
    """Each command waits for what is loaded: the manager's operations, model and migration are not among it."""
    check = ("import sys, emulator.cli; print(sorted("
             "{'ldmd.operations', 'ldmd.migration', 'ldmd.model', 'http.client', 'numpy'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
