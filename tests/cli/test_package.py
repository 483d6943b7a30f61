"""The distribution: an sdist builds with a C compiler alone, and what it installs works away from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from elf_support import exit_with, program

from emulator import shells

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.nosan]


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist of this tree; not optimised, since compilers are not what is looked at."""
    work = tmp_path_factory.mktemp("package")
    run(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", work, cwd=ROOT)
    sdist = next(work.glob("*.tar.gz"))
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    run(*pip, sdist, cwd=work, env={**os.environ, "CFLAGS": "-O0", "S4V_WERROR": "0"})
    return next(work.glob("*.whl"))


def test_the_wheel_is_for_the_stable_abi(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {"_core_cffi.abi3.so", "feature.def", "py.typed", "labos.elf"}
    assert {f"emulator/{name}" for name in wanted} | {"ldmd/cli/__init__.py"} <= {*names}
    assert not [name for name in names if name.startswith(("csrc", "tests"))]
    pages = {page.name for page in (ROOT / "docs" / "man").iterdir()}
    assert pages == {Path(name).name for name in names if "/share/man/man" in name} >= {"ldm.8", "sun4v-run.1"}
    assert {name for name, _ in shells.installed()} == {
        f"share/{name.partition('/share/')[2]}" for name in names if "/share/" in name and "/share/man/" not in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a fresh virtual environment with the wheel; what it depends on is lent by the one that tests."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    own, lent = (Path(run(each, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
                 for each in (python, sys.executable))
    (own / "lent.pth").write_text(f"{lent}\n")  # packages alone: no .pth file in there is read
    return folder / "bin"


def test_what_is_installed_runs_without_the_source_tree(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "prog.elf").write_bytes(program(*exit_with(0)))
    where = run(installed / "python", "-P", "-c", "import emulator; print(emulator.__file__)", cwd=tmp_path)
    assert where.startswith(str(installed.parent))
    assert run(installed / "sun4v", "run", "prog.elf", cwd=tmp_path) == ""
    assert "t5-2" in run(installed / "sun4v", "platforms", cwd=tmp_path)
    assert "migrate-domain" in run(installed / "ldm", "--help", cwd=tmp_path)


@pytest.mark.parametrize(("name", "passed"), [("driver", 3), ("automation", 2), ("exercise", 4)])
def test_the_suites_that_are_examples(installed: Path, tmp_path: Path, name: str, passed: int) -> None:
    """Copied out of the tree, as a user begins: pytest finds the plugin by itself, and labos comes with the package."""
    folder = shutil.copytree(ROOT / "docs" / "examples" / name, tmp_path / name)
    environment = {**os.environ, "PATH": f"{installed}:{os.environ['PATH']}"}
    for variable in ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        environment.pop(variable, None)
    said = run(installed / "python", "-P", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", ".",
               "-c", os.devnull, cwd=folder, env=environment)
    assert f"{passed} passed" in said and "seed 1 (--sun4v-seed 1 repeats)" in said


def test_a_room_of_what_is_installed(installed: Path, tmp_path: Path) -> None:
    """Server, manager, console server, and labos as it is shipped."""
    home = Path(tempfile.mkdtemp(prefix="s4v"))
    environment = {**os.environ, "S4V_HOME": str(home), "PATH": f"{installed}:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    try:
        on = ["power-on", "alpha", "--platform", "t4-1", "--memory", "8G"]
        run(installed / "sun4v", *on, cwd=tmp_path, env=environment)
        assert "primary" in run(installed / "ldm", "list", cwd=tmp_path, env=environment)
    finally:
        run(installed / "sun4v", "kill", "alpha", cwd=tmp_path, env=environment)
        shutil.rmtree(home)
