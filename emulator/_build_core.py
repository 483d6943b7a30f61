"""Build the C core as the extension module `emulator._core_cffi` (cffi API mode, stable ABI).

Used by setup.py, never imported by the package. Steps:

1. run the generators of ``csrc/isa`` (``generate(out_dir) -> list[Path]``): the instruction table becomes C;
2. let cffi write the binding from the text between the two CDEF marks of the public headers;
3. compile every ``csrc/**/*.c`` (without ``csrc/tests``), the generated sources and the binding; link.

Objects are kept in ``build/core`` (``build/core-<sanitizers>``) and compiled again only when one of the files
the compiler read, or the command line, has changed.

Environment::

    CC               the compiler (default: cc, or gcc where there is no cc)
    CFLAGS, LDFLAGS  appended to ours
    S4V_WERROR=1     development build: all our warnings, as errors
    S4V_SANITIZE     e.g. ``address,undefined``: instrumented build in a directory of its own
    S4V_VARIANT      name of a build with other CFLAGS: a directory of its own
    S4V_JOBS         compilers run at once (default 2)
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
MODULE = "emulator._core_cffi"
GENERATORS = ("csrc.isa.generate", "csrc.isa.generate_disasm")

# the interpreter's handlers call each other in tail position, with CFLAGS=-O1 as well; counters of --coverage keep them
# from it, whence S4V_LOOP_DISPATCH in `make coverage`
BASE_FLAGS = ["-std=gnu11", "-O2", "-foptimize-sibling-calls", "-g", "-fPIC", "-fno-strict-aliasing",
              "-fno-math-errno", "-frounding-math", "-ffp-contract=off", "-fvisibility=hidden"]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
CALLBACKS = """
extern "Python" int s4v_client_disk(void *self, uint32_t kind, uint64_t offset, void *bytes, uint64_t n);
"""  # what the core calls in Python: emulator/_core_images.py
HEADERS = ("sun4v.h", "sun4v_stream.h")
CDEF = re.compile(r"/\* CDEF BEGIN \*/(.*?)/\* CDEF END \*/", re.DOTALL)


class BuildError(RuntimeError):
    """The core cannot be built; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What one build does: where, with which compiler and flags."""

    work: Path  # objects and generated files
    compiler: list[str]
    sanitize: str  # value of -fsanitize, or ""
    werror: bool

    @property
    def generated(self) -> Path:
        """Directory of generated C, an include directory too."""
        return self.work / "gen"

    def flags(self) -> list[str]:
        """Flags of every translation unit."""
        flags = [*BASE_FLAGS, f"-I{CSRC}", f"-I{self.generated}", f'-DS4V_VERSION="{read_version()}"']
        if self.sanitize:
            flags += [f"-fsanitize={self.sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
            flags.append(f'-DS4V_SANITIZERS="{self.sanitize}"')  # what build_info() says
        return flags + shlex.split(os.environ.get("CFLAGS", ""))


def read_version() -> str:
    """The one version number of the project, from pyproject.toml."""
    found = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("pyproject.toml has no version")
    return found.group(1)


def make_plan() -> Plan:
    """Read the environment into a plan."""
    sanitize = os.environ.get("S4V_SANITIZE", "")
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or shutil.which("gcc") or ""]
    if not compiler[0] or shutil.which(compiler[0]) is None:
        raise BuildError("no C compiler found: install gcc (Debian: apt-get install gcc), or set CC")
    suffix = "".join("-" + word.replace(",", "-") for word in (sanitize, os.environ.get("S4V_VARIANT", "")) if word)
    return Plan(
        work=ROOT / "build" / f"core{suffix}",
        compiler=compiler,
        sanitize=sanitize,
        werror=os.environ.get("S4V_WERROR", "") == "1",
    )


def write_if_changed(path: Path, text: str) -> None:
    """Write, but leave the time stamp alone where the text is the same: objects that read it stay fresh."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def run_generators(plan: Plan) -> list[Path]:
    """Run every generator that is there; return the generated ``.c`` files."""
    fresh = plan.work / "gen.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    plan.generated.mkdir(exist_ok=True)
    sys.path[:0] = [str(ROOT), str(CSRC / "isa")]
    written: list[Path] = []
    try:
        for name in GENERATORS:
            if (ROOT / name.replace(".", "/")).with_suffix(".py").exists():
                written += importlib.import_module(name).generate(fresh)
    finally:
        del sys.path[:2]
    kept = [plan.generated / path.relative_to(fresh) for path in map(Path, written)]
    for path, target in zip(map(Path, written), kept, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_if_changed(target, path.read_text())
    for stale in plan.generated.rglob("*"):
        if stale.is_file() and stale not in kept:
            stale.unlink()
    shutil.rmtree(fresh)
    return [path for path in kept if path.suffix == ".c"]


def write_binding(plan: Plan) -> Path:
    """Let cffi write the C of the extension module."""
    from cffi import FFI

    found = [CDEF.search((CSRC / name).read_text()) for name in HEADERS]
    ffi = FFI()
    ffi.cdef("".join(each.group(1) for each in found if each is not None) + CALLBACKS)
    ffi.set_source(MODULE, "".join(f'#include "{name}"\n' for name in HEADERS), py_limited_api=True)
    target = plan.work / "_core_cffi.c"
    with contextlib.redirect_stdout(io.StringIO()):  # it likes to talk
        ffi.emit_c_code(str(target))  # keeps the file where nothing changed
    return target


def python_include() -> str:
    """Directory of Python.h."""
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").exists():
        raise BuildError(f"Python.h is not in {include}: install Python's headers (Debian: python3-dev)")
    return include


@dataclass(frozen=True)
class Unit:
    """One object file and the command that makes it."""

    source: Path
    target: Path
    command: tuple[str, ...]

    @property
    def stamp(self) -> Path:
        """File that remembers the command line of the object."""
        return self.target.with_suffix(".cmd")

    def is_fresh(self) -> bool:
        """True when the object is newer than every file it was made from, by the same command."""
        depends = self.target.with_suffix(".d")
        if not (self.target.exists() and depends.exists() and self.stamp.exists()):
            return False
        if self.stamp.read_text() != command_key(self.command):
            return False
        made = self.target.stat().st_mtime_ns
        names = depends.read_text().replace("\\\n", " ").split(":", 1)[1].split()
        try:
            return all(Path(name).stat().st_mtime_ns <= made for name in names)
        except OSError:
            return False  # a header went away

    def compile(self) -> str:
        """Compile; return the compiler's complaints where it fails, else an empty string."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(self.command, capture_output=True, text=True, check=False)
        sys.stderr.write(done.stderr)
        if done.returncode != 0:
            return f"{self.source}: the compiler failed"
        self.stamp.write_text(command_key(self.command))
        return ""


def command_key(command: tuple[str, ...]) -> str:
    """Short name of a command line."""
    return hashlib.sha256("\0".join(command).encode()).hexdigest()


def make_unit(plan: Plan, source: Path, extra: list[str]) -> Unit:
    """The unit of one source; `extra` flags come last."""
    base = ROOT if source.is_relative_to(CSRC) else plan.work
    target = (plan.work / "obj" / source.relative_to(base)).with_suffix(".o")
    command = [*plan.compiler, *plan.flags(), *extra, "-MMD", "-MF", str(target.with_suffix(".d"))]
    return Unit(source, target, (*command, "-c", str(source), "-o", str(target)))


def core_sources() -> list[Path]:
    """Hand-written C of the core, in a fixed order."""
    return sorted(p for p in CSRC.rglob("*.c") if "tests" not in p.relative_to(CSRC).parts)


def link(plan: Plan, units: list[Unit], target: Path) -> None:
    """Link the objects into the extension module."""
    command = [*plan.compiler, "-shared", "-fPIC", *(str(u.target) for u in units), "-o", str(target)]
    if plan.sanitize:
        command.append(f"-fsanitize={plan.sanitize}")
    command += [*shlex.split(os.environ.get("LDFLAGS", "")), "-lm", "-lpthread", "-ldl"]
    if subprocess.run(command, check=False).returncode != 0:
        raise BuildError("linking the core failed")


def build_extension(target: Path) -> None:
    """Build the extension module at `target`. Raises BuildError with a message for people."""
    plan = make_plan()
    plan.work.mkdir(parents=True, exist_ok=True)
    generated = run_generators(plan)
    warnings = WARNINGS if plan.werror else []
    units = [make_unit(plan, source, warnings) for source in core_sources() + generated]
    # cffi's own output is not written for our warning flags.
    units.append(make_unit(plan, write_binding(plan), [f"-I{python_include()}", "-Wno-all"]))
    stale = [unit for unit in units if not unit.is_fresh()]
    with ThreadPoolExecutor(max_workers=int(os.environ.get("S4V_JOBS", "2"))) as pool:
        failures = [message for message in pool.map(Unit.compile, stale) if message]
    if failures:
        raise BuildError("; ".join(failures))
    target.parent.mkdir(parents=True, exist_ok=True)
    link(plan, units, target)
