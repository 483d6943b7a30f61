"""Apply mutants to a copy of the tree and see that the tests notice: `python tests/mutation/mutate.py [NAME...]`.

The copy stands in build/mutants and is kept: a second run compiles only what a mutant changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "build" / "mutants"
MINUTES = 10


class Surprise(RuntimeError):
    """The tree, not the mutant, is at fault."""


def tracked() -> list[Path]:
    """The files of this tree, and those not yet committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [Path(name) for name in names if name and (ROOT / name).is_file()]


def copy_tree() -> None:
    """Make the copy what the tree is; files that are the same keep their time."""
    wanted = set(tracked())
    for path in wanted:
        here, there = ROOT / path, COPY / path
        if not there.exists() or here.read_bytes() != there.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            shutil.copy(here, there)
    for folder in ("csrc", "emulator", "ldmd", "tests", "images"):
        for path in (COPY / folder).rglob("*.py"):
            if path.relative_to(COPY) not in wanted:
                path.unlink()


def environment() -> dict[str, str]:
    """Of everything that runs in the copy: its own packages, also in processes that it starts elsewhere."""
    return {**os.environ, "PYTHONPATH": str(COPY), "S4V_WERROR": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def build() -> str:
    """Build the copy's core; what the compiler said where it failed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace"],
        cwd=COPY, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stderr[-2000:] or "failed"


def notice(mutant: Mutant) -> str:
    """The first test that fails with the mutant in place, and does not without it; empty: none did."""
    path = COPY / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise Surprise(f"{mutant.name}: its lines are {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new))
    native = mutant.file.startswith("csrc/")
    try:
        if native and (why := build()):
            raise Surprise(f"{mutant.name}: does not compile: {why}")
        failed = first_failure(mutant.name, mutant.tests)
    finally:
        path.write_text(text)
        if native and (why := build()):
            raise Surprise(f"{mutant.name}: cannot be taken back: {why}")
    if failed.startswith("FAILED ") and first_failure(mutant.name, [failed.split(" - ")[0].removeprefix("FAILED ")]):
        raise Surprise(f"{mutant.name}: fails without it as well: {failed}")
    return failed


def first_failure(name: str, tests: Sequence[str]) -> str:
    """pytest's line about it; empty: all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=COPY, env=environment(), capture_output=True, text=True, check=False, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired:
        return f"no end within {MINUTES} minutes"
    if done.returncode not in (0, 1):
        raise Surprise(f"{name}: pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-500:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0] if failed else ""


def prepare() -> None:
    """The copy, built. Raises Surprise."""
    copy_tree()
    if why := build():
        raise Surprise(f"the tree does not build: {why}")


def main(names: list[str]) -> int:
    """All mutants, or those named."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        print(f"mutate: no mutant named {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    prepare()
    alive = []
    for mutant in chosen:
        by = notice(mutant)
        print(f"{'noticed' if by else 'NOT NOTICED':12}{mutant.name:40}{by}", flush=True)
        if not by:
            alive.append(mutant.name)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} noticed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
