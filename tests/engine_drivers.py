"""Builds the C drivers csrc/tests/engine_*.c with the whole core, plain or under the sanitizers, and runs them.

The core's objects are those of `make` and `make sanitize` (same directory, same flags), so only what changed since is
compiled.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from host_shares import only_one

ROOT = Path(__file__).resolve().parents[1]
SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
DEPTH = int(os.environ.get("SUN4V_ENGINE_DEPTH", "1"))  # multiplies every count
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}
SANITIZERS = "address,undefined"
LIMIT_SECONDS = 1800  # for a driver that would run for ever


def _builder() -> ModuleType:
    """emulator/_build_core.py of the source tree, whichever package is under test."""
    spec = importlib.util.spec_from_file_location("build_core", ROOT / "emulator" / "_build_core.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_core"] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def driver(name: str, *, sanitize: bool = False, sanitizers: str = SANITIZERS, host: str = "") -> Path:
    """The program of csrc/tests/`name`.c, for this host or for another. Skips where there is no compiler."""
    compiler = shutil.which(f"{host}-linux-gnu-gcc") if host else shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip(f"needs {host}-linux-gnu-gcc" if host else "needs a C compiler")
    core = _builder()
    checks = sanitizers if sanitize else ""
    suffix = "-" + sanitizers.replace(",", "-") if sanitize else f"-{host}" if host else ""
    work = ROOT / "build" / f"core{suffix}"
    plan = core.Plan(work=work, compiler=[compiler], sanitize=checks, werror=True)
    with only_one(work / "one-builder"):
        return _build(core, plan, name, checks)


def _build(core: ModuleType, plan: Any, name: str, checks: str) -> Path:
    """Compile what is not fresh, and link; another process may run what stands there from before."""
    warnings = [*core.WARNINGS, *(["-Wno-tsan"] if checks == "thread" else [])]  # it does not follow fences
    units = [core.make_unit(plan, source, warnings) for source in core.core_sources() + core.run_generators(plan)]
    with ThreadPoolExecutor(int(os.environ.get("S4V_JOBS", "2"))) as pool:
        assert not any(pool.map(lambda unit: "" if unit.is_fresh() else unit.compile(), units))
    program = plan.work / name
    fresh = program.with_name(f"{name}.new")
    command = [*plan.compiler, *plan.flags(), *warnings, str(ROOT / "csrc" / "tests" / f"{name}.c")]
    command += [*(str(unit.target) for unit in units), "-lm", "-lpthread", "-o", str(fresh)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    fresh.replace(program)
    return program


def run_driver(program: Path, *arguments: object, **environment: str) -> str:
    """Its output; anything but status 0 fails the test with what it said."""
    command = [str(program), *map(str, arguments)]
    print(*command)
    env = ENVIRONMENT | environment
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=LIMIT_SECONDS)
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr[-8000:]}"
    return done.stdout


def said(output: str, what: str) -> int:
    """The number of the line that begins with these words."""
    return next(int(line.removeprefix(what)) for line in output.splitlines() if line.startswith(what + " "))


def numbers(output: str) -> list[int]:
    """The numbers of the last line."""
    return [int(word) for word in output.splitlines()[-1].split() if word.isdigit()]
