"""`sun4v demo`: it does what it says, leaves nothing behind, and would notice a loss."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import ldmd.demo.work as work
from emulator.places import place
from ldmd.demo.console import Console
from ldmd.demo.stage import DemoError

DEMO = [sys.executable, "-m", "emulator.cli", "demo"]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the demonstration makes its home."""
    with tempfile.TemporaryDirectory(prefix="s4v") as name:
        yield Path(name)


def processes(folder: Path) -> list[str]:
    """What still runs in a home below this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and f"S4V_HOME={folder}/".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.nosan
def test_g03_there_and_back(folder: Path) -> None:
    """G03 among others: the conversation by TCP sees a delay, and loses nothing."""
    done = subprocess.run([*DEMO, "--json"], env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True,
                          timeout=500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["ok"] and rows[-1]["wrong"] == []
    there, back = rows[-1]["trips"]
    assert (there["moved"]["source"], back["moved"]["target"]) == ("alpha", "alpha")
    for trip in (there, back):
        assert trip["moved"]["rounds"] >= 1 and trip["moved"]["wire_bytes"] > 0 and trip["moved"]["downtime_ms"] > 0
        assert trip["moved"]["verified_pages"] > 2000
    for name in ("stamps", "writes", "said_bytes"):
        assert back["seen"][name] > there["seen"][name] > 0
    assert {row["progress"]["phase"] for row in rows if "phase" in row.get("progress", {})} >= {3, 4, 5}
    assert list(folder.iterdir()) == [] and processes(folder) == []


@pytest.mark.slow
@pytest.mark.nosan
def test_a_signal_leaves_nothing(folder: Path) -> None:
    with subprocess.Popen([*DEMO, "--stay", "--json"], env=os.environ | {"TMPDIR": str(folder)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "is on" in line:
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(folder.iterdir()) == [] and processes(folder) == []


# -- what it would notice


class Consoles:
    """Consoles that answer as they are told: {domain: {command: answer, or function}}."""

    def __init__(self, answers: Mapping[str, Mapping[str, str | Callable[[], str]]]) -> None:
        self._sockets = {}
        for domain, known in answers.items():
            listener = socket.create_server(("127.0.0.1", 0))
            self._sockets[domain] = listener
            threading.Thread(target=self._serve, args=(listener, known), daemon=True).start()

    def port(self, _machine: str, domain: str) -> int:
        return int(self._sockets[domain].getsockname()[1])

    @staticmethod
    def _serve(listener: socket.socket, known: Mapping[str, str | Callable[[], str]]) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rw", newline="") as file:
                file.write("Press ~? for control options ..\r\n")
                file.flush()
                for line in file:
                    answer = known.get(line.strip(), "")
                    text = answer() if callable(answer) else answer
                    file.write(f"{line.strip()}\r\n{text}{'' if not text else chr(13) + chr(10)}# ")
                    file.flush()

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()


GOOD = {"dirty": "dirty: 500 stamps, 2048 pages, 0 wrong",
        "scribe": "scribe: 90 writes, 256 blocks, 0 wrong; longest wait 12 ms",
        "talk": "tcp-talk: {0} bytes sent, {0} bytes came back, every byte right; 2 segments sent again, longest "
                "silence 40 ms"}  # fmt: skip


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., work.Seen]]:
    made: list[Consoles] = []

    def look(*, still: bool = False, **changes: str) -> work.Seen:
        said = GOOD | changes
        count = itertools.repeat(4096) if still else itertools.count(4096, 8192)
        made.append(Consoles({
            "mover": {"dirty check": said["dirty"], "scribe check": said["scribe"]},
            "other": {"tcp-talk check": lambda: said["talk"].format(next(count))},
        }))  # fmt: skip
        monkeypatch.setattr(work, "port_of", made[-1].port)
        return work.check("alpha", "alpha")

    monkeypatch.setattr(work, "PATIENCE", 0.5)
    yield look
    for each in made:
        each.close()


def test_all_is_well(seen: Callable[..., work.Seen]) -> None:
    found = seen()
    assert (found.stamps, found.writes, found.sent_again, found.silence_ms, found.wrong) == (500, 90, 2, 40, ())


@pytest.mark.parametrize(("changes", "wrong"), [
    ({"dirty": "dirty: page 3 at 0x1000 is wrong\r\ndirty: 500 stamps, 2048 pages, 1 wrong"},
     "memory: 1 of 2048 pages wrong"),
    ({"scribe": "scribe: 90 writes, 256 blocks, 2 wrong; longest wait 12 ms"}, "disk: 2 blocks wrong"),
    ({"scribe": "scribe: 90 writes, 256 blocks, 0 wrong; longest wait 12 ms; write 90 failed: 5"},
     "disk: 0 blocks wrong; write 90 failed: 5"),
    ({"talk": "tcp-talk: {0} bytes sent, {0} bytes came back, byte 77 is wrong; 0 segments sent again, longest silence "
              "40 ms"}, "network: byte 77 is wrong"),
    ({"talk": "tcp-talk: {0} bytes sent, {0} bytes came back, the connection broke (2); 0 segments sent again, longest "
              "silence 40 ms"}, "network: the connection broke (2)"),
])  # fmt: skip
def test_a_loss_is_noticed(seen: Callable[..., work.Seen], changes: dict[str, str], wrong: str) -> None:
    assert seen(**changes).wrong == (wrong,)


def test_a_conversation_that_stands_still_is_noticed(seen: Callable[..., work.Seen]) -> None:
    assert seen(still=True).wrong == ("network: nothing came back for 0.5 s",)


def test_what_cannot_be_understood_is_an_error(seen: Callable[..., work.Seen]) -> None:
    with pytest.raises(DemoError, match="mover: dirty check: not found"):
        seen(dirty="not found")


@pytest.mark.parametrize(("text", "wrong"), [
    ("=0\n=1\n# =2\n=3\n", ""), ("=0\n=2\n=3\n", "console: 1 numbers lost, 0 there twice, of 4"),
    ("=0\n=1\n=1\n=2\n=3\n", "console: 0 numbers lost, 1 there twice, of 4"),
    ("=0\n=1\n=3\n=2\n", "console: numbers are out of order"),
])
def test_numbers_of_two_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wrong: str) -> None:
    """Some numbers are in the source's log, the rest in the target's; what stood there before does not count."""
    monkeypatch.setenv("S4V_HOME", str(tmp_path))
    consoles = Consoles({"mover": {f"tally {work.NUMBERS}": "=0\r\n=1", "tally stop": "tally: 4 numbers"}})
    monkeypatch.setattr(work, "port_of", consoles.port)
    logs = {name: place(name).console_log("mover") for name in ("alpha", "beta")}
    for log in logs.values():
        log.parent.mkdir(parents=True)
        log.write_text("=7\n=8\n")
    numbers = work.Numbers("alpha")
    numbers.moving_to("beta")
    half = text.index("\n", 4) + 1
    for name, part in (("alpha", text[:half]), ("beta", text[half:] + "tally: 4 numbers\n")):
        with logs[name].open("a") as file:
            file.write(part)
    assert numbers.end("beta")[1] == wrong
    consoles.close()


def test_the_file_of_the_disk_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consoles = Consoles({"mover": {"scribe stop": "scribe: stopped after 300 writes"},
                         "other": {"tcp-talk stop": "every byte right"}})
    monkeypatch.setattr(work, "port_of", consoles.port)
    data = bytearray(b"".join(work._block(256 + n if n < 44 else n) for n in range(256)))
    (tmp_path / "data").write_bytes(data)
    assert work.finish("alpha", "alpha", tmp_path / "data") == []
    data[5 * 512 : 6 * 512] = work._block(5)  # the write before the last one
    (tmp_path / "data").write_bytes(data)
    assert work.finish("alpha", "alpha", tmp_path / "data") == ["disk: block 5 of the file does not hold write 261"]
    consoles.close()


def test_a_console_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DemoError, match="the console of mover at port"):
        Console("mover", port)
