"""How a run is given to several workers: files whole, long ones first, serial ones last."""

from __future__ import annotations

from pathlib import Path

import pytest
import workers

pytest_plugins = ["pytester"]
FILES = {
    "test_a.py": "def test_1(): pass\ndef test_2(): assert False\n",
    "test_serial.py": "import pytest\n@pytest.mark.serial\ndef test_1(): pass\ndef test_2(): pass\n",
    "test_slow.py": "def test_1(): pass\nimport pytest\n@pytest.mark.slow\ndef test_2(): pass\n",
    "test_long.py": "def test_1(): pass\n",
}


def of_tests(done: pytest.RunResult) -> list[str]:
    """Its lines about tests, as workers ended them."""
    return [line for line in done.outlines if line.startswith("[gw") and "::" in line]


def names(lines: list[str]) -> list[str]:
    """Files of these lines of a verbose run, each once, in their order."""
    return list(dict.fromkeys(line.split()[-1].split("::")[0] for line in lines))


def test_what_is_called_long_is_there() -> None:
    root = Path(workers.__file__).resolve().parents[1]
    assert all((root / name).exists() for name in (*workers.LONG, *workers.TOGETHER))


def test_order_and_files(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="needs pytest-xdist")
    here = Path(workers.__file__).parent
    pytester.makefile(".ini", pytest="[pytest]\nmarkers =\n  slow\n  serial\n")
    pytester.makeconftest(f"import sys\nsys.path.insert(0, {str(here)!r})\nimport workers\n"
                          "workers.LONG = ('test_long.py',)\n"
                          "def pytest_configure(config):\n    workers.configure(config)\n")
    for name, text in FILES.items():
        (pytester.path / name).write_text(text)
    done = pytester.runpytest_subprocess("-v", "-n1", "-p", "no:randomly")
    done.assert_outcomes(passed=6, failed=1)
    assert names(of_tests(done)) == ["test_long.py", "test_slow.py", "test_a.py", "test_serial.py"]
    # and a run of what failed is of that alone
    done = pytester.runpytest_subprocess("-n0", "--last-failed", "--last-failed-no-failures", "none")
    done.assert_outcomes(failed=1)
    by: dict[str, set[str]] = {}
    for line in of_tests(pytester.runpytest_subprocess("-v", "-n2")):
        by.setdefault(names([line])[0], set()).add(line.split("]")[0])
    assert by.keys() == FILES.keys() and all(len(one) == 1 for one in by.values())
