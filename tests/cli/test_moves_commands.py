"""`sun4v passwd` and `sun4v report`."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.cli import main
from emulator.places import place
from ldmd.migrationrecord import FolderRecords, kept_in, read
from ldmd.migrator.passwords import FILE, check_password
from ldmd.report.plot import draw
from ldmd.report.trace import trace

Sun4v = Callable[..., tuple[int, str, str]]
EXAMPLE: dict[str, Any] = {
    "version": 1, "domain": "ldg1", "uuid": "", "kind": "live", "dry_run": False, "source": "alpha", "target": "beta",
    "target_domain": "ldg2", "user": "root", "platform": "t4-1", "memory_bytes": 1 << 30, "result": "done",
    "started_at": 1_700_000_000.0, "ended_at": 1_700_000_006.5, "problems": [], "told": [], "findings": [],
    "phases": [{"at": 0.0, "phase": 1}, {"at": 0.2, "phase": 3}, {"at": 6.0, "phase": 4}, {"at": 6.2, "phase": 5}],
    "rounds": [
        {"at": 5.0, "phase": 3, "round": 1, "bytes": 1000 << 20, "remaining": 40 << 20, "dirty_rate": 8.0 * 2**20,
         "wire_rate": 200.0 * 2**20, "ratio": 1.0, "limited_by": "network"},
        {"at": 6.0, "phase": 3, "round": 2, "bytes": 1040 << 20, "remaining": 2 << 20, "dirty_rate": 1.5 * 2**20,
         "wire_rate": 210.0 * 2**20, "ratio": 2.5, "limited_by": "network"},
    ],
    "samples": [{"at": 0.1 * n, "phase": 3, "round": 1, "bytes": n << 24, "remaining": (1000 - 16 * n) << 20,
                 "dirty_rate": 8.0 * 2**20, "wire_rate": 2e8, "ratio": 1.0, "predicted_downtime_ms": None}
                for n in range(1, 60)],
    "summary": {"downtime_ms": 210.25, "bytes": 1042 << 20, "pages": 131072, "strict": True,
                "parts": {"harvest": 3.5, "pages": 20.0, "verify": 100.0}},
}  # fmt: skip


@pytest.fixture
def sun4v(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sun4v:
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    monkeypatch.delenv("SUN4V_MACHINE", raising=False)
    place("alpha").manager.mkdir(parents=True)

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def secret(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_password_is_set_checked_and_taken_away(sun4v: Sun4v, tmp_path: Path) -> None:
    kept = place("alpha").manager / FILE
    assert sun4v("passwd", "alpha", "alice", "--file", secret(tmp_path / "pw", "one two\n")) == (0, "", "")
    assert sun4v("passwd", "alpha", "--file", str(tmp_path / "pw"))[0] == 0
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert sun4v("passwd", "alpha", "--list")[1].split() == sorted(["alice", me])
    assert check_password(kept, "alice", "one two") and not check_password(kept, "alice", "one")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and "one two" not in kept.read_text()
    sun4v("passwd", "alpha", "alice", "--file", secret(tmp_path / "pw", "three\n"))
    assert check_password(kept, "alice", "three") and not check_password(kept, "alice", "one two")
    assert sun4v("passwd", "alpha", "alice", "--delete")[0] == 0
    assert not check_password(kept, "alice", "three") and check_password(kept, me, "one two")


def test_what_passwd_refuses(sun4v: Sun4v, tmp_path: Path) -> None:
    good, open_to_all = secret(tmp_path / "a", "word\n"), secret(tmp_path / "b", "word\n", 0o644)
    for words, status, text in (
        (("alpha", "a:b", "--file", good), 1, "'a:b' is no name of a user"),
        (("alpha", "alice", "--file", open_to_all), 1, "others may read it (mode 644)"),
        (("alpha", "alice", "--file", str(tmp_path / "none")), 1, "No such file"),
        (("alpha", "alice", "--delete"), 1, "alice has no password here"),
        (("nobody", "alice", "--file", good), 2, "there is no machine nobody; there are: alpha"),
        (("alpha", "alice"), 1, "standard input is no terminal"),
    ):
        found = sun4v("passwd", *words)
        assert found[0] == status and text in found[2], found
    assert not (place("alpha").manager / FILE).exists()
    (place("alpha").manager / FILE).write_text("not a line\n")
    (place("alpha").manager / FILE).chmod(0o600)
    assert sun4v("passwd", "alpha", "alice", "--file", good)[0] == 1
    assert (place("alpha").manager / FILE).read_text() == "not a line\n", "nothing is overwritten"


# -- report


@pytest.fixture
def folder(sun4v: Sun4v) -> Path:
    folder = place("alpha").manager / "migrations"
    records = FolderRecords(folder, pytest.fail)
    records.add(EXAMPLE | {"result": "failed", "problems": ["no", "Cause: it was not so"]})
    records.add(EXAMPLE)
    return folder


def test_the_list_of_migrations(sun4v: Sun4v, folder: Path) -> None:
    status, out, _ = sun4v("report")
    assert status == 0
    assert out == (
        "MIGRATION        BEGUN (UTC)          FROM, TO       KIND  RESULT  TIME    BYTES  DOWNTIME\n"
        "alpha/0001-ldg1  2023-11-14 22:13:20  alpha -> beta  live  failed  6.50 s  1.0G   210 ms\n"
        "alpha/0002-ldg1  2023-11-14 22:13:20  alpha -> beta  live  done    6.50 s  1.0G   210 ms\n")
    assert [row["migration"] for row in json.loads(sun4v("report", "--json")[1])] == ["alpha/0001-ldg1",
                                                                                      "alpha/0002-ldg1"]


@pytest.mark.parametrize(("result", "word"), [("done", "dry run: can be done"), ("failed", "dry run: would fail")])
def test_a_dry_run_in_the_list(sun4v: Sun4v, folder: Path, result: str, word: str) -> None:
    path = folder / "0002-ldg1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dry_run": True, "result": result}))
    rows = sun4v("report")[1].splitlines()
    assert f"  live  {word}  " in rows[2] and "  live  failed  " in rows[1]


@pytest.mark.parametrize("word", ["alpha/0002-ldg1", "0002-ldg1", "2", "ldg1", "alpha/ldg1"])
def test_a_report(sun4v: Sun4v, folder: Path, word: str) -> None:
    os.utime(folder / "0001-ldg1.json", (1, 1))
    status, out, _ = sun4v("report", word)
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "alpha/0002-ldg1: ldg1 from alpha to beta as ldg2, live"
    for line in ("1 5.00 s 1000M 40M 8.0M 200M 1.0 network", "2 6.00 s 40M 2.0M 1.5M 210M 2.5 network",
                 "3 5.80 s memory is copied while the domain runs", "downtime 210.2 ms", "pause: verify 100.0 ms"):
        assert line in lines


def test_a_failed_one_says_why(sun4v: Sun4v, folder: Path) -> None:
    assert "    no\n    Cause: it was not so\n" in sun4v("report", "1")[1]


def test_a_trace_that_perfetto_opens(sun4v: Sun4v, folder: Path, tmp_path: Path) -> None:
    """The rules of the Trace Event Format: phases, times, processes, counters."""
    path = tmp_path / "out.json"
    assert sun4v("report", "2", "--trace", str(path)) == (0, "", "")
    document = json.loads(path.read_text())
    assert document == trace(read(folder / "0002-ldg1.json"))
    events = document["traceEvents"]
    for event in events:
        assert event["ph"] in "MXC" and isinstance(event["pid"], int) and isinstance(event["name"], str)
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event["ph"] != "X" or event["dur"] >= 0
    names = [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]
    assert ("copy", 200_000, 5_800_000) in names and ("round 2", 5_000_000, 1_000_000) in names
    assert ("pause", 6_000_000, 210_250) in names and ("verify", 6_023_500, 100_000) in names
    assert sum(event["ph"] == "C" for event in events) == 59 * 3


def test_a_picture(sun4v: Sun4v, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    if importlib.util.find_spec("matplotlib") is None:
        status, _, err = sun4v("report", "2", "--png", str(path))
        assert status == 1 and "matplotlib, which is not installed" in err and "pip install" in err
        assert not path.exists()
        pytest.skip("matplotlib is not installed")
    assert sun4v("report", "2", "--png", str(path)) == (0, "", "")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (1100, 990)


def words_of(axes: Any) -> list[str]:
    return [text.get_text().strip() for text in axes.texts]


def test_a_picture_of_much_or_little_can_be_read() -> None:
    """Many rounds, phases too short for their names, no pause."""
    pytest.importorskip("matplotlib")
    phases = [{"at": 0.0, "phase": 1}, {"at": 0.01, "phase": 2}, {"at": 0.02, "phase": 3}, {"at": 6.4, "phase": 4}]
    row = EXAMPLE["rounds"][0]
    many = [row | {"round": number, "at": 0.02 * number, "bytes": number << 20} for number in range(200)]
    rates, rounds, pause, _ = draw("x", EXAMPLE | {"phases": phases, "rounds": many, "summary": {}}).axes
    assert words_of(rates) == ["copy"] and rates.get_xlim() == (0, 6.5)
    assert len(rounds.patches) == 200 and len(rounds.get_xticks()) < 20
    assert words_of(pause) == ["the domain never stood still"] and not pause.axison
    rates, rounds, pause, _ = draw("x", EXAMPLE).axes
    assert words_of(rates) == ["check", "copy", "suspend", "handoff"] and pause.axison and words_of(pause) == []
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in rounds.patches] == [1, 2], "as the list numbers them"


def test_without_matplotlib(sun4v: Sun4v, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    status, _, err = sun4v("report", "2", "--png", str(tmp_path / "x.png"))
    assert status == 1 and "needs matplotlib" in err and not (tmp_path / "x.png").exists()


def test_what_report_refuses(sun4v: Sun4v, folder: Path) -> None:
    assert "there are: alpha/0001-ldg1, alpha/0002-ldg1" in sun4v("report", "nothing")[2]
    for content in ("", "[]", "{}", "{\"version\": 1}", json.dumps(EXAMPLE | {"rounds": [{}]}),
                    json.dumps(EXAMPLE | {"started_at": "x"}), json.dumps(EXAMPLE | {"version": 2}), "[" * 100_000):
        (folder / "0002-ldg1.json").write_text(content)
        status, _, err = sun4v("report", "2")
        assert status == 1 and "is no record of a migration" in err


def test_the_oldest_records_go(sun4v: Sun4v, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldmd.migrationrecord.KEPT", 3)
    records = FolderRecords(tmp_path / "r", pytest.fail)
    for number in range(5):
        records.add(EXAMPLE | {"domain": f"../{number}"})
    assert [each.name for each in kept_in(tmp_path / "r")] == ["0003-.._2", "0004-.._3", "0005-.._4"]


def test_faults_of_a_machine_that_is_not_on(sun4v: Sun4v, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[fault]]\npoint = "disk.read"\naction = "error"\n')
    for words in (("arm", "gamma", str(tmp_path / "plan.toml")), ("status", "gamma"), ("disarm", "gamma")):
        assert sun4v("faults", *words) == (
            2, "", "sun4v: no machine gamma is on, and no lab is called so; machines that are on: none\n")
