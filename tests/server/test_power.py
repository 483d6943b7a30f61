"""Machines as processes: on, off, killed, crashed, listed, forgotten; consoles from a pipe and from a terminal."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from server_support import labos_spec

from emulator import cli, places
from emulator.hvctl.client import Hvctl, HvctlError
from emulator.power import children, control
from emulator.power.options import MachineOptions
from ldmd import daemon, vntsd_daemon

DEADLINE = 120


class Rack:
    """Machines below one directory; whatever happens, none is left."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "S4V_HOME": str(home)}
        self.env.pop("SUN4V_MACHINE", None)

    def run(self, *words: str, status: int = 0, **more: Any) -> str:
        """`sun4v` with these words; standard output and error together."""
        done = subprocess.run(
            [sys.executable, "-m", "emulator.cli", *words], env=self.env, timeout=DEADLINE, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more,
        )  # fmt: skip
        assert done.returncode == status, f"sun4v {' '.join(words)}: status {done.returncode}\n{done.stdout}"
        return done.stdout

    def on(self, name: str, *words: str) -> Hvctl:
        self.run("power-on", name, "--no-ldmd", "--memory", "64G", *words)
        return Hvctl(places.place(name).hvctl)

    def states(self) -> dict[str, str]:
        return {machine["name"]: machine["state"] for machine in json.loads(self.run("machines", "--json"))}

    def boot(self, client: Hvctl, number: int, **changes: Any) -> None:
        """A labos guest, up to its prompt."""
        client.call("guest.configure", spec=labos_spec(number, **changes))
        client.call("guest.start", guest=number)
        _, fds = client.call_fds("console.open", guest=number, replay=True)
        with socket.socket(fileno=fds[0]) as console:
            console.settimeout(DEADLINE)
            seen = b""
            while not seen.endswith(b"\n# "):
                more = console.recv(65536)
                assert more, seen
                seen += more

    def close(self) -> None:
        for name in places.machine_names():
            where = places.place(name)
            for path in (where.machine_pid, where.ldmd_pid, where.vntsd_pid):
                children.end(path, signal.SIGKILL)


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    found = Rack(tmp_path)
    yield found
    found.close()


def test_on_and_off(rack: Rack) -> None:
    assert rack.run("machines") == ""
    said = rack.run("power-on", "alpha", "--platform", "m7-16", "--memory", "512G", "--no-ldmd")
    pid = places.holder(places.place("alpha").machine_pid)
    assert said == f"alpha: m7-16, 512G, process {pid}\n"
    machine = json.loads(rack.run("machines", "--json"))[0]
    assert machine["state"] == "on" and machine["memory_bytes"] == 512 << 30 and machine["pid"] == pid
    assert "alpha  on     m7-16     512G" in rack.run("machines")
    assert os.getsid(pid or 0) == pid  # a session of its own: the terminal's end is not the machine's
    assert f"is on already (process {pid})" in rack.run("power-on", "alpha", status=1)
    assert rack.run("power-off", "alpha") == ""
    assert rack.states() == {"alpha": "off"} and not places.place("alpha").hvctl.exists()
    assert "is not on" in rack.run("power-off", "alpha", status=1)
    assert rack.run("power-on", "alpha", "--no-ldmd").startswith("alpha: m7-16, 512G")  # as the last time
    rack.run("power-off", "--all", "--force")
    assert rack.states() == {"alpha": "off"}
    assert "alpha is off" in places.place("alpha").machine_log.read_text()


def test_names_that_no_machine_has(rack: Rack, capsys: pytest.CaptureFixture[str]) -> None:
    """Said with the names that there are, whatever was wanted of it; and nothing is made for them."""
    mains: dict[str, Callable[[Sequence[str]], int]] = {
        "sun4v": cli.main, "ldmd": daemon.main, "vntsd": vntsd_daemon.main,
    }  # fmt: skip
    for line in ("sun4v power-off alhpa", "sun4v kill alhpa", "sun4v delete alhpa", "sun4v console alhpa/ldg1",
                 "sun4v gdb alhpa/ldg1", "sun4v events alhpa", "sun4v machines alhpa", "ldmd --machine alhpa",
                 "vntsd --machine alhpa"):  # fmt: skip
        program, *words = line.split()
        assert mains[program](words) == 1, line
        assert capsys.readouterr().err == f"{program}: there is no machine alhpa; there are: none\n", line
    assert list(rack.home.iterdir()) == []


