"""The pytest plugin, as its users meet it: examples, failures that can be had again, budgets, seeds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from front_support import EXAMPLES, LABOS, ROOT, run_pytest, summary

from ldmd.testing.domain import DomainSetup
from ldmd.testing.errors import BudgetError, CommandError, ExpectError, RefusedMoveError
from ldmd.testing.room import Room
from ldmd.testing.saved import Saved

pytestmark = pytest.mark.nosan


def labos(**changes: object) -> DomainSetup:
    return DomainSetup(**{"image": LABOS, "memory": "32M", "ready": "# ", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "passed"), [("driver", 3), ("automation", 2), ("exercise", 4)])
def test_an_example_passes(tmp_path: Path, name: str, passed: int) -> None:
    folder = shutil.copytree(EXAMPLES / name, tmp_path / name)
    (tmp_path / name / "images").symlink_to(ROOT / "images")
    done = run_pytest(folder)
    assert done.returncode == 0, done.stdout
    assert summary(done.stdout) == {"passed": passed}
    assert "sun4v: seed 1 (--sun4v-seed 1 repeats)" in done.stdout
    if name == "exercise":
        assert "score: 10 of 10" in done.stdout


def test_many_workers_have_one_seed_and_one_score(tmp_path: Path) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    folder = shutil.copytree(EXAMPLES / "exercise", tmp_path / "exercise")
    (tmp_path / "exercise" / "test_seeds.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(seed, n, request):\n    from emulator.pytest_plugin import SEED\n"
        "    open(f'seed{n}', 'w').write(str(request.config.stash[SEED]))\n")
    done = run_pytest(folder, "-n", "2", "--sun4v-seed", "random", "--score", "score.json")
    assert done.returncode == 0, done.stdout
    assert summary(done.stdout) == {"passed": 8}
    assert "score: 10 of 10" in done.stdout
    assert json.loads((folder / "score.json").read_text())["score"] == 10
    seeds = {(folder / f"seed{n}").read_text() for n in range(4)}
    assert len(seeds) == 1
    assert f"sun4v: seed {seeds.pop()} (" in done.stdout


def test_a_class_is_graded(tmp_path: Path) -> None:
    """One file a student; who hands in what is no program has no points, and the others theirs."""
    answer = (EXAMPLES / "exercise" / "answer.fth").read_text()
    for name, text in (("ann", answer), ("bob", answer.replace("0= if drop 1", "0= if drop 7")), ("cy", "nonsense\n")):
        (tmp_path / f"{name}.fth").write_text(text)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "exercise" / "grade.py"), *sorted(map(str, tmp_path.glob("*.fth"))),
         "--jobs", "2"], capture_output=True, text=True, timeout=600, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_PLUGINS": "emulator.pytest_plugin"})  # fmt: skip
    rows = [line.split(",")[:3] for line in done.stdout.splitlines()]
    assert rows == [["answer", "score", "of"], ["ann", "10", "10"], ["bob", "8", "10"], ["cy", "0", "10"]]


def test_a_wrong_answer_costs_points(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / "exercise", tmp_path / "exercise")
    (folder / "answer.fth").write_text((folder / "answer.fth").read_text().replace("0= if drop 1", "0= if drop 7"))
    done = run_pytest(folder, "-k", "factorial")
    assert "score: 3 of 5" in done.stdout, done.stdout


FAILING = """
import pytest

pytestmark = pytest.mark.sun4v(memory="32M", disks=["1M"], nets=1, image={image!r}, ready="# ")


def test_fails(domain, console, migrate, seed):
    console.do("write c0d1 0 pattern 8")
    migrate(domain, work_ms=0.5)
    domain.room.advance(seed % 1000)
    print("at", domain.room.now_ns, domain.room.insns, domain.digest().hex(), "seed", seed)
    assert console.do("echo hello") == "good-bye"
