"""GDB at a program of `sun4v run`: a client of our own in any case, and Debian's gdb-multiarch where it is."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gdb_fake import packet, payloads
from linux_found import CRYPTO, find_linux

from emulator.loader import read_image

pytestmark = pytest.mark.nosan
ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "images" / "prebuilt" / "hello.elf"
LABOS = ROOT / "images" / "prebuilt" / "labos.elf"
GDB = "gdb-multiarch"
DEADLINE = 120


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """`sun4v run`, whose standard input stays open."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator.cli", "run", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def where(process: subprocess.Popen[str]) -> str:
    """What GDB is told to connect to."""
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"target remote (\S+?)(,|$)", line)
    assert found, line
    return found[1]


def first_word(program: Path) -> bytes:
    image = read_image(program)
    segment = next(each for each in image.segments if each.ra <= image.entry < each.end)
    return segment.data[image.entry - segment.ra :][:4].hex().encode()


def until(process: subprocess.Popen[str], text: str) -> str:
    """What the program writes, up to a text."""
    assert process.stdout is not None
    said = ""
    while text not in said:
        ready, _, _ = select.select([process.stdout], [], [], DEADLINE)
        more = os.read(process.stdout.fileno(), 4096) if ready else b""
        assert more, said
        said += more.decode().replace("\r", "")
    return said


def type_in(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


class Client:
    """One packet, one answer."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(path)

    def ask(self, text: bytes) -> bytes:
        self.sock.sendall(packet(text))
        got = b""
        while not re.search(rb"\$[^#]*#..\Z", got):
            more = self.sock.recv(4096)
            assert more, got
            got += more
        with suppress(OSError):  # who has said W has left
            self.sock.sendall(b"+")
        return payloads(got)[-1]


def test_a_bare_program_waits_for_its_debugger_and_counts_as_without(tmp_path: Path) -> None:
    """It stands before its first instruction, is stepped, meets a breakpoint, ends; no instruction more or less."""
    words = ("--deterministic", "--stats", str(HELLO))
    alone = subprocess.run([sys.executable, "-m", "emulator.cli", "run", *words], stdin=subprocess.DEVNULL, text=True,
                           capture_output=True, timeout=DEADLINE, check=True, cwd=ROOT)  # fmt: skip
    entry = read_image(HELLO).entry
    with running(f"--gdb=unix:{tmp_path / 'g'}", "--gdb-wait", *words) as process:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        client = Client(where(process))
        assert f"{entry:016x}".encode() in client.ask(b"?")
        for _ in range(3):
            assert client.ask(b"vCont;s:1").startswith(b"T05")
        assert client.ask(b"m%x,4" % entry) == first_word(HELLO)
        assert client.ask(b"Z0,%x,4" % (entry + 16)) == b"OK"
        assert f"{entry + 16:016x}".encode() in client.ask(b"c")
        assert client.ask(b"Z9,0,4") == b""
        assert client.ask(b"c") == b"W00"
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    assert out == alone.stdout
    counts = [json.loads(text.splitlines()[-1])["instructions"] for text in (alone.stderr, err)]
    assert counts[0] == counts[1]
    assert not (tmp_path / "g").exists()


def test_a_kernel_runs_on_between_debuggers(tmp_path: Path) -> None:
    """What is typed while it stands is kept; a second client is told that there is one; leaving lets it run on."""
    with running("--gdb", f"unix:{tmp_path / 'g'}", "--memory", "64M", str(LABOS)) as process:
        path = where(process)
        until(process, "\n# ")
        client, other = Client(path), Client(path)
        assert client.ask(b"?").startswith(b"T05")
        assert b"one at a time" in other.ask(b"?")
        type_in(process, "uname -s\n")
        assert client.ask(b"m0,4") in (b"E0e", b"00000000")  # it stands still, and answers
        assert client.ask(b"D") == b"OK"
        until(process, "SunOS\n# ")
        again = Client(path)
        assert again.ask(b"qfThreadInfo") == b"m1"
        again.sock.close()
        type_in(process, "halt\n")
        assert process.wait(DEADLINE) == 0


def test_wrong_addresses_are_told() -> None:
    for words, wanted in ((["--gdb=nowhere"], "ADDRESS:PORT with a numeric address"),
                          (["--gdb=unix:/no/such/folder/s"], "No such file")):
        done = subprocess.run([sys.executable, "-m", "emulator.cli", "run", *words, str(HELLO)], capture_output=True,
                              text=True, timeout=DEADLINE, check=False, cwd=ROOT)  # fmt: skip
        assert done.returncode == 2
        assert wanted in done.stderr


# -- with a client that is not ours


def gdb(symbols: Path, target: str, *commands: str) -> str:
    if shutil.which(GDB) is None:
        pytest.skip(f"{GDB} is not installed")
    words = [GDB, "-nx", "-batch", str(symbols), "-ex", "set remotetimeout 60", "-ex", f"target remote {target}"]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=DEADLINE, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_gdb_multiarch_sees_a_bare_program_from_its_entry_to_its_exit() -> None:
    entry = read_image(HELLO).entry
    with running("--gdb=0", "--gdb-wait", str(HELLO)) as process:
        said = gdb(HELLO, where(process), "info registers pc", f"hbreak *{entry + 8}", "continue", "stepi",
                   "info threads", "continue")  # fmt: skip
        assert re.search(rf"pc +{entry:#x}", said)
        assert re.search(rf"Breakpoint 1, 0x0*{entry + 8:x}", said)
        assert "exited normally" in said
        assert process.wait(DEADLINE) == 0


@pytest.mark.slow
def test_gdb_multiarch_at_linux_from_its_first_line() -> None:
    found, why = find_linux()
    if found is None:
        pytest.skip(why)
    words = ("--gdb=0", "--gdb-wait", "--memory", "512M", "--vcpus", "2", "--initrd", str(found.initrd), "--append",
             f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh", str(found.kernel))  # fmt: skip
    with running(*words) as process:
        said = gdb(found.kernel, where(process), "hbreak start_kernel", "continue", "backtrace 1", "info threads",
                   "x/s (char *) &linux_banner", "delete", "hbreak rest_init", "continue", "monitor info",
                   "detach")  # fmt: skip
        assert re.search(r"Breakpoint 1, 0x\w+ in start_kernel", said)
        assert '2    Thread 2 "vcpu 1" (stopped)' in said
        assert "Linux version" in said
        assert re.search(r"Breakpoint 2, 0x\w+ in rest_init", said)
        assert re.search(r"domain +vmlinux", said)
        until(process, "/ # ")
