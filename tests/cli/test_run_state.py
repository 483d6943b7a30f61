"""`sun4v run --save` and `--load`: a run that is cut and goes on in another process ends as one that is not cut."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(ROOT / "images" / "prebuilt" / "bench-crc.elf")


def sun4v(*words: str, time: str = "--deterministic") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emulator.cli", "run", *filter(None, [time]), "--stats", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def insns(done: subprocess.CompletedProcess[str]) -> int:
    count: int = json.loads(done.stderr.splitlines()[-1])["instructions"]
    return count


def test_a_run_in_two_processes_is_one_run(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    whole = sun4v(PROGRAM)
    assert whole.returncode == 0
    first = sun4v("--max-insns", "1234567", "--save", state, PROGRAM)
    assert (first.returncode, first.stdout) == (124, "")
    assert f"state saved to {state}" in first.stderr
    second = sun4v("--load", state, PROGRAM)
    assert (second.returncode, second.stdout) == (0, whole.stdout)
    assert insns(first) + insns(second) == insns(whole)


def test_a_run_in_real_time_goes_on_too(tmp_path: Path) -> None:
    """Each process has a time of day and random numbers of its own at its start: those of the state count."""
    state = str(tmp_path / "state")
    first = sun4v("--max-insns", "1234567", "--save", state, PROGRAM, time="")
    assert first.returncode == 124
    second = sun4v("--load", state, PROGRAM, time="")
    assert second.returncode == 0, second.stderr
    assert second.stdout == sun4v(PROGRAM).stdout


@pytest.mark.parametrize("words", [("--memory", "64M"), ("--vcpus", "2"), ("--platform", "t4-1"), ("--firmware",)])
def test_a_state_of_another_machine_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    state = str(tmp_path / "state")
    assert sun4v("--max-insns", "1000", "--save", state, PROGRAM).returncode == 124
    done = sun4v(*words, "--load", state, PROGRAM)
    assert done.returncode == 2
    assert any(text in done.stderr for text in ("another configuration", "other real addresses", "one has firmware"))


def test_a_file_that_is_no_state(tmp_path: Path) -> None:
    missing = sun4v("--load", str(tmp_path / "missing"), PROGRAM)
    assert (missing.returncode, "No such file" in missing.stderr) == (2, True)
    bad = tmp_path / "bad"
    bad.write_bytes(b"nothing of ours")
    assert "not a machine state image" in sun4v("--load", str(bad), PROGRAM).stderr


def test_a_state_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = sun4v("--max-insns", "1000", "--save", str(tmp_path / "no" / "state"), PROGRAM)
    assert done.returncode == 2
    assert "No such file" in done.stderr


def test_a_run_that_ends_by_itself_saves_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert sun4v("--save", str(state), str(ROOT / "images" / "prebuilt" / "hello.elf")).returncode == 0
    assert not state.exists()
