"""The distribution: an sdist builds with a C compiler alone, and what it installs works away from the source tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from elf_support import exit_with, program

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.nosan]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist of this tree."""
    work = tmp_path_factory.mktemp("package")
    run(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", work, cwd=ROOT)
    sdist = next(work.glob("*.tar.gz"))
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, sdist, cwd=work)
    return next(work.glob("*.whl"))


def test_the_wheel_is_for_the_stable_abi(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {"_core_cffi.abi3.so", "feature.def", "py.typed", "labos.elf"}
    assert {f"emulator/{name}" for name in wanted} | {"ldmd/cli/__init__.py"} <= {*names}
    assert not [name for name in names if name.startswith(("csrc", "tests"))]
    pages = {page.name for page in (ROOT / "docs" / "man").iterdir()}
    assert pages == {Path(name).name for name in names if "/share/man/man" in name} >= {"ldm.8", "sun4v-run.1"}


def test_what_is_installed_runs_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "prog.elf").write_bytes(program(*exit_with(0)))
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import emulator; from emulator.cli import main; "
        f"assert emulator.__file__.startswith({str(site)!r}); sys.exit(main(['run', 'prog.elf']))"
    )
    assert run(sys.executable, "-P", "-c", script, cwd=tmp_path) == ""
