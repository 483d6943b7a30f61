"""migrate-domain at the keyboard: the password and who must not see it, the target, progress, events, the record."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakemoves import FakeMoves, fake_moves
from ldm_support import Done, InMemory, ldm
from manager_support import make_manager

from ldmd.cli.main import run
from ldmd.cli.screen import Screen
from ldmd.cli.secret import PROMPT, ask_terminal, from_file
from ldmd.log import Log
from ldmd.manager import Manager
from ldmd.messages import RefusedError, message
from ldmd.migrationrecord import FolderRecords, MemoryRecords, read
from ldmd.migrator.moves import MoveOutcome, Target
from ldmd.operations.migrate import progress_text, target_of

SECRET = "swordfish-7"
STEPS: list[dict[str, Any]] = [
    {"phase": 1}, {"phase": 2, "percent": 1}, {"phase": 3, "percent": 10, "bytes": 100 << 20, "remaining": 900 << 20},
    {"phase": 3, "percent": 60, "bytes": 600 << 20, "remaining": 300 << 20, "wire_rate": 100.0 * 2**20},
    {"phase": 3, "percent": 90, "round": 2, "bytes": 1000 << 20, "remaining": 20 << 20, "dirty_rate": 2.0 * 2**20},
    {"phase": 4, "percent": 99, "round": 3, "bytes": 1020 << 20, "remaining": 0}, {"phase": 5, "percent": 100},
]


@pytest.fixture
def log_lines() -> list[str]:
    return []


@pytest.fixture
def manager(log_lines: list[str]) -> Manager:
    made = make_manager()
    made.log = Log(log_lines.append)
    for line in ("add-domain ldg1", "set-vcpu 2 ldg1", "set-memory 1G ldg1"):
        assert ldm(made, line).status == 0
    return made


@pytest.fixture
def moves(manager: Manager) -> FakeMoves:
    moves = fake_moves(manager)
    moves.steps = STEPS
    return moves


def typed(manager: Manager, line: str, *, terminal: bool = False, ask: Callable[[], str] = lambda: SECRET) -> Done:
    out, err = io.StringIO(), io.StringIO()
    status = run(line.split(), screen=Screen(out, err, terminal=terminal), reach=lambda _: InMemory(manager), ask=ask)
    return Done(status, out.getvalue(), err.getvalue())


# -- the password


def test_the_password_is_asked_for_and_reaches_only_who_needs_it(manager: Manager, moves: FakeMoves,
                                                                 log_lines: list[str]) -> None:
    events: list[Any] = []
    seen: list[Any] = []
    manager.watch(events.append)
    manager.watch(lambda event: seen.extend(manager.book.all()))
    assert typed(manager, "migrate-domain ldg1 root@beta:ldg2") == Done(0, "", "")
    assert moves.asked[0][1] == Target("root", "beta", "ldg2")
    assert moves.asked[0][2].password == SECRET and not moves.asked[0][2].certificates
    assert isinstance(manager.records, MemoryRecords)
    told = repr((log_lines, events, seen, manager.book.all(), manager.history(100), manager.records.records,
                 moves.asked[0][2]))  # fmt: skip
    assert "migrate-domain ldg1 root@beta:ldg2" in told
    assert SECRET not in told


@pytest.mark.parametrize("words", ["-c ldg1 beta", "-n -c ldg1 beta", "-f -c ldg1 beta:ldg2"])
def test_with_certificates_nobody_asks(manager: Manager, moves: FakeMoves, words: str) -> None:
    def ask() -> str:
        raise AssertionError("asked")

    assert typed(manager, f"migrate-domain {words}", ask=ask).status == 0
    options = moves.asked[0][2]
    assert options.certificates and options.password is None
    assert (options.dry_run, options.force) == ("-n" in words, "-f" in words)


def test_the_prompt_on_a_terminal_without_echo(tmp_path: Path) -> None:
    """A real terminal: the prompt is the product's, and what is typed does not appear."""
    program = "from ldmd.cli.secret import ask_terminal; import sys; sys.stderr.write(f'[{ask_terminal()}]')"
    pid, fd = pty.fork()
    if pid == 0:
        err = os.open(tmp_path / "got", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(err, 2)
        os.execv(sys.executable, [sys.executable, "-c", program])
    seen = b""
    while PROMPT.encode() not in seen:
        seen += os.read(fd, 1024)
    os.write(fd, f"{SECRET}\n".encode())
    try:
        while data := os.read(fd, 1024):
            seen += data
    except OSError:
        pass
    assert os.waitpid(pid, 0)[1] == 0
    os.close(fd)
    assert seen.strip() == b"Target Password:" and (tmp_path / "got").read_text() == f"[{SECRET}]"


def test_without_a_terminal_it_says_what_to_do() -> None:
    program = ("from ldmd.cli.secret import ask_terminal\nfrom ldmd.messages import RefusedError\n"
               "try: ask_terminal()\nexcept RefusedError as error: print(error.code, error.remedy)")
    done = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          start_new_session=True, check=True)
    assert done.stdout.startswith("password.terminal give it with -p FILE, or use -c")
    assert callable(ask_terminal)


