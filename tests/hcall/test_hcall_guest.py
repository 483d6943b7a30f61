"""Every hypercall from inside a guest: images/programs/hcall, which checks status, results and all other registers."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from csrc.hyp.generate_docs import calls
from emulator import Machine, Stop, StopReason

IMAGES = Path(__file__).resolve().parents[2] / "images"
PROGRAM = IMAGES / "prebuilt" / "hcall-calls.elf"
ENDING = {"MACH_EXIT", "API_EXIT", "MACH_SIR"}
"""They do not come back: each ends a run of its own."""
NCS = {call.name for call in calls() if call.group == 0x103}


def guest(platform: str, *words: str, control: bool = False, deterministic: bool = True) -> Machine:
    """The machine that the program expects: 16 MiB, two strands, channels 0 to 3, "abc" on the console."""
    machine = Machine("16M", platform=platform, strands=2, deterministic=deterministic, rng_control=control)
    up = machine.add_channel(0)
    up.up = True
    up.export(16384)
    up.set_exported(8, b"exported")
    machine.add_channel(1)
    machine.connect_channels(2, 3)
    machine.console.feed(b"abc")
    machine.boot(PROGRAM, args=["hcall", *words])
    return machine


def run(machine: Machine) -> tuple[Stop, list[str]]:
    """To the end; MACH_SUSPEND returns at once, and what the guest sends is left where it is."""
    output = b""
    while True:
        stop = machine.run(50_000_000)
        output += machine.console.read()
        if stop.reason is StopReason.SUSPEND:
            machine.resume()
        elif stop.reason not in (StopReason.CONSOLE, StopReason.CHANNEL):
            return stop, output.decode().splitlines()


def test_the_table_is_the_hypervisors() -> None:
    text = runpy.run_path(str(IMAGES / "programs" / "hcall" / "generate_table.py"))["table_text"]()
    assert (IMAGES / "programs" / "hcall" / "table.h").read_text() == text
    assert text.count("  CALL(") == len(calls())


@pytest.mark.parametrize(("platform", "words"), [
    ("t5120", ("ncs", "control")), ("t5120", ("ncs",)), ("t5-2", ()), ("t5-2", ("control",)), ("t7-1", ()),
])  # fmt: skip
def test_every_call(platform: str, words: tuple[str, ...]) -> None:
    with guest(platform, "suspend", *words, control="control" in words) as machine:
        stop, lines = run(machine)
        assert lines[-1] == "hcall: ok", "\n".join(line for line in lines if not line.startswith("call "))
        assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
        assert machine.soft_state.text == "hcall running"
    made = {line.split()[1] for line in lines if line.startswith("call ")}
    here = {call.name for call in calls()} - ENDING - (set() if "ncs" in words else NCS)
    assert made == here


def test_every_call_with_strands_on_threads() -> None:
    """In real time the second strand runs beside the first: the calls that change what both use wait for it."""
    with guest("t5120", "suspend", "ncs", "control", control=True, deterministic=False) as machine:
        stop, lines = run(machine)
        assert lines[-1] == "hcall: ok", "\n".join(line for line in lines if not line.startswith("call "))
        assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)


@pytest.mark.parametrize(("word", "reason", "code"), [
    ("exit", StopReason.EXIT, 77), ("api_exit", StopReason.EXIT, 77), ("sir", StopReason.RESET, None),
])  # fmt: skip
def test_calls_that_end_the_guest(word: str, reason: StopReason, code: int | None) -> None:
    with guest("t5-2", word) as machine:
        stop, lines = run(machine)
        assert (stop.reason, stop.exit_code, lines) == (reason, code, [])


def test_the_program_finds_what_is_wrong() -> None:
    """A machine without what the command line promises makes it fail: its checks are checks."""
    with guest("t5-2", "suspend", "ncs") as machine:
        stop, lines = run(machine)
    assert (stop.exit_code, lines[-1]) == (1, "hcall: FAILED")


@pytest.mark.parametrize("platform", ["t5120", "t7-1"])
def test_twice_the_same(platform: str) -> None:
    digests = []
    for _ in range(2):
        with guest(platform, "suspend", *(("ncs",) if platform == "t5120" else ())) as machine:
            run(machine)
            digests.append(machine.digest())
    assert digests[0] == digests[1]
