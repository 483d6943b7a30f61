"""`sun4v run` with Linux, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from linux_guest import CRYPTO, Linux

pytestmark = [pytest.mark.slow, pytest.mark.nosan]


def command_line(linux: Linux, *words: str, append: str) -> list[str]:
    return [sys.executable, "-m", "emulator.cli", "run", *words, "--initrd", str(linux.initrd),
            "--append", f"console=ttyHV0 {CRYPTO['none']} {append}", str(linux.kernel)]  # fmt: skip


def sun4v_run(linux: Linux, *words: str, append: str) -> subprocess.CompletedProcess[str]:
    """Run to the end with nothing on standard input; line ends as on the host."""
    return subprocess.run(command_line(linux, *words, append=append), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)  # fmt: skip


def read_until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Standard output up to a text."""
    assert process.stdout is not None
    out = b""
    while text not in out:
        data = os.read(process.stdout.fileno(), 65536)
        assert data, f"the output ended without {text!r}:\n{out.decode('latin-1')}"
        out += data
    return out


def test_work_and_poweroff_in_real_time(linux: Linux) -> None:
    done = sun4v_run(linux, "--platform", "t5-2", "--vcpus", "4", "--memory", "1G",
                     append="s4v.run=nproc s4v.run=load,fp,4,2 s4v.off")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "init: run nproc\n4\n" in done.stdout
    assert "fp: ok 4 processes" in done.stdout
    assert "reboot: Power down" in done.stdout
    assert done.stderr == ""


def test_typed_commands(linux: Linux) -> None:
    """By pipes, as a script would; Linux has no use for what was typed before it opened its console."""
    line = command_line(linux, "--platform", "m7-8", "--vcpus", "2", append="")
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        read_until(process, b"sun4v# ")
        for command, answer in ((b"uname -m", b"\r\nsparc64\r\n"), (b"load sums 1", b"sums: ok 0d6c2cba2017a646")):
            process.stdin.write(command + b"\n")
            process.stdin.flush()
            assert answer in read_until(process, b"sun4v# ")
        process.stdin.write(b"poweroff -f\n")
        process.stdin.flush()
        read_until(process, b"reboot: Power down")
        assert process.wait() == 0


def test_the_same_output_twice_deterministic(linux: Linux) -> None:
    runs = [sun4v_run(linux, "--deterministic", "--vcpus", "2", append="s4v.run=load,pingpong,20 s4v.run=dmesg s4v.off")
            for _ in range(2)]  # fmt: skip
    assert [done.returncode for done in runs] == [0, 0], runs[0].stdout + runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert "pingpong: ok 20 turns" in runs[0].stdout


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
