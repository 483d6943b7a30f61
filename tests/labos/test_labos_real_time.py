"""In real time every strand is a thread of the host: locks, calls and parking among cpus that run side by side."""

from __future__ import annotations

from labos_support import DEBUGGER, IMAGE, PROMPT

from emulator import Machine, Stop, StopReason

MOST_RUNS = 20_000  # a machine that hangs must not hang the test: so many looks at it
ENDS = (StopReason.SUSPEND, StopReason.EXIT, StopReason.RESET, StopReason.WATCHDOG)


class Session:
    """A machine on threads, and what its console said."""

    def __init__(self, vcpus: int) -> None:
        self.machine = Machine("128M", strands=vcpus)
        self.machine.boot(IMAGE)
        self.until(PROMPT)

    def until(self, end: str) -> str:
        """Run until the output ends with `end`, or the machine stops by itself."""
        seen = ""
        for _ in range(MOST_RUNS):
            self.stop: Stop = self.machine.run(1_000_000)
            seen += self.machine.console.read().decode().replace("\r", "")
            if seen.endswith(end) or self.stop.reason in ENDS:
                return seen
        raise AssertionError(f"no {end!r}, but {seen!r}")

    def command(self, line: str, end: str = PROMPT) -> str:
        self.machine.console.feed(f"{line}\r".encode())
        return self.until(end)


def test_everything_at_once() -> None:
    """Debugger, suspend, cpus that come and go, all while programs compute and stamps are written."""
    session = Session(vcpus=4)
    machine = session.machine
    session.command("spin 3")
    session.command("dirty 20000 2M")
    for number in range(8):
        machine.console.break_()
        session.until(DEBUGGER)
        assert machine.soft_state.text == "Solaris debugging"
        trace = session.command("bt", DEBUGGER)  # of whatever that cpu was at
        assert "#0" in trace or "user program at" in trace
        machine.console.feed(b"go\rsuspend\r")
        session.until("never")
        assert session.stop.reason is StopReason.SUSPEND
        machine.resume()
        session.until(PROMPT)
        assert machine.soft_state.text == "Solaris running"
        cpu = number % 4
        assert session.command(f"psradm -f {cpu}").endswith(f"psradm -f {cpu}\n{PROMPT}")
        assert session.command(f"psradm -n {cpu}").endswith(f"psradm -n {cpu}\n{PROMPT}")
    assert session.command("dirty check").endswith(f"256 pages, 0 wrong\n{PROMPT}")
    assert session.command("ps").count(" spin\n") == 3
    session.command("spin stop")
    assert session.command("run check").endswith(f"check: ok\n{PROMPT}")
    machine.close()


def test_programs_come_and_go_on_all_cpus() -> None:
    session = Session(vcpus=4)
    session.command("spin 6")
    for _ in range(10):
        assert session.command("run hello").endswith(f"\n{PROMPT}")
        assert "data access MMU miss" in session.command("run crash write")
    session.command("spin stop")
    assert session.command("run check").endswith(f"check: ok\n{PROMPT}")
    session.command("panic", "rebooting...\n")
    assert session.stop.reason is StopReason.RESET
    session.machine.close()
