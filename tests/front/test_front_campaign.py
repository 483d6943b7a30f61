"""Faults of `sun4v run`, and the campaign that is made of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from front_support import EXAMPLES, LABOS, ROOT

pytestmark = pytest.mark.nosan
SUN4V = [sys.executable, "-m", "emulator.cli"]
PLAN = """
seed = 3
[[fault]]
point = "disk.write"
action = "error"
probability = 0.5
times = 0
[[fault]]
point = "cpu"
action = "report"
cpu = 0
at-insns = 2_000_000
[[fault]]
point = "domain"
action = "stop"
at-ms = {stop}
"""


def run(folder: Path, plan: str, *more: str, script: str) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    """labos with a disk and a plan; how it ended, and what --stats says."""
    (folder / "plan.toml").write_text(plan)
    (folder / "disk.img").write_bytes(bytes(1 << 20))
    words = ["run", "--deterministic", "--stats", "--memory", "64M", "--max-insns", "2G", "--faults", "plan.toml",
             "--disk", "disk.img,cow", "--input-after", "\n# ", *more, str(LABOS)]  # fmt: skip
    done = subprocess.run([*SUN4V, *words], input=script, cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
    return done, json.loads(done.stderr.splitlines()[-1])


def test_a_run_with_faults_repeats_from_its_seed(tmp_path: Path) -> None:
    """Same firings at the same times, same digest of the machine; another seed, another run; all of it in the trace."""
    script = "".join(f"write c0d0 {at} pattern 8\n" for at in range(0, 256, 8)) + "halt\n"
    (one, first), (_, again), (_, other) = (
        run(tmp_path, PLAN.format(stop=1e7), *more, script=script)
        for more in (["--trace=t.json"], ["--trace=u.json"], ["--seed", "4"]))  # fmt: skip
    assert one.returncode == 0
    faults = first["faults"]
    assert isinstance(faults, dict)
    assert again["faults"] == faults and again["digest"] == first["digest"]
    assert other["faults"] != faults and other["digest"] != first["digest"]
    fired = [(row["point"], row["action"]) for row in faults["firings"]]
    assert fired.count(("cpu", "report")) == 1
    assert one.stdout.count("blocks written at") == 32 - fired.count(("disk.write", "error"))
    assert "rror on cpu 0" in one.stdout
    events, as_again = (json.loads((tmp_path / name).read_text())["traceEvents"] for name in ("t.json", "u.json"))
    for event in (*events, *as_again):
        event["args"].pop("host_us", None)  # all but the host's clock
    assert events == as_again
    assert sum(event["name"] == "disk.write error" for event in events) == fired.count(("disk.write", "error"))


def test_a_run_ends_by_a_fault_and_what_cannot_be_is_refused(tmp_path: Path) -> None:
    done, told = run(tmp_path, PLAN.format(stop=4), script="spin 1\n")
    assert done.returncode == 3
    assert "a fault powered it off" in done.stderr
    assert told["faults"]["firings"][-1]["at_ns"] >= 4_000_000  # type: ignore[index]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for text, wanted in (('[[fault]]\npoint = "worker"\naction = "kill"\n', "worker is of machine rooms"),
                         ('[[fault]]\npoint = "cpu"\naction = "melt"\n', "plan.toml:3: fault[0].action")):  # fmt: skip
        (tmp_path / "plan.toml").write_text(text)
        done = subprocess.run([*SUN4V, "run", "--faults", "plan.toml", str(LABOS)], cwd=tmp_path, capture_output=True,
                              text=True, timeout=300, env=environment, check=False)  # fmt: skip
        assert done.returncode == 2 and wanted in done.stderr
    done = subprocess.run([*SUN4V, "run", "--seed", "1", str(LABOS)], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False)  # fmt: skip
    assert done.returncode == 2 and "--seed" in done.stderr


def test_the_campaign_that_is_an_example() -> None:
    """Each result in the order of the seeds; one of them again is the same to the digest."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = str(EXAMPLES / "campaign" / "campaign.py")

    def campaign(*words: str) -> list[dict[str, object]]:
        done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=300, check=True,
                              env={**os.environ, "PATH": path})  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]

    found = campaign("--seeds", "1-3", "--jobs", "2")
    assert [row["seed"] for row in found] == [1, 2, 3]
    assert {row["result"] for row in found} <= {"masked", "told", "silent"}
    assert campaign("--seeds", "2-2") == found[1:2]
