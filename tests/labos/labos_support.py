"""labos in a deterministic machine, driven through its console by budgets of instructions."""

from __future__ import annotations

from pathlib import Path

from emulator import Machine, Stop, StopReason
from emulator.firmware.program import Program
from emulator.loader import read_image

IMAGE = Path(__file__).resolve().parents[2] / "images" / "prebuilt" / "labos.elf"
PROMPT, DEBUGGER = "# ", "]> "
STEP_INSNS = 500_000
MODES = ("bare", "openboot")


class Lab:
    """A machine with labos at its prompt. `mode` is how it was started: with nothing under it, or by OpenBoot."""

    def __init__(
        self,
        *,
        mode: str = "bare",
        vcpus: int = 2,
        args: str = "",
        memory: str = "64M",
        boot: bool = True,
        **options: object,
    ) -> None:
        self.machine = Machine(memory, strands=vcpus, deterministic=True, **options)  # type: ignore[arg-type]
        self.stop: Stop | None = None
        self.seen = ""
        if mode == "openboot":
            self.machine.power_on(Program(name="labos", image=read_image(IMAGE), arguments=args))
        if not boot:
            return
        if mode == "bare":
            self.machine.boot(IMAGE, args=["labos", *args.split()] if args else ())
        self.banner = self.expect(PROMPT)

    def expect(self, end: str, *, budget: int = 100_000_000) -> str:
        """Run until the console's new output ends with `end`; gives it, without carriage returns."""
        self.seen = ""
        left = budget
        while not self.seen.endswith(end):
            assert left > 0, f"no {end!r} within {budget} instructions, but {self.seen!r}"
            self.stop = stop = self.machine.run(min(STEP_INSNS, left))
            left -= stop.insns
            self.seen += self.machine.console.read().decode("latin-1").replace("\r", "")
            if self.seen.endswith(end):
                break
            assert stop.reason in (StopReason.BUDGET, StopReason.CONSOLE), f"{stop} after {self.seen!r}"
        return self.seen

    def settle(self, budget: int = 100_000_000) -> Stop:
        """Run until something ends the run; what was written is in `seen`."""
        self.seen = ""
        while True:
            assert budget > 0, f"it runs on: {self.seen!r}"
            self.stop = stop = self.machine.run(min(STEP_INSNS, budget))
            budget -= stop.insns
            self.seen += self.machine.console.read().decode("latin-1").replace("\r", "")
            if stop.reason not in (StopReason.BUDGET, StopReason.CONSOLE):
                return stop

    def type(self, line: str) -> None:
        """Keys and Enter."""
        data = line.encode("latin-1") + b"\r"
        assert self.machine.console.feed(data) == len(data)

    def command(self, line: str, *, budget: int = 200_000_000) -> str:
        """What a command prints between its echo and the next prompt."""
        self.type(line)
        self.seen = ""
        echo = f"{line}\n"
        left = budget
        while not (self.seen.startswith(echo) and (self.seen[len(line) :].endswith(f"\n{PROMPT}"))):
            assert left > 0, f"{line!r} does not end within {budget} instructions: {self.seen!r}"
            self.stop = stop = self.machine.run(min(STEP_INSNS, left))
            left -= max(stop.insns, 1)
            self.seen += self.machine.console.read().decode("latin-1").replace("\r", "")
            ended = stop.reason not in (StopReason.BUDGET, StopReason.CONSOLE, StopReason.IDLE)
            assert not ended, f"{line!r}: {stop} after {self.seen!r}"
        return self.seen[len(echo) : -len(PROMPT)]

    def debugger(self, line: str) -> str:
        """The same in the kernel debugger."""
        self.type(line)
        return self.expect(DEBUGGER).split("\n", 1)[1].rpartition("[")[0]

    def interrupt(self) -> str:
        """BREAK: into the debugger."""
        self.machine.console.break_()
        return self.expect(DEBUGGER)

    @property
    def soft_state(self) -> str:
        return self.machine.soft_state.text