@pytest.mark.parametrize(("content", "mode", "problem"), [
    (b"word\n", 0o640, "others may read it (mode 640)"), (b"word\n", 0o602, "others may write it (mode 602)"),
    (b"word\n", 0o601, "others may execute it"), (b"\nword\n", 0o600, "its first line is empty"),
    (b"", 0o600, "its first line is empty"), (b"x" * 2000, 0o600, "has more than 1024 bytes"),
    (b"\xff\xfe\n", 0o600, "it is not UTF-8"),
])
def test_a_password_file_that_cannot_be_used(tmp_path: Path, content: bytes, mode: int, problem: str) -> None:
    path = tmp_path / "pw"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(RefusedError, match="cannot be used") as caught:
        from_file(str(path))
    assert problem in caught.value.text and caught.value.remedy


def test_a_password_file_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, problem in (("pipe", "it is no file"), (".", "Is a directory"), ("none", "No such file")):
        with pytest.raises(RefusedError, match=problem):
            from_file(str(tmp_path / name))


def test_the_first_line_is_the_password(tmp_path: Path) -> None:
    path = tmp_path / "pw"
    path.write_bytes(b"one two\r\nthree\n")
    path.chmod(0o400)
    assert from_file(str(path)) == "one two"


# -- the target


@pytest.mark.parametrize(("text", "target"), [
    ("beta", Target("me", "beta")), ("beta:ldg2", Target("me", "beta", "ldg2")), ("a@beta", Target("a", "beta")),
    ("a@b@beta:x", Target("a@b", "beta", "x")), ("192.0.2.7:x", Target("me", "192.0.2.7", "x")),
    ("[2001:db8::7]", Target("me", "2001:db8::7")), ("u@[fe80::1%eth0]:x", Target("u", "fe80::1%eth0", "x")),
])
def test_targets(text: str, target: Target) -> None:
    assert target_of(text, "me") == target


