"""A guest under load, saved, killed, and loaded in a fresh process, goes on; in deterministic mode bit for bit."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from guest_console import GuestConsole
from linux_guest import Linux, boot_linux

pytestmark = [pytest.mark.slow, pytest.mark.nosan]

LOAD = "(load dirty 24 3 & load fp 6 8 & load threads 4 300 & load forks 60 & wait; echo load-\"ended\")"
BEFORE_INSNS = 150_000_000
AFTER_INSNS = 200_000_000
STEP_INSNS = 1_000_000
HERE = Path(__file__).parent

GO_ON = """
import sys
from pathlib import Path
from guest_console import GuestConsole
from linux_guest import CRYPTO, Linux
from emulator import Machine

folder, state, steps, step_insns = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with Machine("192M", strands=3, deterministic=True) as machine:
    machine.power_on(Linux(folder).program(CRYPTO["none"]))
    machine.console.read()
    machine.load(state.read_bytes())
    guest = GuestConsole(machine)
    for _ in range(steps):
        guest.step(step_insns)
    print(machine.digest().hex(), flush=True)
    guest.expect("load-ended")
    words = guest.command("dmesg | tail -n 1; echo fine")
    assert words.endswith("fine\\n")
    sys.stdout.write(guest.text)
"""


def loaded_guest(linux: Linux) -> GuestConsole:
    guest = boot_linux(linux, vcpus=3, memory="192M")
    guest.send(LOAD)
    run_on(guest, BEFORE_INSNS)
    return guest


def run_on(guest: GuestConsole, insns: int) -> None:
    for _ in range(insns // STEP_INSNS):
        guest.step(STEP_INSNS)


def test_a_saved_guest_goes_on_in_a_fresh_process(linux: Linux, tmp_path: Path) -> None:
    """The same digest three ways: never saved; saved and run on; loaded elsewhere. Then the load ends as it should."""
    plain = loaded_guest(linux)
    run_on(plain, AFTER_INSNS)
    uninterrupted = plain.machine.digest()
    plain.machine.close()

    saved = loaded_guest(linux)
    state = saved.machine.save()
    (tmp_path / "state").write_bytes(state)
    said_before = len(saved.text)
    run_on(saved, AFTER_INSNS)
    assert saved.machine.digest() == uninterrupted
    saved.expect("load-ended")
    saved_text = saved.text[said_before:]
    saved.machine.close()

    script = tmp_path / "go_on.py"
    script.write_text(GO_ON)
    command = [sys.executable, str(script), str(linux.folder), str(tmp_path / "state"),
               str(AFTER_INSNS // STEP_INSNS), str(STEP_INSNS)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={"PYTHONPATH": f"{HERE}:{HERE.parent}"})  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    digest, _, text = done.stdout.partition("\n")
    assert digest == uninterrupted.hex()
    for line in ("dirty: ok 24 MiB", "fp: ok 6 processes", "threads: ok 4 threads", "forks: ok 60 children"):
        assert line in saved.text
    assert text.startswith(saved_text.replace("\r\n", "\n")[: len(saved_text) // 2])


def test_two_boots_are_equal(linux: Linux) -> None:
    """Same inputs, same digest; one more input, another."""
    digests = []
    for line in ("load sums 1", "load sums 1", "load sums 2"):
        guest = boot_linux(linux, vcpus=2, memory="128M")
        guest.command(line)
        digests.append(hashlib.sha256(guest.machine.digest() + guest.text.encode()).hexdigest())
        guest.machine.close()
    assert digests[0] == digests[1] != digests[2]
