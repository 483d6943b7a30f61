"""labos comes up on every chip, with any number of vcpus, with firmware and without, and ends as it is told to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from labos_support import IMAGE, MODES, PROMPT, Lab

from emulator import StopReason
from emulator.firmware.program import wants_firmware
from emulator.guest import StrandState
from emulator.loader import read_image
from emulator.mdesc import build, plain_resources
from emulator.mdesc.resources import MemorySegment

SHAPES = [
    ("t1000", "native", 2), ("t5220", "native", 8), ("t3-1", "generic", 3), ("t4-1", "native", 1),
    ("t5-2", "native", 64), ("t5-2", "migration-class1", 4), ("m5-32", "native", 2), ("m7-8", "generic", 5),
    ("s7-2", "native", 2), ("m8-8", "native", 2), ("m10-1", "native", 2), ("m10-4", "sparc64-class1", 4),
    ("m12-2", "native", 2),
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("platform", "arch", "vcpus"), SHAPES)
def test_it_boots(mode: str, platform: str, arch: str, vcpus: int) -> None:
    lab = Lab(mode=mode, vcpus=vcpus, platform=platform, cpu_arch=arch, args="-v hostname=ldg1")
    hz = lab.machine.platform.stick_hz
    assert lab.banner.endswith(
        "labos 5.11 Version 11.3 64-bit\n"
        f"platform: {lab.machine.platform.title}\n"
        f"memory: 64 MB, cpus: {vcpus}, stick {hz} Hz\n"
        f"Hostname: ldg1\n{PROMPT}"
    )
    assert lab.machine.soft_state.normal and lab.soft_state == "Solaris running"
    assert all(strand.state is StrandState.RUNNING for strand in lab.machine.strands)
    assert lab.command("psrinfo") == "".join(f"{number}\ton-line\n" for number in range(vcpus))
    assert lab.command("run check") == "check: ok\n"


@pytest.mark.parametrize("memory", ["8M", "12M", "1021M", "64G"])
def test_any_size_of_memory(memory: str) -> None:
    lab = Lab(memory=memory, vcpus=1)
    megabytes = lab.machine.memory.size_bytes >> 20
    assert lab.command("mem").startswith(f"total {megabytes} MB, free ")
    assert lab.command("run check") == "check: ok\n"


def test_boot_is_short() -> None:
    """Under 100 milliseconds of a host's time: some millions of instructions would be too many."""
    for mode in MODES:
        lab = Lab(mode=mode, vcpus=4)
        assert lab.machine.insns < 2_000_000, mode


def test_soft_state_while_it_boots() -> None:
    lab = Lab(boot=False)
    lab.machine.boot(IMAGE)
    lab.machine.run(12_000)
    assert not lab.machine.soft_state.normal and lab.soft_state == "Solaris booting"


def test_the_image_asks_for_firmware() -> None:
    image = read_image(IMAGE)
    assert wants_firmware(image)
    assert all(segment.ra == segment.va for segment in image.segments)
    assert image.segments[0].ra == 0x400000 and image.end <= 0x800000


@pytest.mark.parametrize("mode", MODES)
def test_halt(mode: str) -> None:
    lab = Lab(mode=mode)
    lab.type("halt")
    stop = lab.settle()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
    assert lab.seen.endswith("syncing file systems... done\nProgram terminated\n")
    assert lab.soft_state == "Solaris halting"


def test_reboot() -> None:
    lab = Lab(mode="openboot", args="hostname=again")
    lab.type("reboot")
    assert lab.settle().reason is StopReason.RESET
    assert lab.soft_state == "Solaris rebooting"
    lab.machine.reset()
    assert lab.expect(PROMPT).endswith(f"Hostname: again\n{PROMPT}")
    assert lab.command("run check") == "check: ok\n"


def test_end_of_input_halts_where_there_is_no_firmware() -> None:
    lab = Lab()
    lab.machine.console.feed(b"echo last words\r")
    lab.machine.console.hangup()
    stop = lab.settle()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 0)
    assert "last words\n" in lab.seen


@pytest.mark.parametrize("vcpus", [1, 3])
def test_equal_inputs_give_equal_machines(vcpus: int) -> None:
    """However a run is cut: the digest is that of the instructions."""
    digests = []
    for step in (100_000, 33_331):
        lab = Lab(vcpus=vcpus)
        for line in ("run check", "spin 2", "dirty 100000 1M", "ps"):
            lab.type(line)
            target = lab.machine.insns + 3_000_000
            while lab.machine.insns < target:
                stop = lab.machine.run(min(step, target - lab.machine.insns))
                lab.machine.console.read()
                if stop.reason is StopReason.IDLE:
                    break
        digests.append(lab.machine.digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("chunk", [1, 5])
def test_the_image_may_be_anywhere(chunk: int) -> None:
    """At another multiple of 4 MiB than it is linked for, as firmware may have it; other cpus start there as well."""
    image = read_image(IMAGE)
    by = chunk * (4 << 20)
    segments = tuple(replace(segment, ra=segment.ra + by) for segment in image.segments)
    lab = Lab(boot=False, vcpus=3)
    lab.machine.boot(replace(image, entry=image.entry + by, segments=segments))
    lab.expect(PROMPT)
    assert lab.command("run check") == "check: ok\n"
    assert lab.command("psradm -f 1") == "" and lab.command("psradm -n 1") == ""
    lab.type("suspend")
    assert lab.settle().reason is StopReason.SUSPEND
    lab.machine.resume()
    lab.expect(PROMPT)
    assert lab.command("dirty 1000 8M") == "dirty: 1000 stamps/s over 1024 pages\n"


def test_memory_that_does_not_begin_at_0_and_has_holes() -> None:
    lab = Lab(boot=False, vcpus=2, memory="128M")
    machine = lab.machine
    blocks = [(4, 8), (16, 20), (64, 64)]  # MiB: from, how many
    segments = tuple(MemorySegment(ra=ra << 20, size_bytes=size << 20) for ra, size in blocks)
    plain = plain_resources(machine.platform, 2, machine.memory.size_bytes)
    machine.machine_description = build(machine.platform, replace(plain, memory=segments))
    machine.boot(IMAGE)
    lab.expect(PROMPT)
    assert lab.command("mem").startswith("total 92 MB, free ")
    assert "pages" in lab.command("dirty 100 70M")
    lab.machine.dirty_harvest()
    assert lab.command("run check") == "check: ok\n"
    lab.machine.run(5_000_000)
    touched = {page * 8192 >> 20 for page in machine.dirty_harvest()}
    assert all(any(ra <= megabyte < ra + size for ra, size in blocks) for megabyte in touched)
