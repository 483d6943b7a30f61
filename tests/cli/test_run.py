"""`sun4v run` as a user meets it: real processes, real streams, exit statuses."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from elf_support import (
    CONS_GETCHAR,
    CPU_YIELD,
    ENTRY,
    ILLTRAP,
    LOOP,
    NOP,
    Load,
    exit_with,
    hypercall,
    make_elf,
    mov,
    program,
    say,
)

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "images" / "prebuilt" / "hello.elf"
ECHO = ROOT / "images" / "prebuilt" / "echo.elf"
COMMAND = [sys.executable, "-P", "-c", "import sys; from emulator.cli import main; sys.exit(main())"]
TIMEOUT = 120  # seconds; against a hanging test only


def sun4v(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT, check=False)


def write(path: Path, words: Sequence[int]) -> Path:
    path.write_bytes(program(*words))
    return path


def one_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on standard error of a command that was refused."""
    text = done.stderr.decode()
    assert done.stdout == b""
    assert text.startswith("sun4v: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text.removeprefix("sun4v: ").rstrip()


@pytest.fixture
def prog(tmp_path: Path) -> Path:
    """Where a test puts its program."""
    return tmp_path / "prog.elf"


# -- ordinary ends


def test_hello_and_echo() -> None:
    done = sun4v("run", HELLO)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ello" in done.stdout
    done = sun4v("run", ECHO, stdin=b"one\ntwo\nthree\n")
    assert done.returncode == 3  # the number of lines
    assert b"one" in done.stdout
    assert b"three" in done.stdout


@pytest.mark.parametrize(("code", "status"), [(0, 0), (1, 1), (255, 255), (256, 0), (511, 255), (-1, 255)])
def test_exit_status_is_the_guests_modulo_256(prog: Path, code: int, status: int) -> None:
    assert sun4v("run", write(prog, exit_with(code))).returncode == status


def test_output_is_raw_bytes_in_order(prog: Path) -> None:
    words = [word for char in (0, 10, 13, 27, 128, 255) for word in hypercall(0x61, char)]
    done = sun4v("run", write(prog, [*words, *exit_with(0)]))
    assert done.stdout == bytes([0, 10, 13, 27, 128, 255])


@pytest.mark.parametrize("deterministic", [[], ["--deterministic"]])
def test_a_large_input_arrives_whole(deterministic: list[str]) -> None:
    lines = [b"line %d %s" % (n, b"x" * (n % 60)) for n in range(3000)]
    done = sun4v("run", *deterministic, ECHO, stdin=b"\n".join(lines) + b"\n")
    assert done.returncode == 3000 % 256
    assert [line for line in lines if line not in done.stdout] == []


def test_arguments_and_options_in_any_order(prog: Path) -> None:
    """The program exits with argc; without arguments %o0 is 0 and it exits with 9."""
    words = [
        0x02C20005,  # brz %o0, . + 20
        NOP,
        0xD05A0000,  # ldx [%o0], %o0
        *hypercall(0),
        *exit_with(9),
    ]
    write(prog, words)
    assert sun4v("run", prog).returncode == 9
    assert sun4v("run", prog, "--stats", "a", "b").returncode == 3
    assert sun4v("run", "--memory", "1M", prog, "a", "--stats").returncode == 2
    assert sun4v("run", prog, "--", "--stats", "-x", "c").returncode == 4


def test_stats_is_one_line_of_json(prog: Path) -> None:
    done = sun4v("run", "--stats", write(prog, [*[NOP] * 10, *exit_with(5)]))
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    stats = json.loads(lines[0])
    assert {"instructions", "seconds", "mips", "wall_seconds", "wall_mips"} <= stats.keys()
    assert stats["instructions"] == 13
    assert (stats["reason"], stats["status"]) == ("exit", 5)
    assert stats["seconds"] >= 0


def test_deterministic_runs_are_equal() -> None:
    runs = {
        (done.stdout, json.loads(done.stderr)["instructions"])
        for done in (sun4v("run", "--deterministic", "--stats", ECHO, stdin=b"a\nb\n") for _ in range(3))
    }
    assert len(runs) == 1


# -- limits and deaths


def test_max_insns(prog: Path) -> None:
    done = sun4v("run", "--max-insns", "5k", "--stats", write(prog, LOOP))
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 124
    assert lines[0] == "sun4v: stopped after 5000 instructions (--max-insns)"
    assert json.loads(lines[1])["instructions"] == 5000
    assert sun4v("run", "--max-insns", "5000000", write(prog, exit_with(4))).returncode == 4


def test_a_dying_guest_is_reported_with_registers(prog: Path) -> None:
    done = sun4v("run", write(prog, [mov(0x5A5, "l3"), ILLTRAP]))
    text = done.stderr.decode()
    assert done.returncode == 3
    assert text.startswith("sun4v: the guest died: trap 0x")
    assert "strand 0, pc 0x" in text
    assert f"trap level 1: trap 0x010 (illegal_instruction) at pc {ENTRY + 4:#x}\n" in text
    assert "5a5" in text
    assert "Traceback" not in text


def test_a_fault_that_cannot_be_reported_says_why(prog: Path) -> None:
    done = sun4v("run", write(prog, [mov(0x5A5, "l3"), 0xC25CC000]))  # ldx [%l3], %g1: misaligned
    text = done.stderr.decode()
    assert done.returncode == 3
    assert f"trap 0x034 (mem_address_not_aligned) on strand 0, pc {ENTRY + 4:#x}, TL 0\n" in text
    assert "no MMU fault status area is configured" in text


def test_output_before_a_death_is_not_lost(prog: Path) -> None:
    done = sun4v("run", write(prog, [*say("last words"), ILLTRAP]))
    assert (done.returncode, done.stdout) == (3, b"last words")


# wrpr 0, %pil; rd %stick, %g1; sethi %hi(100000000), %g2; add %g1, %g2, %g1; wr %g1, %stick_cmpr: a timer in 0.1 s
SET_TIMER = [0x91902000, 0x83460000, 0x05017D78, 0x82004002, 0xB3804000]


@pytest.mark.parametrize("deterministic", [[], ["--deterministic"]])
def test_a_guest_that_waits_for_its_timer_goes_on(prog: Path, deterministic: list[str]) -> None:
    write(prog, [*SET_TIMER, *hypercall(CPU_YIELD), *exit_with(6)])
    assert sun4v("run", *deterministic, prog).returncode == 6


def test_a_guest_that_waits_for_ever_is_reported(prog: Path) -> None:
    done = sun4v("run", write(prog, [*hypercall(CPU_YIELD), *exit_with(6)]))
    assert done.returncode == 3
    assert "the guest waits for ever" in one_line(done)


def test_input_wakes_a_guest_that_waits(prog: Path) -> None:
    """A guest that yields between two looks at the console: it must see what comes later."""
    poll = [*hypercall(CPU_YIELD), *hypercall(CONS_GETCHAR), 0x0AF23FFC, NOP]  # brnz %o0, . - 16: EWOULDBLOCK
    write(prog, [*poll, 0x90100009, *hypercall(0)])  # mov %o1, %o0
    assert sun4v("run", prog, stdin=b"Z").returncode == ord("Z")


# -- refusals


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an ELF file"),
        (b"\x7fELF\x02\x02\x01", "ends inside the ELF header"),
        (program(NOP)[:-2], "the file ends inside segment 0"),
        (make_elf([Load(data=b"\0" * 8)], machine=62), "for machine 62, not for SPARC V9"),
        (make_elf([Load(data=b"\0" * 8)], ident=b"\x7fELF\x01\x02\x01" + bytes(9)), "not a 64-bit ELF file"),
        (make_elf([Load(data=b"\0" * 8, memory_bytes=1 << 30)]), "the guest has 256M (see --memory)"),
    ],
)
def test_bad_images(prog: Path, data: bytes, reason: str) -> None:
    prog.write_bytes(data)
    done = sun4v("run", prog)
    assert done.returncode == 2
    line = one_line(done)
    assert line.startswith(f"{prog}: ")
    assert reason in line


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["run"], "an IMAGE is missing"),
        (["run", "/nonexistent/x.elf"], "No such file or directory"),
        (["run", "--memory", "12Q", HELLO], "unknown unit 'Q'"),
        (["run", "--memory", "12K", HELLO], "multiple of 8K"),
        (["run", "--memory", "9T", HELLO], "at most 1T"),
        (["run", "--platform", "vax", HELLO], "unknown platform 'vax'"),
        (["run", "--cpu-arch", "sparc64-class1", HELLO], "sparc64-class1"),
        (["run", "--max-insns", "1.5", HELLO], "count"),
        (["run", "--bogus", HELLO], "--bogus"),
        (["run", "--trace=/nonexistent/t", HELLO], "/nonexistent/t: No such file"),
        ([], "a command is missing"),
        (["fly"], "fly"),
    ],
)
def test_bad_command_lines(args: list[object], reason: str) -> None:
    done = sun4v(*args)
    assert done.returncode == 2
    assert reason in one_line(done)


