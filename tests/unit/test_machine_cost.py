"""What machines cost that do nothing: a server has more than a hundred domains in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"

_CENSUS = r"""
import gc, json, os, sys
from emulator.machine import Machine
from emulator.firmware.program import read_program

def cost():
    gc.collect()
    kib = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return kib, sum(1 for _ in open("/proc/self/maps")), len(os.listdir("/proc/self/fd")), threads()

def threads():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("Threads"))

def made(n):
    size = options["gib"] << 30
    blocks = [(0x1000_0000, n * size, size)]
    return Machine(blocks=blocks, strands=options["strands"], max_strands=options["most"], platform=options["platform"])

options = json.loads(sys.argv[1])
made(0).close()
before = cost()
machines = [made(n) for n in range(options["count"])]
after = cost()
seen = []
for machine in machines[:: max(len(machines) // 2, 1)] if options["boot"] else []:
    machine.power_on(read_program(options["boot"]))
    text = b""
    for _ in range(200):
        machine.run(5_000_000)
        text += machine.console.read()
        if text.endswith(b"# "):
            break
    seen.append(text[-2:].decode())
each = [(b - a) / len(machines) for a, b in zip(before, after)]
print(json.dumps({"kib": each[0], "maps": each[1], "fds": each[2], "threads": each[3], "seen": seen}))
"""


def census(**options: object) -> dict[str, object]:
    wanted = {"count": 1, "gib": 4, "strands": 1, "most": 1, "platform": "m7-16", "boot": "", **options}
    done = subprocess.run(
        [sys.executable, "-c", _CENSUS, json.dumps(wanted)],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_many_domains_in_one_process() -> None:
    """128 domains of 4 GiB with 8 strands of up to 256; labos boots in two of them. A block is two descriptors."""
    each = census(count=128, strands=8, most=256, boot=str(LABOS))
    assert each["kib"] < 1500  # type: ignore[operator]
    assert each["maps"] < 12  # type: ignore[operator]
    assert (each["fds"], each["threads"]) == (2, 0)
    assert each["seen"] == ["# "] * 2


@pytest.mark.parametrize(("platform", "gib", "count"), [("t5-2", 512, 2), ("m7-16", 4096, 4)])
def test_large_domains_cost_what_they_touch(platform: str, gib: int, count: int) -> None:
    each = census(platform=platform, gib=gib, count=count)
    assert each["kib"] < 1500  # type: ignore[operator]
    assert each["fds"] == 2
