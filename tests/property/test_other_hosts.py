"""The core on another kind of host, aarch64, built by a cross compiler and run by qemu-aarch64: the same, to the bit.

Random programs of all rows, floating point, VIS and ciphers among them, are saved here and go on there, to the digest
they come to here. What an emulated processor cannot show is its weaker memory order.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from engine_drivers import DEPTH, ENVIRONMENT, LIMIT_SECONDS, ROOT, SEED, driver, numbers, run_driver

pytestmark = [pytest.mark.nosan, pytest.mark.slow]

HOST = "aarch64"
LIBRARIES = Path(f"/usr/{HOST}-linux-gnu")
NO_TRANSLATOR = 77


def there(name: str, *arguments: object, status: int = 0, **environment: str) -> str:
    """Output of a driver on the other host. Skips with what is missing."""
    emulator = shutil.which(f"qemu-{HOST}") or shutil.which(f"qemu-{HOST}-static")
    if emulator is None:
        pytest.skip(f"needs qemu-{HOST}")
    program = driver(name, host=HOST)
    command = [emulator, "-L", str(LIBRARIES), str(program), *map(str, arguments)]
    print(*command)
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, check=False,
                          timeout=LIMIT_SECONDS)  # fmt: skip
    assert done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr[-8000:]}"
    return done.stdout


def test_random_programs() -> None:
    """Blocks as the stepper."""
    programs, _, wrong = numbers(there("engine_lockstep", SEED, 60 * DEPTH))
    assert (programs, wrong) == (60 * DEPTH, 0)


def test_a_saved_state_goes_on(tmp_path: Path) -> None:
    for seed in range(20 * DEPTH):
        image = tmp_path / f"{seed}.state"
        expected = run_driver(driver("engine_replay"), "save", SEED * 1000 + seed, image)
        assert there("engine_replay", "resume", SEED * 1000 + seed, image) == expected


def test_strands_on_threads() -> None:
    """Litmus tests, locks, mondos, code that another strand writes."""
    program = ROOT / "images" / "prebuilt" / "check-strands.elf"
    assert there("beside", "program", program, 4, 0xFFF, 2, SEED).endswith("strands: ok\n")


def test_state_images() -> None:
    """Reader and writer of saved states, hostile ones among them."""
    assert there("buffer_test") == run_driver(driver("buffer_test"))


def test_no_translator_and_it_says_so() -> None:
    """There is no back end for that host: the machine is told so, and interprets."""
    there("engine_lockstep", 1, 1, status=NO_TRANSLATOR, SUN4V_TRANSLATE="1")