"""


def test_what_fails_can_be_had_again(tmp_path: Path) -> None:
    """State, trace, capture and console are kept; the same seed repeats it to the digest, another one does not."""
    (tmp_path / "test_it.py").write_text(FAILING.format(image=str(LABOS)))
    runs = [run_pytest(tmp_path, "--sun4v-seed", each) for each in ("7", "7", "8")]
    ends = [re.search(r"at \d+ \d+ \w+ seed \d+", done.stdout) for done in runs]
    assert all(ends), runs[0].stdout
    first, again, other = (found[0] for found in ends if found)
    assert first == again
    assert first != other
    assert "sun4v: seed 7 (--sun4v-seed 7 repeats)" in runs[0].stdout
    folder = tmp_path / "sun4v-failures" / "test_it.py-test_fails.1"
    assert f"kept in {folder}" in runs[0].stdout
    about = (folder / "README.txt").read_text()
    assert "python -m pytest test_it.py::test_fails --sun4v-seed 7" in about
    assert "echo hello" in (folder / "ldg1" / "console.txt").read_text()
    assert (folder / "ldg1.vnet0.0.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    trace = json.loads((folder / "trace.json").read_text())
    assert {"beta", "ldg1"} <= {each["args"]["name"] for each in trace["traceEvents"]
                                if each["name"] == "process_name"}
    states = [json.loads(line).get("why") for line in (folder / "beta" / "events.jsonl").read_text().splitlines()]
    assert "received" in states
    with Saved(folder, "ldg1") as saved:
        assert saved.console.text.endswith("hello\n# ")
        assert "are the pattern" in saved.console.do("verify c0d1 0 8")


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    """pytest loads it in every run of everybody who has the package."""
    program = ("import emulator.pytest_plugin, sys; "
               "print([each for each in sys.modules if each.split('.')[0] in ('ldmd', 'cffi', 'msgpack', 'numpy') "
               "or each.startswith('emulator.') and each != 'emulator.pytest_plugin'])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_wrong_use_is_told(tmp_path: Path) -> None:
    assert "a number is wanted" in run_pytest(tmp_path, "--sun4v-seed", "many").stderr
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.sun4v(vcpu=2)\ndef test_it(domain): pass\n"
        "@pytest.mark.sun4v(image='nothing.elf')\ndef test_other(domain): pass\n")
    done = run_pytest(tmp_path)
    assert "unexpected keyword argument 'vcpu'" in done.stdout
    assert "no disk can be made that boots it" in done.stdout
    assert summary(done.stdout) == {"error": 2}


# -- rooms


def test_a_budget_ends_a_guest_that_never_rests() -> None:
    with Room(seed=1, budget_insns=60_000_000) as room:
        domain = room.add("alpha").make_domain(labos())
        assert 0 < room.insns < 60_000_000
        domain.console.sendline("spin 1")
        with pytest.raises(BudgetError, match="the test allows 60,000,000"):
            room.advance(10**9)
        assert room.insns < 70_000_000


def test_what_is_not_said_is_missed_in_virtual_time() -> None:
    with Room(seed=1) as room:
        domain = room.add("alpha").make_domain(labos())
        before = room.now_ns
        with pytest.raises(ExpectError, match=r"did not say 'nobody says this' within 0\.25 virtual seconds"):
            domain.console.expect("nobody says this", seconds=0.25)
        assert room.now_ns - before == 250_000_000
        domain.machine.ldm("stop-domain -f ldg1")
        with pytest.raises(ExpectError):  # at once: it has ended
            domain.console.expect("nobody says this")
        assert room.now_ns - before == 250_000_000


def test_virtual_time_passes_for_who_must_answer_and_for_nobody_else() -> None:
    with Room(seed=1) as room:
        domain = room.add("alpha").make_domain(labos())
        before = room.now_ns
        domain.ldm("list")
        assert room.now_ns == before
        domain.ldm("add-vcpu 1 ldg1")  # labos brings it into use, and says so
        assert room.now_ns > before
        assert len(domain.console.do("psrinfo").splitlines()) == 2
        domain.ldm("stop-domain ldg1")
        assert domain.state == "bound"


def test_a_refused_move_is_an_error_with_what_a_person_reads() -> None:
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        domain = alpha.make_domain(labos(nets=1))
        beta.ldm("remove-vsw primary-vsw0")
        with pytest.raises(RefusedMoveError, match="Failed to find required vsw primary-vsw0 on target machine"):
            room.move(domain, beta)
        assert domain.machine is alpha
        assert domain.runs
        assert room.move(domain, beta, check=False, dry_run=True).status == 1
        with pytest.raises(CommandError, match="status 1"):
            alpha.ldm("start-domain nobody")


def test_a_guest_works_while_its_memory_is_copied() -> None:
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        domain = alpha.make_domain(labos())
        domain.console.do("dirty 20000 4194304")
        before = room.now_ns, room.insns
        room.move(domain, beta, work_ms=40)
        assert room.now_ns - before[0] >= 40_000_000
        assert room.insns - before[1] > 30_000
        assert "0 wrong" in domain.console.do("dirty check")