@pytest.mark.parametrize("text", ["", "@beta", "beta:", "be/ta", "-beta", "be ta", "a b@beta", "[beta]", "[::1",
                                  "[::1]x", "beta:x:y", "..", "x" * 300, "beta\n", "u@", "[]"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        target_of(text, "me")
    assert caught.value.code == "migration.target"


@pytest.mark.parametrize("name", ["a,b", "../../up", "x" * 257, "two words", ".hidden"])
def test_a_new_name_must_be_one(name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        target_of(f"beta:{name}", "me")
    assert caught.value.code == "domain.name"


# -- what is seen


def test_the_line_of_progress(manager: Manager, moves: FakeMoves) -> None:
    shown = typed(manager, "migrate-domain -c ldg1 beta", terminal=True).err
    lines = [line.strip() for line in shown.split("\r") if line.strip()]
    assert lines[0] == "0% checking" and lines[-1] == "100% handing over"
    assert "60% copying, round 1: 300M left, 100M/s" in lines
    assert "90% copying, round 2: 20M left, 2.0M/s dirtied" in lines
    assert shown.endswith("\r"), "nothing of it stays"
    assert typed(manager, "migrate-domain -c ldg1 beta").err == ""


def test_a_line_of_progress_is_never_longer_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    err = io.StringIO()
    Screen(io.StringIO(), err, terminal=True).line("progress", {"percent": 1, "text": "x" * 200})
    assert len(err.getvalue()) == 40


def test_programs_get_json_lines(manager: Manager, moves: FakeMoves) -> None:
    rows = [json.loads(line) for line in typed(manager, "migrate-domain --json -c ldg1 beta").out.splitlines()]
    assert rows[-1] == {"status": 0, "result": None}
    steps = [row["progress"] for row in rows[:-1]]
    assert [step["phase"] for step in steps] == [1, 2, 3, 3, 3, 4, 5]
    assert steps[3]["wire_rate"] == 100.0 * 2**20 and steps[3]["remaining"] == 300 << 20


def test_events(manager: Manager, moves: FakeMoves) -> None:
    events: list[Any] = []
    manager.watch(events.append)
    typed(manager, "migrate-domain -c ldg1 beta")
    names = [event["event"] for event in events if event["event"].startswith("migrat")]
    assert names[0] == "migration-begin" and names[-2:] == ["migration-end", "migrate-domain"]
    assert [event["round"] for event in events if event["event"] == "migration-round"][:2] == [1, 2]
    end = next(event for event in events if event["event"] == "migration-end")
    assert (end["domain"], end["target"], end["result"], end["why"]) == ("ldg1", "beta", "done", "")


def test_a_failure_says_why_and_ends_with_the_products_line(manager: Manager, moves: FakeMoves) -> None:
    moves.outcome = MoveOutcome(done=False, problems=("first", "  its remedy"), told=("look at beta",))
    done = typed(manager, "migrate-domain -c ldg1 beta")
    assert done == Done(1, "", "look at beta\nfirst\n  its remedy\nDomain Migration of LDom ldg1 failed\n")
    assert typed(manager, "migrate-domain -n -c ldg1 beta").err.endswith(
        "\nDomain Migration of LDom ldg1 would fail if attempted\n")
    assert [row["text"] for row in manager.history(2)] == [
        "Domain Migration of LDom ldg1 failed", "Domain Migration of LDom ldg1 would fail if attempted"]


def test_why_it_failed_stands_in_history_log_and_event(
        manager: Manager, moves: FakeMoves, log_lines: list[str]) -> None:
    """In one line, without remedies; of what could not begin with its cause; and no longer than can be read."""
    events: list[Any] = []
    manager.watch(events.append)
    moves.outcome = MoveOutcome(done=False, problems=("first", "  its remedy"), reasons=("first", "second"))
    typed(manager, "migrate-domain -c ldg1 beta")
    moves.refusal = message("migration.connect", host="beta", problem="Connection refused", help="is it on")
    typed(manager, "migrate-domain -c ldg1 beta")
    texts = ["Domain Migration of LDom ldg1 failed: first; second", "Domain Migration of LDom ldg1 failed: Failed to "
             "establish connection with ldmd(1m) on target: beta (Connection refused)"]
    assert [row["text"] for row in manager.history(2)] == texts
    assert [line.partition("migration.failed: ")[2] for line in log_lines if "migration.failed" in line] == texts
    assert [each["why"] for each in events if each["event"] == "migration-end"] == [
        text.partition(" failed: ")[2] for text in texts]
    moves.refusal, moves.outcome = None, MoveOutcome(done=False, reasons=("x" * 5000,))
    typed(manager, "migrate-domain -c ldg1 beta")
    assert len(manager.history(1)[0]["text"]) == 1000


def test_a_number_behind_the_colon_is_taken_for_a_port(manager: Manager, moves: FakeMoves) -> None:
    done = typed(manager, "migrate-domain -c ldg1 beta:8101")
    assert done.status == 1 and moves.asked == []
    assert done.err.splitlines()[0] == "8101 behind the colon would be the domain's name on beta, not a port"
    assert ldm(manager, "add-domain 8102").status == 0
    assert typed(manager, "migrate-domain -c 8102 beta:8102").status == 0


def test_the_same_machine_is_no_target(manager: Manager, moves: FakeMoves) -> None:
    here = manager.configuration.server.name
    lines = typed(manager, f"migrate-domain -c ldg1 {here}").err.splitlines()
    assert lines[0] == f"LDom ldg1 is on {here} already" and lines[-1] == "Domain Migration of LDom ldg1 failed"


def test_a_migration_that_is_not_settled_is_told_with_its_status(manager: Manager, moves: FakeMoves) -> None:
    """Flag e; on standard error, since programs read the table."""
    moves.show("ldg1", "beta", phase=5, percent=97, role="error")
    moves.views["ldg1"] = replace(moves.views["ldg1"], told=("early", "beta has not confirmed that it runs"))
    text = "The migration of LDom ldg1 is not settled: beta has not confirmed that it runs\n"
    done = typed(manager, "list -o status ldg1")
    assert done.status == 0 and done.err == text and "    migration    97%" in done.out
    assert typed(manager, "list -o status").err == text
    assert typed(manager, "list ldg1").err == typed(manager, "list -o status primary").err == ""


def test_a_success_with_a_word_to_the_person(manager: Manager, moves: FakeMoves) -> None:
    moves.outcome = MoveOutcome(done=True, told=("it boots there anew",))
    assert typed(manager, "migrate-domain -c ldg1 beta") == Done(0, "", "it boots there anew\n")


@pytest.mark.parametrize("code", ["migration.disabled", "migration.busy"])
def test_what_cannot_even_begin(manager: Manager, moves: FakeMoves, code: str) -> None:
    values = {"side": "target", "machine": "beta", "setting": "incoming", "other": "ldg7"}
    moves.refusal = message(code, **values)
    done = typed(manager, "migrate-domain -c ldg1 beta")
    lines = done.err.splitlines()
    assert lines[0] == moves.refusal.text and lines[-1] == "Domain Migration of LDom ldg1 failed"
    assert f"Remedy: {moves.refusal.remedy}" in lines and done.status == 1


def test_without_peers(manager: Manager) -> None:
    done = typed(manager, "migrate-domain -c ldg1 beta")
    assert done.status == 1 and done.err.startswith("this manager does not migrate domains\n")
    assert typed(manager, "cancel-operation migration ldg1").err.startswith("No migration of LDom ldg1 is under way")


def test_a_cancelled_migration(manager: Manager, moves: FakeMoves) -> None:
    clock: Any = manager.clock
    said: list[Done] = []
    clock.at(2.5, lambda: said.append(typed(manager, "cancel-operation migration ldg1")))
    done = typed(manager, "migrate-domain -c ldg1 beta")
    assert said == [Done(0, "", "")] and moves.cancelled == [("ldg1", False, "local")]
    assert done.err == "cancelled\nDomain Migration of LDom ldg1 failed\n"


def test_others_may_look_meanwhile(manager: Manager, moves: FakeMoves) -> None:
    clock: Any = manager.clock
    said: list[str] = []
    clock.at(3.5, lambda: said.append(typed(manager, "list -o status ldg1").out))
    typed(manager, "migrate-domain -c ldg1 beta")
    assert said == ["NAME\nldg1\n\nSTATUS\n    OPERATION    PROGRESS    TARGET\n    migration    60%         beta\n\n"]
    assert "STATUS" not in typed(manager, "list -o status ldg1").out


# -- the record


def test_the_record(manager: Manager, moves: FakeMoves, tmp_path: Path) -> None:
    manager.records = FolderRecords(tmp_path / "migrations", pytest.fail)
    moves.outcome = MoveOutcome(done=True, summary={"downtime_ms": 41.5})
    for _ in range(2):
        typed(manager, "migrate-domain -c ldg1 beta:ldg2")
    files = sorted((tmp_path / "migrations").iterdir())
    assert [path.name for path in files] == ["0001-ldg1.json", "0002-ldg1.json"]
    record = read(files[1])
    assert (record["source"], record["target"], record["target_domain"]) == ("alpha", "beta", "ldg2")
    assert (record["kind"], record["result"], record["summary"]) == ("inactive", "done", {"downtime_ms": 41.5})
    assert [row["phase"] for row in record["phases"]] == [1, 2, 3, 4, 5]
    assert [row["at"] for row in record["phases"]] == [0, 1, 2, 5, 6]
    assert [(row["round"], row["bytes"]) for row in record["rounds"]][:2] == [(1, 600 << 20), (2, 1000 << 20)]
    assert len(record["samples"]) == 7 and record["ended_at"] - record["started_at"] == 7


def test_a_long_migration_has_a_record_of_bounded_size(manager: Manager, moves: FakeMoves) -> None:
    moves.steps = [{"phase": 3, "percent": 5, "bytes": number} for number in range(1, 5001)]
    typed(manager, "migrate-domain -c ldg1 beta")
    assert isinstance(manager.records, MemoryRecords)
    samples = manager.records.records[0]["samples"]
    assert 1000 <= len(samples) <= 2000 and samples[0]["bytes"] == 1 and samples[-1]["bytes"] > 4990


def test_a_full_disk_costs_the_record_only(manager: Manager, moves: FakeMoves, tmp_path: Path) -> None:
    warned: list[str] = []
    (tmp_path / "file").write_text("")
    manager.records = FolderRecords(tmp_path / "file" / "migrations", warned.append)
    assert typed(manager, "migrate-domain -c ldg1 beta").status == 0
    assert len(warned) == 1 and warned[0].startswith("no record of the migration was written")


def test_text_of_amounts() -> None:
    row = {"phase": 3, "round": 4, "total_bytes": 1 << 30, "remaining": 3 << 30, "wire_rate": 1536.0,
           "dirty_rate": 12.0, "predicted_downtime_ms": 250.4, "limited_by": "dirty-rate"}
    assert progress_text(row) == ("copying, round 4: 3.0G left, 1.5K/s, 12/s dirtied, pause 250 ms, limited by "
                                  "dirty-rate")
