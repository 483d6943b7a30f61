"""Arrows between layers: who may include and import whom (docs/ARCHITECTURE.md, "Layers")."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator

import pytest
from tidy_sources import texts

PURE = {"util"}
ENGINE = PURE | {"mem", "fp", "vis", "crypto"}
STRAND = ENGINE | {"isa"}
HYP = STRAND | {"strand"}
# layer of csrc -> layers it may include besides itself
C_MAY = {
    "util": set(), "mem": PURE, "fp": PURE, "vis": PURE, "crypto": PURE,
    "isa": ENGINE, "strand": STRAND, "jit": HYP,
    "hyp": HYP, "vio": HYP | {"hyp"}, "stream": PURE | {"crypto"},
    "machine": HYP | {"hyp", "vio", "stream", "jit"},
}  # fmt: skip
PUBLIC_HEADER_USERS = {"machine", "hyp", "stream", "tests"}
PUBLIC_HEADERS = ("sun4v.h", "sun4v_stream.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def include_offences(path: str, text: str) -> Iterator[str]:
    """Includes of one C file that point the wrong way."""
    layer = path.split("/")[1]
    for name in INCLUDE.findall(text):
        target = name
        if name.startswith("../"):
            target = posixpath.relpath(posixpath.join(posixpath.dirname(path), name), "csrc")
        if target in PUBLIC_HEADERS:
            if layer not in PUBLIC_HEADER_USERS:
                yield f"{path}: the public header is for clients and for the machine that implements it"
        elif "/" in target and layer != "tests":
            other = target.split("/")[0]
            if other != layer and other not in C_MAY[layer]:
                yield f"{path}: {layer} may not include {target}"
    if "Python.h" in text:
        yield f"{path}: the core knows nothing of Python"


def test_includes_point_to_the_left() -> None:
    found = [
        o for path, text in texts(".c", ".h")
        if path.startswith("csrc/") and path.removeprefix("csrc/") not in PUBLIC_HEADERS
        for o in include_offences(path, text)
    ]  # fmt: skip
    assert found == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("csrc/mem/a.c", '#include "strand/strand.h"'),
        ("csrc/fp/a.c", '#include "mem/mem.h"'),
        ("csrc/isa/a.h", '  # include "hyp/hyp.h"'),
        ("csrc/util/a.h", '#include "mem/mem.h"'),
        ("csrc/strand/a.c", '#include "sun4v.h"'),
        ("csrc/mem/a.c", '#include "../hyp/hyp.h"'),
    ],
)
def test_a_wrong_include_is_seen(path: str, text: str) -> None:
    assert list(include_offences(path, text))


# what the manager may know of the emulator: facts of the hardware, and how one talks to a machine
HARDWARE_FACTS = {f"emulator.{name}" for name in (
    "chips", "cpu", "cpuarch", "engines", "errors", "mblocks", "netdev", "placement", "platforms", "shortage", "units")}
SHARED = HARDWARE_FACTS | {f"emulator.{name}" for name in (
    "arguments", "engines", "exposition", "faults", "hvctl.wire", "places", "prebuilt", "shells", "version")}
# package (longest prefix counts) -> packages of ours it may import; None: no rule
PYTHON_MAY: dict[str, set[str] | None] = {
    "emulator": {"emulator"},
    # the front door: what goes through managers
    "emulator.cli": {"emulator", "ldmd.lab", "ldmd.movecommands", "ldmd.spcommand"},
    "emulator.pytest_plugin": {"emulator", "ldmd.testing"},
    "emulator.errors": set(),
    "emulator.exposition": set(),
    "emulator.faults": {"emulator.faults", "emulator.errors", "emulator.backends.file"},
    "emulator.traps": set(),
    "emulator.version": set(),
    "emulator.prebuilt": set(),
    "emulator.shells": set(),
    "emulator.units": {"emulator.errors"},
    "emulator._core": {
        "emulator.errors", "emulator._core_cffi", "emulator._core_channels", "emulator._core_firmware",
        "emulator._core_debug", "emulator._core_disks", "emulator._core_memory", "emulator._core_moving",
        "emulator._core_nets", "emulator._core_observe",
    },
    "emulator._core_stream": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_channels": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_disks": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_firmware": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_nets": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_observe": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_moving": {"emulator.errors", "emulator.descriptors", "emulator._core_cffi"},
    "emulator._core_debug": {"emulator.errors", "emulator._core_cffi"},
    "emulator._core_images": {"emulator._core_cffi"},
    "emulator._core_memory": {"emulator.errors", "emulator.descriptors", "emulator._core_cffi"},
    "emulator.descriptors": {"emulator.errors"},
    "emulator.chips": {"emulator.errors"},
    "emulator.cpuarch": {"emulator.errors"},
    "emulator.cpu": {"emulator.chips", "emulator.cpuarch"},
    "emulator.platforms": {"emulator.platforms", "emulator.chips", "emulator.errors", "emulator.units"},
    "emulator.mblocks": {"emulator.platforms", "emulator.errors"},
    "emulator.shortage": {"emulator.mblocks", "emulator.units"},
    "emulator.placement": {"emulator.mblocks", "emulator.shortage", "emulator.errors", "emulator.units"},
    "emulator._build_core": set(),
    "ldmd": {"ldmd"} | SHARED,
    "ldmd.testing": {"emulator", "ldmd"},  # both packages in one process
    "ldmd.messages": {"ldmd.messages"},
    "ldmd.model": {"ldmd.model", "ldmd.messages"},
    "ldmd.planner": {"ldmd.model", "ldmd.planner", "ldmd.messages"} | HARDWARE_FACTS,
    "ldmd.migrator": {"ldmd"} | SHARED,
    "ldmd.migrator.settings": {"ldmd", "emulator.stream.requests"} | SHARED,  # words of a worker's options
    "ldmd.migrator.moves": {"ldmd.migration", "ldmd.messages"},  # words for operations
    "ldmd.migration": {"ldmd.model", "ldmd.planner", "ldmd.migration", "ldmd.messages"},  # pure
    "ldmd.xmlif": {"ldmd.model", "ldmd.planner", "ldmd.xmlif", "ldmd.messages"} | HARDWARE_FACTS,
    "ldmd.operations": {"ldmd.model", "ldmd.planner", "ldmd.xmlif", "ldmd.operations", "ldmd.messages",
                        "ldmd.migration.phases", "ldmd.migrator.moves"} | HARDWARE_FACTS,
    **{f"ldmd.migration.{name}": {"ldmd.model", "ldmd.planner", "ldmd.messages", "ldmd.migration"} | HARDWARE_FACTS
       for name in ("facts", "rule", "rules", "checks", "plan")},
    "ldmd.cli": {"ldmd.cli", "ldmd.rpc", "ldmd.messages"} | SHARED,
    "images": set(),
    "csrc": {"csrc"},
    "docs": {"emulator", "ldmd"},
    "tests": None,
    "setup": None,
}
OURS = {"emulator", "ldmd"}
CFFI_USERS = {
    "emulator._core", "emulator._core_channels", "emulator._core_debug", "emulator._core_disks",
    "emulator._core_firmware", "emulator._core_images", "emulator._core_memory", "emulator._core_moving",
    "emulator._core_nets", "emulator._core_observe", "emulator._core_stream",
    "emulator._build_core",
}


def module_name(path: str) -> str:
    """Dotted name of a file; a package is named without __init__."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imported(text: str, module: str) -> Iterator[str]:
    """Dotted names a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield ".".join([*module.split(".")[: -node.level], node.module or ""]).rstrip(".")
            elif node.module in OURS:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def import_offences(path: str, text: str) -> Iterator[str]:
    """Imports of one Python file that point the wrong way."""
    module = module_name(path)
    rule = max((key for key in PYTHON_MAY if f"{module}.".startswith(f"{key}.")), key=len)
    may = PYTHON_MAY[rule]
    for name in imported(text, module):
        if name.split(".")[0] == "cffi" or name.startswith("emulator._core_cffi"):
            if module not in CFFI_USERS and may is not None:
                yield f"{path}: only emulator/_core.py sees cffi"
        elif may is not None and name.split(".")[0] in OURS and not within(name, may):
            yield f"{path}: {module} may not import {name}"


def within(name: str, packages: set[str]) -> bool:
    """True where a dotted name is one of the packages or inside one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def test_imports_point_to_the_left() -> None:
    assert [o for path, text in texts(".py") for o in import_offences(path, text)] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("emulator/machine.py", "from emulator._core_cffi import lib"),
        ("emulator/machine.py", "import cffi"),
        ("emulator/units.py", "from emulator import machine"),
        ("emulator/cli.py", "from ldmd.planner import plan"),
        ("ldmd/manager.py", "from emulator.machine import Machine"),
        ("ldmd/model/domain.py", "def f():\n    from ldmd.manager import Manager"),
        ("ldmd/cli/main.py", "import ldmd.store"),
        ("images/make.py", "import emulator"),
    ],
)
def test_a_wrong_import_is_seen(path: str, text: str) -> None:
    assert list(import_offences(path, text))