def test_an_interrupted_power_on_leaves_nothing_on(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the machine, or its manager, is waited for."""
    where = places.place("alpha")
    options = MachineOptions(platform="t4-1", memory_bytes=8 << 30)
    read = children._read
    waits = 0

    def interrupted(fd: int, seconds: float) -> str | None:
        nonlocal waits
        waits += 1
        if waits in (1, 3):  # the machine the first time; the manager of the second
            raise KeyboardInterrupt
        return read(fd, seconds)

    monkeypatch.setattr(children, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        control.start_machine(where, options)
    assert places.holder(where.machine_pid) is None
    assert control.start_machine(where, options)["platform"] == "t4-1"
    assert where.on
    with pytest.raises(KeyboardInterrupt):
        control.start_companions(where)
    assert [places.holder(path) for path in (where.machine_pid, where.ldmd_pid, where.vntsd_pid)] == [None] * 3
    assert rack.states() == {"alpha": "off"}


def test_what_cannot_be_powered_on(rack: Rack) -> None:
    (rack.home / "odd.toml").write_text('name = "odd"\n')
    for words, says in (
        (["alpha", "--platform", "pdp-11"], "unknown platform 'pdp-11'"),
        (["alpha", "--memory", "1P"], "unknown unit"),
        (["alpha", "--memory", "99T"], "can have up to 1T of memory"),
        (["../alpha"], "is no name of a machine"),
        (["alpha", "--platform", str(rack.home / "odd.toml")], "odd.toml"),
    ):
        said = rack.run("power-on", "--no-ldmd", *words, status=2)
        assert says in said and "Traceback" not in said
    assert rack.states() == {}
    env = {**rack.env, "S4V_HOME": str(rack.home / ("x" * 100))}
    done = subprocess.run([sys.executable, "-m", "emulator.cli", "power-on", "alpha"], env=env, capture_output=True,
                          text=True, timeout=DEADLINE, check=False)  # fmt: skip
    assert done.returncode == 2 and "107 bytes" in done.stderr


def test_a_process_that_does_not_start_says_why(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    where = places.place("alpha")
    where.make()
    where.hvctl.mkdir()  # where the socket should be
    said = rack.run("power-on", "alpha", "--no-ldmd", status=1)
    assert "alpha did not start" in said and "Traceback" not in said and len(said.splitlines()) == 1
    where.hvctl.rmdir()
    rack.on("alpha").close()


def limited(rack: Rack, soft: int, hard: int) -> None:
    """Power on from a shell with these limits of open files."""
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    rack.run("power-on", "alpha", "--no-ldmd", "--memory", "64G", preexec_fn=lower)


def refusal(client: Hvctl, op: str, **args: Any) -> HvctlError | None:
    """The machine's no to a request."""
    try:
        client.call(op, **args)
    except HvctlError as error:
        return error
    return None


def test_the_limit_of_open_files_is_raised(rack: Rack) -> None:
    limited(rack, 64, 4000)
    pid = places.holder(places.place("alpha").machine_pid)
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert next(line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")) == ["4000"] * 2
    assert "open files" not in places.place("alpha").machine_log.read_text()


def test_too_few_open_files_are_an_error_that_says_so(rack: Rack) -> None:
    """Guests start until no descriptor is left; those that run, and who is connected, go on; so do guests after it."""
    limited(rack, 32, 40)
    assert "may have 40 open files; 128 guests need about" in places.place("alpha").machine_log.read_text()
    with Hvctl(places.place("alpha").hvctl) as client:
        for number in range(1, 40):
            client.call("guest.configure", spec=labos_spec(number))
            trouble = refusal(client, "guest.start", guest=number)
            if trouble is not None:
                assert trouble.code == "descriptors" and "ulimit -Hn" in str(trouble), (trouble.code, str(trouble))
                break
        states = [status["state"] for status in client.call("guest.list")]
        assert 3 < len(states) < 39 and states == ["running"] * (number - 1) + ["defined"]
        for one in (1, 2):
            client.call("guest.stop", guest=one)
        client.call("guest.start", guest=number)
        with Hvctl(places.place("alpha").hvctl) as other:
            assert other.call("guest.status", guest=number)["state"] == "running"


def test_the_power_cord_and_a_crash(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
    rack.run("kill", "alpha")
    assert rack.states() == {"alpha": "off"}
    assert "is not on" in rack.run("kill", "alpha", status=1)
    with rack.on("alpha") as client:
        assert client.call("guest.list") == []  # nothing is left of its guests
        os.kill(client.hello["pid"], signal.SIGKILL)
        children.wait_end(places.place("alpha").machine_pid, seconds=DEADLINE)
    assert rack.states() == {"alpha": "crashed"}
    assert "crashed" in rack.run("machines", "alpha")
    assert places.place("alpha").hvctl.exists()  # left behind, and no hindrance
    rack.on("alpha").close()
    assert rack.states() == {"alpha": "on"}


def test_a_process_number_that_is_somebody_elses_now(rack: Rack) -> None:
    where = places.place("alpha")
    where.make()
    where.machine_pid.write_text(f"{os.getpid()}\n")
    assert rack.states() == {"alpha": "crashed"}
    assert "is not on" in rack.run("kill", "alpha", status=1)  # and we live
    rack.on("alpha").close()


def test_guests_are_shut_down(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
        rack.boot(client, 2)
        client.call("guest.configure", spec=labos_spec(3, variables={"auto-boot?": "false"}) | {"boot": {}})
        client.call("guest.start", guest=3)
        client.call("events.subscribe")
        said = rack.run("power-off", "alpha")
        assert said.count("is shutting down") == 2 and said.count("has ended") == 2
        events = list(client.events(seconds=DEADLINE))
    ends = {event["guest"]: event["text"] for event in events
            if event["event"] == "guest.state" and event["state"] == "halted"}  # fmt: skip
    assert ends == {1: "", 2: "", 3: "the machine was powered off"}
    assert events[-1]["event"] == "machine.power_off"


def test_sigterm_powers_off(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
        os.kill(client.hello["pid"], signal.SIGTERM)
        assert children.wait_end(places.place("alpha").machine_pid, seconds=DEADLINE)
    assert rack.states() == {"alpha": "off"}


def test_in_the_foreground(rack: Rack) -> None:
    argv = [sys.executable, "-m", "emulator.cli", "power-on", "alpha", "--foreground", "--memory", "64G"]
    with subprocess.Popen(argv, env=rack.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "alpha is on: a SPARC T5-2 with 64G" in process.stderr.readline()
        assert rack.states() == {"alpha": "on"}
        process.send_signal(signal.SIGINT)
        assert "alpha is off" in process.stderr.read()
        assert process.wait(DEADLINE) == 0


def test_several_machines_and_delete(rack: Rack) -> None:
    for name in ("beta", "alpha"):
        rack.on(name).close()
    assert rack.states() == {"alpha": "on", "beta": "on"}
    assert "several machines are on (alpha, beta)" in rack.run("events", status=2)
    assert "is on; power it off first" in rack.run("delete", "alpha", "--yes", status=1)
    rack.run("power-off", "alpha", "--force")
    assert "say --yes" in rack.run("delete", "alpha", status=2, stdin=subprocess.DEVNULL)
    rack.run("delete", "alpha", "--yes")
    assert rack.states() == {"beta": "on"} and not (rack.home / "machines/alpha").exists()
    assert "there is no machine" in rack.run("delete", "alpha", "--yes", status=1)
    assert "there is no machine gamma" in rack.run("machines", "gamma", status=1)


def test_events(rack: Rack) -> None:
    with rack.on("alpha") as client:
        client.call("guest.configure", spec=labos_spec(1))
        client.call("guest.destroy", guest=1)
        lines = [json.loads(line) for line in rack.run("events", "--json").splitlines()]
        assert [line["event"] for line in lines] == ["guest.state"] * 2
        assert [line["why"] for line in lines] == ["defined", "destroyed"]
        text = rack.run("events", "alpha", "--since", "1").splitlines()
        assert len(text) == 1 and "2 guest.state guest=1 state=defined why=destroyed" in text[0]
        argv = [sys.executable, "-m", "emulator.cli", "events", "alpha", "--follow", "--json"]
        with subprocess.Popen(argv, env=rack.env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in lines:
                process.stdout.readline()
            client.call("guest.configure", spec=labos_spec(2))
            assert json.loads(process.stdout.readline())["guest"] == 2
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE)


def test_console_from_a_pipe(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
        said = rack.run("console", "g1", "--no-replay", "--until", "sparc sun4v", input="uname -a\r")
        assert "SunOS labos" in said
        assert "labos 5.11" in rack.run("console", "alpha/1", "--until", "# ", input="")
        assert "no domain g7 is bound on alpha; bound are: g1" in rack.run("console", "alpha/g7", status=1, input="")
        assert "there is no machine beta; there are: alpha" in rack.run("console", "beta/g7", status=1, input="")


def read_pty(fd: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([fd], [], [], DEADLINE)[0], seen
        seen += os.read(fd, 65536)
    return seen


def test_console_on_a_terminal(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
        master, slave = pty.openpty()
        argv = [sys.executable, "-m", "emulator.cli", "console", "alpha/g1"]
        with subprocess.Popen(argv, env=rack.env, stdin=slave, stdout=slave, stderr=slave) as process:
            os.close(slave)
            assert read_pty(master, b"\n# ").startswith(b"~. at the start of a line leaves, ~? tells more\r\n")
            os.write(master, b"\x03\recho a~.b\r")  # Ctrl-C is the guest's; ~ counts at the start of a line only
            read_pty(master, b"a~.b\r\n# ")
            os.write(master, b"\r~?")
            assert b"send a break" in read_pty(master, b"this list")
            os.write(master, b"\r~#")
            read_pty(master, b"]> ")  # the debugger of labos
            os.write(master, b"\r~.")
            assert process.wait(DEADLINE) == 0
        os.close(master)


def test_gdb_at_a_domain_that_does_not_run(rack: Rack) -> None:
    """It may wait for it: the person is told so."""
    with rack.on("alpha") as client:
        client.call("guest.configure", spec=labos_spec(1))
        done = rack.run("gdb", "alpha/g1", "--stdio", status=1, input="+")
    assert "sun4v: g1 does not run: GDB can connect once it has been started (`ldm start-domain g1`)\n" in done


def test_the_machine_goes_while_somebody_is_on_a_console(rack: Rack) -> None:
    with rack.on("alpha") as client:
        rack.boot(client, 1)
    argv = [sys.executable, "-m", "emulator.cli", "console", "alpha/g1", "--until", "never"]
    with subprocess.Popen(argv, env=rack.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read_pty(process.stdout.fileno(), b"\n# ")
        rack.run("kill", "alpha")
        assert process.wait(DEADLINE) == 0


def test_with_manager_and_console_server(rack: Rack) -> None:
    rack.run("power-on", "alpha", "--memory", "64G")
    where = places.place("alpha")
    pids = [places.holder(path) for path in (where.machine_pid, where.ldmd_pid, where.vntsd_pid)]
    assert all(pids) and len(set(pids)) == 3
    machine = json.loads(rack.run("machines", "--json"))[0]
    assert machine["ldmd"] is True and machine["vntsd"] is True
    argv = [sys.executable, "-c", "import sys; from ldmd.cli import main; sys.exit(main())", "list"]
    listed = subprocess.run(argv, env=rack.env, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert listed.returncode == 0 and "primary" in listed.stdout, listed
    rack.run("power-off", "alpha")
    assert [places.holder(path) for path in (where.machine_pid, where.ldmd_pid, where.vntsd_pid)] == [None] * 3
    rack.run("power-on", "alpha")
    rack.run("kill", "alpha")
    assert [places.holder(path) for path in (where.machine_pid, where.ldmd_pid, where.vntsd_pid)] == [None] * 3
    assert rack.states() == {"alpha": "off"}


def test_deterministic_machines_agree(rack: Rack) -> None:
    def digest(name: str) -> Any:
        with rack.on(name, "--deterministic") as client:
            client.call("machine.clock", run=False)
            client.call("guest.configure", spec=labos_spec(1))
            client.call("guest.start", guest=1)
            client.call("machine.advance", ns=50_000_000)
            return client.call("guest.digest", guest=1)["insns"]

    assert digest("one") == digest("two") > 100_000


def test_machine_states_without_an_answer(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that lives but does not answer is neither on nor off."""
    where = places.place("alpha")
    where.make()
    held = places.hold(where.machine_pid)
    assert control.machine_state(where).state == "mute"
    held.release()
    assert control.machine_state(where).state == "off"