def test_closed_output_is_no_traceback(prog: Path) -> None:
    """`sun4v run ... | true`: the status says so, standard error stays empty."""
    write(prog, [*say("x"), 0x10BFFFFD, NOP])  # ba . - 12
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [*COMMAND, "run", str(prog)], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


# -- signals and terminals


def read_until(fd: int, wanted: bytes) -> bytes:
    """Read a descriptor until the wanted bytes have come."""
    out = b""
    while wanted not in out:
        ready, _, _ = select.select([fd], [], [], TIMEOUT)
        assert ready, f"no {wanted!r} in {out!r}"
        out += os.read(fd, 4096)
    return out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run(prog: Path, number: signal.Signals, status: int) -> None:
    command = [*COMMAND, "run", str(write(prog, [*say("up"), *LOOP]))]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            read_until(process.stdout.fileno(), b"up")
            process.send_signal(number)
            _, errors = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert process.returncode == status
    assert b"Traceback" not in errors


@pytest.mark.parametrize("nohup", [False, True])
def test_a_run_outlives_its_terminal_under_nohup(prog: Path, nohup: bool) -> None:
    command = [*(["nohup"] if nohup else []), *COMMAND, "run", str(write(prog, [*say("x"), 0x10BFFFFD, NOP]))]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.read(1) == b"x"
            process.send_signal(signal.SIGHUP)
            if nohup:
                assert process.stdout.read(1 << 18) == b"x" * (1 << 18)  # four times what a pipe can hold
                process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(TIMEOUT) == 128 + (signal.SIGTERM if nohup else signal.SIGHUP)
        finally:
            process.kill()


