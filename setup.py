"""Build glue: setuptools calls `emulator/_build_core.py` for the one extension module.

Everything declarative stands in pyproject.toml. The core is compiled by our own small builder and not by
distutils, because generated sources, dependency files and per-file warning flags are no part of what
distutils knows.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def load_builder() -> ModuleType:
    """The builder, loaded by path: importing the package would need the extension it builds."""
    spec = importlib.util.spec_from_file_location("_build_core", ROOT / "emulator" / "_build_core.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class BuildCore(build_ext):
    """`build_ext` whose only extension is the C core."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link the core to where setuptools wants it; beside it what Python shares with it, and labos."""
        target = Path(self.get_ext_fullpath(ext.name))
        load_builder().build_extension(target)
        if target.parent != ROOT / "emulator":  # a source tree has them where they come from
            for source in ("csrc/isa/feature.def", "images/prebuilt/labos.elf"):
                shutil.copyfile(ROOT / source, target.parent / Path(source).name)


def manual_pages() -> list[tuple[str, list[str]]]:
    """Where `man` finds them beside the programs: share/man/man1 and man8 below the prefix."""
    pages = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs" / "man").glob("*.[18]"))
    return [(f"share/man/man{section}", [page for page in pages if page.endswith(section)]) for section in "18"]


def completion() -> list[tuple[str, list[str]]]:
    """Where bash, zsh and fish look for the completion of a program: share below the prefix it is installed in."""
    top = ROOT / "packaging" / "completion"
    scripts = sorted(path for path in top.rglob("*") if path.is_file())
    return [(str(path.parent.relative_to(top)), [str(path.relative_to(ROOT))]) for path in scripts]


setup(
    cmdclass={"build_ext": BuildCore},
    ext_modules=[Extension("emulator._core_cffi", sources=[], py_limited_api=True)],
    data_files=[*manual_pages(), *completion()],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
