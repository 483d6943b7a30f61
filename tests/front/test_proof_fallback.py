"""Where the host or the build has no translator: it is said what is missing, once and clearly, and the work goes on.

Nothing here is pretended: the processor is one that QEMU has without the instructions, memory is refused by the kernel.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_drivers import driver

from emulator import Machine, places
from emulator.errors import EngineError
from emulator.hvctl.client import Hvctl
from emulator.power import children

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HELLO = str(ROOT / "images" / "prebuilt" / "hello.elf")
CONFINED = [sys.executable, str(HERE / "proof_confined.py")]
RUN = ["-m", "emulator.cli", "run", "--deterministic", "--stats", "--engine", "translator", HELLO]
DEADLINE = 300
CANNOT = 77
NO_MEMORY = "the host gives no executable memory: Operation not permitted"

pytestmark = pytest.mark.nosan


def capture(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE,
                          env=dict(os.environ, **environment))  # fmt: skip


def sun4v(*command: str) -> tuple[str, str, dict[str, Any]]:
    """Output, what is said on standard error, and the line of JSON there."""
    done = capture(*command)
    if done.returncode == CANNOT:
        pytest.skip("needs an x86-64 kernel that can refuse that")
    assert done.returncode == 0, done.stderr
    *said, line = done.stderr.splitlines()
    return done.stdout, "\n".join(each for each in said if each.startswith("sun4v: ")), json.loads(line)


def translator() -> None:
    """Skips where this host has none."""
    with Machine("8K") as machine:
        if note := machine.prefer_engine("translator"):
            pytest.skip(note)


def test_here_it_translates() -> None:
    translator()
    text, said, stats = sun4v(sys.executable, *RUN)
    assert (text, said) == ("hello, sun4v\n", "")
    assert (stats["engine"], stats["engine_note"]) == ("translator", "")


@pytest.mark.parametrize("feature", ["movbe", "popcnt", "bmi1", "bmi2", ""])
def test_processor_without_an_instruction(feature: str) -> None:
    """CPUID is that of another processor, and so are its instructions: ours would trap there."""
    translator()
    if (qemu := shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")) is None:
        pytest.skip("needs qemu-x86_64")
    model = f"Haswell,-avx2,-{feature}" if feature else "Haswell"  # the C library takes AVX2 for a sign of the others
    done = capture(qemu, "-cpu", model, str(driver("engine_lockstep")), "1", "2", SUN4V_TRANSLATE="1")
    said = [line for line in done.stderr.splitlines() if "qemu" not in line]
    if feature:
        assert done.returncode == CANNOT
        assert said == [f"no translator: the host's processor lacks {feature.upper()}"]
    else:
        assert (done.returncode, said) == (0, [])


def test_no_executable_memory() -> None:
    translator()
    text, said, stats = sun4v(*CONFINED, "noexec", *RUN)
    assert text == "hello, sun4v\n"
    assert said == f"sun4v: --engine translator: {NO_MEMORY}; the machine interprets, with the same results"
    assert (stats["engine"], stats["engine_note"]) == ("interpreter", NO_MEMORY)


def test_memory_is_never_both_writable_and_executable() -> None:
    """A kernel that refuses to execute what was written has nothing to refuse: the code is in a file mapped twice."""
    translator()
    text, said, stats = sun4v(*CONFINED, "mdwe", *RUN)
    assert (text, said) == ("hello, sun4v\n", "")
    assert (stats["engine"], stats["engine_note"]) == ("translator", "")


LATER = """
import sys
sys.path.insert(0, sys.argv[1])
import proof_confined
from emulator import Machine
from emulator.errors import EngineError
with Machine("8M", strands=1, max_strands=4) as machine:
    machine.use_engine("translator", hot_entries=1)
    assert (machine.engine, machine.engine_note) == ("translator", "")
    if not proof_confined.refuse_shared_code():
        sys.exit(77)
    machine.add_strands([1])
    print(machine.engine, machine.engine_note, sep="; ")
    for strand, at in zip(machine.strands, (0x1000, 0x2000)):
        machine.memory.write(at, bytes.fromhex("82006001 10bfffff 01000000"))
        strand.start(at)
        strand.run(9000)
    assert [strand["g1"] for strand in machine.strands] == [3000, 3000]
    assert machine.engine_statistics.native_bytes > 0
    try:
        machine.use_engine("translator")
    except EngineError as error:
        print(machine.engine, error, sep="; ")
    machine.use_engine("interpreter")
    print(machine.engine, machine.engine_note, sep="; ")
"""


def test_strand_that_comes_when_memory_is_refused() -> None:
    """The others go on translated; the machine says that this one is not. Asked for again, all of it interprets."""
    translator()
    done = capture(sys.executable, "-c", LATER, str(HERE))
    if done.returncode == CANNOT:
        pytest.skip("needs an x86-64 kernel that can refuse that")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"translator; {NO_MEMORY}",
        f"interpreter; no translator: {NO_MEMORY}; the engine interpreter gives the same results",
        "interpreter; ",
    ]


def test_build_without_tail_calls() -> None:
    """The sanitized core dispatches by a loop, which host code cannot enter; its driver says so and gives up."""
    translator()
    program = driver("engine_lockstep", sanitize=True)
    # giving up frees nothing
    done = capture(str(program), "1", "1", SUN4V_TRANSLATE="1", ASAN_OPTIONS="detect_leaks=0")
    assert done.returncode == CANNOT
    assert done.stderr == "no translator: this core was built without tail calls, which translated code needs\n"


def test_unknown_engine_is_an_error_all_the_same() -> None:
    with Machine("8K") as machine, pytest.raises(EngineError, match="interpreter or translator"):
        machine.prefer_engine("fast")
    done = capture(sys.executable, "-m", "emulator.cli", "run", "--engine", "fast", HELLO)
    assert done.returncode == 2
    assert "'interpreter', 'translator'" in done.stderr


def test_machine_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sun4v power-on --engine translator`: it says so, keeps it in its log, and every guest's status has it."""
    translator()
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    where = places.place("m")
    words = ["-m", "emulator.cli", "power-on", "m", "--no-ldmd", "--memory", "64G", "--engine", "translator"]
    try:
        done = capture(*CONFINED, "noexec", *words)
        if done.returncode == CANNOT:
            pytest.skip("needs an x86-64 kernel that can refuse that")
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"sun4v: m: no translator: {NO_MEMORY}; guests are interpreted, with the same results\n"
        assert f"guests are interpreted: no translator: {NO_MEMORY}" in where.machine_log.read_text()
        with Hvctl(where.hvctl) as client:
            info = client.call("machine.info")
            assert (info["engine"], info["engine_note"]) == ("interpreter", NO_MEMORY)
            spec = {"id": 1, "name": "g", "uuid": "00000000-0000-4000-8000-000000000001", "mac": 0x144FF80001,
                    "vcpus": [[0, 1]], "memory": [[0, 16 << 30, 64 << 20]]}  # fmt: skip
            client.call("guest.configure", spec=spec)
            client.call("guest.start", guest=1)
            status = client.call("guest.status", guest=1)
            assert (status["engine"], status["engine_note"]) == ("interpreter", NO_MEMORY)
        (state,) = json.loads(capture(sys.executable, "-m", "emulator.cli", "machines", "--json").stdout)
        assert (state["engine"], state["engine_note"]) == ("interpreter", NO_MEMORY)
    finally:
        children.end(where.machine_pid, signal.SIGKILL)