@contextmanager
def on_terminal(image: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """The program with a terminal of its own: (process, our end, its end)."""
    master, slave = pty.openpty()
    # setsid --ctty makes the terminal the controlling one, so that Ctrl-C is a signal
    command = ["setsid", "--ctty", *COMMAND, "run", str(image)]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
    try:
        yield process, master, slave
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("key", [b"\x1d", b"\x03"])
def test_a_terminal_is_quit_and_restored(prog: Path, key: bytes) -> None:
    """Ctrl-] and Ctrl-C end the run with status 130, and the terminal echoes again."""
    with on_terminal(write(prog, [*say("up"), *LOOP])) as (process, master, slave):
        read_until(master, b"up")
        assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)
        os.write(master, key)
        assert process.wait(timeout=TIMEOUT) == 130
        local = termios.tcgetattr(slave)[3]
        assert local & termios.ICANON
        assert local & termios.ECHO


def test_keys_reach_the_guest() -> None:
    with on_terminal(ECHO) as (process, master, _):
        os.write(master, b"knock\n")
        read_until(master, b"knock\r\n")
        os.write(master, b"quit\n")
        assert process.wait(timeout=TIMEOUT) == 1  # lines before the one that is quit


# -- looking inside


def test_trace(prog: Path, tmp_path: Path) -> None:
    write(prog, [mov(1, "g1"), NOP, *exit_with(0)])
    target = tmp_path / "trace.txt"
    done = sun4v("run", f"--trace={target}", prog)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = target.read_text().splitlines()
    assert len(lines) == 5
    assert f"{ENTRY:x}" in lines[0]
    assert f"{ENTRY + 4:x}" in lines[1]
    assert sun4v("run", "--trace", prog).stderr.decode().splitlines() == lines


def test_a_long_trace_loses_nothing(prog: Path, tmp_path: Path) -> None:
    target = tmp_path / "trace.txt"
    sun4v("run", f"--trace={target}", "--max-insns", "50000", write(prog, LOOP))
    assert len(target.read_text().splitlines()) == 50000


def test_disasm(prog: Path) -> None:
    done = sun4v("run", "--disasm", write(prog, [NOP, *exit_with(0)]))
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert any(line.split()[:3] == [f"{ENTRY:x}:", "01000000", "nop"] for line in lines)


def test_platforms_and_version() -> None:
    done = sun4v("platforms")
    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.decode().splitlines()}
    assert rows["t5-2"].split()[-4:] == ["t5", "2", "256", "1T"]
    assert sun4v("--version").stdout.startswith(b"sun4v ")
    assert b"exit status:" in sun4v("run", "--help").stdout
