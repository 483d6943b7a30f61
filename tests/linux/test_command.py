"""`sun4v run` with Linux, as a user types it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from linux_support import CRYPTO, Linux

pytestmark = [pytest.mark.slow, pytest.mark.nosan]


def sun4v_run(linux: Linux, *words: str, append: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator.cli", "run", *words, "--initrd", str(linux.initrd),
               "--append", f"console=ttyHV0 {CRYPTO['none']} {append}", str(linux.kernel)]  # fmt: skip
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_boot_work_and_poweroff_in_real_time(linux: Linux) -> None:
    done = sun4v_run(linux, "--platform", "t5-2", "--vcpus", "4", "--memory", "1G",
                     append="s4v.run=nproc s4v.run=load,fp,4,2 s4v.off")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "init: run nproc\n4\n" in done.stdout.replace("\r\n", "\n")
    assert "fp: ok 4 processes" in done.stdout
    assert "reboot: Power down" in done.stdout
    assert done.stderr == ""


def test_typed_ahead_input_deterministic(linux: Linux) -> None:
    done = sun4v_run(linux, "--deterministic", "--platform", "m7-8", "--vcpus", "2", append="",
                     stdin="uname -m\nload sums 1\npoweroff -f\n")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nsparc64\n" in done.stdout.replace("\r\n", "\n")
    assert "sums: ok 0d6c2cba2017a646" in done.stdout


def test_no_reboot_ends_with_status_0(linux: Linux) -> None:
    done = sun4v_run(linux, "--deterministic", "--no-reboot", append="s4v.reboot")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Linux version") == done.stdout.count("reboot: Restarting system") == 1


def test_reboot_boots_again(linux: Linux) -> None:
    """A guest that restarts itself for ever, until the limit."""
    done = sun4v_run(linux, "--deterministic", "--max-insns", "3G", append="s4v.reboot")
    assert done.returncode == 124, done.stdout + done.stderr
    assert done.stdout.count("init: shell") == 0
    assert done.stdout.count("init: Linux") >= 2
