"""Debian's gdb-multiarch debugs labos and Linux in domains of a real machine: nothing of this client is ours."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from gdb_bench import DEADLINE, ROOT, SUN4V, Bench, in_order
from host_shares import only_one
from linux_found import CRYPTO, Linux

pytestmark = [pytest.mark.slow, pytest.mark.nosan]


@pytest.fixture(scope="module")
def labos() -> Path:
    """The kernel with symbols; what is booted is the same without them."""
    if shutil.which("sparc64-linux-gnu-gcc") is None:
        pytest.skip("sparc64-linux-gnu-gcc is not installed")
    folder = ROOT / "build" / "images-debug"
    with only_one(folder / "one-builder"):
        subprocess.run(["make", "-s", "-C", str(ROOT / "images"), "labos-debug"], check=True, timeout=DEADLINE)
    return folder / "labos.elf.full"


def test_labos(bench: Bench, labos: Path) -> None:
    """A breakpoint at a C function, callers, locals, lines, a watched variable, both CPUs; then on it goes."""
    bench.boot(kernel=str(labos.parent / "labos.elf"))
    bench.until(b"\n# ")
    said = bench.gdb(
        labos, "info threads", bench.keys(r"uname -s\nnonsense\n"), "break command_uname", "continue", "bt",
        "print argc", "print argv[1]", "next", "next", "print fields[4].value", "print $canrestore", "up",
        "print line[0]", "info registers l0 i7 sp", "watch last_status", "delete 1", "continue", "info threads",
        "delete", "tbreak printf", "continue", "finish", "print $pstate", "print $tl", "monitor regs",
        "monitor strands", "set var last_status = 99", "detach",
    )  # fmt: skip
    in_order(
        said, r"\* 1 +Thread 1 \"vcpu 0\" \(waiting\)", r"  2 +Thread 2 \"vcpu 1\" \(waiting\)",
        r"Thread 1 .* hit Breakpoint 1, command_uname \(argc=2, argv=0x\w+\) at labos/commands.c",
        r"#0 +command_uname", r"#1 .* in shell_run .*\n#2 .* in shell_thread", r"\$1 = 2\n", r'\$2 = 0x\w+ "-s"',
        r'\$3 = 0x\w+ "sun4v"', r"\$4 = \d", r"#1 .* in shell_run", r"Hardware watchpoint 2: last_status",
        r"hit Hardware watchpoint 2: last_status\n\nOld value = 0\nNew value = 127\n.*in shell_run",
        r"\* 1 +Thread 1 .*\(running, privileged\)", r"  2 +Thread 2 .*hyper",
        r"Temporary breakpoint 3, printf \(format=0x\w+ \"# \"\)", r"Value returned is \$\d+ = 2",
        r"= \[.*PRIV.*\]", r"= 0\n", r"vcpu 0: tl 0, gl 0, pil", r"thread vcpu strand", r"\[Inferior 1 .*detached\]",
    )  # fmt: skip
    assert "unavailable" not in said
    bench.until(b"SunOS\n")
    bench.until(b"nonsense: not found\n# ")
    bench.type(b"echo $?\n")
    assert bench.until(b"\n# ") == b"echo $?\n99"
    assert bench.status()["soft_state"]["normal"]


def trap_of(program: Path) -> tuple[str, str]:
    """Address of the first trap to the kernel in a program's main, and of main."""
    listing = subprocess.run(["sparc64-linux-gnu-objdump", "-d", "--no-show-raw-insn", str(program)], check=True,
                             capture_output=True, text=True).stdout  # fmt: skip
    main = re.search(r"^([0-9a-f]+) <main>:\n(?:.+\n)*? *([0-9a-f]+):\s+ta ", listing, re.MULTILINE)
    assert main
    return f"0x{int(main[1], 16):x}", f"0x{int(main[2], 16):x}"


def test_a_program_of_labos(bench: Bench, labos: Path) -> None:
    """Nonprivileged code by its own addresses: over a trap to the kernel and back, floating point, kinds of watches."""
    program = labos.parent / "labos" / "user" / "hello.elf"
    main, trap = trap_of(program)
    bench.boot(kernel=str(labos.parent / "labos.elf"))
    bench.until(b"\n# ")
    said = bench.gdb(
        labos, f"add-symbol-file {program}", bench.keys(r"run hello there\n"), f"break *{main}", "continue",
        "print $pstate", "bt 2", "x/s $o0", f"tbreak *{trap}", "continue", "stepi", "x/i $pc", "print $o0", "print $tl",
        "set var $f1 = 1.5", "print $f1", "set var $d62 = -0.25", "print $d62", "print $f1",
        'eval "awatch *(char *) %ld", $i0', "continue", "x/i $pc - 4", "delete",
        'eval "set var *(char *) %ld = 87", $i0', "x/s $i0", 'eval "rwatch *(char *) %ld", $i0', "continue", "delete",
        "finish", "bt 1", "kill",
    )  # fmt: skip
    found = in_order(
        said, r"hit Breakpoint 1, 0x\w+ in main", r"= \[ IE PEF \]", r"#0 .* in main", r"#1 .* in _start", r'"there"',
        r"Temporary breakpoint 2, 0x(\w+) in main", r"=> 0x(\w+) <main", r"= [1-9]", r"= 0\n", r"= 1.5\n", r"= -0.25\n",
        r"= 1.5\n", r"hit Hardware access \(read/write\) watchpoint 3", r"Value = 116 't'", r"<main\+\d+>:\s+lds?u?b",
        r'"Where"', r"hit Hardware read watchpoint 4", r"Value = 87 'W'", r"in vsnprintf",
        r"#0 .* in printf", r"\[Inferior 1 .* killed\]",
    )  # fmt: skip
    assert int(found[6][1], 16) == int(found[5][1], 16) + 4  # behind the trap, and not in the kernel
    assert b"Where" in bench.until(b"\n# ")  # what GDB has written is what the program says


def test_a_port(bench: Bench, labos: Path) -> None:
    """One client at a time; each finds the guest as the one before left it; the guest may run meanwhile."""
    bench.boot(kernel=str(labos.parent / "labos.elf"))
    bench.until(b"\n# ")
    words = [*SUN4V, "gdb", "alpha/lab", "--port", "0"]
    with subprocess.Popen(words, env=bench.env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            where = re.fullmatch(r"alpha/lab: target remote (127\.0\.0\.1:(\d+))\n", server.stdout.readline())
            assert where
            first = socket.create_connection(("127.0.0.1", int(where[2])))
            first.settimeout(DEADLINE)
            first.sendall(b"$?#3f")
            seen = b""
            while b"thread:" not in seen:
                seen += first.recv(4096)
            said = bench.gdb(labos, remote=where[1], status=1)
            assert "another debugger is attached to this domain" in said
            assert bench.status()["soft_state"]["text"] == "stopped by a debugger"
            first.sendall(b"+$vCont;c#a8")
            bench.type(b"uname -m\n")
            bench.until(b"sun4v\n# ")  # it runs
            assert bench.status()["soft_state"]["text"] == "running under a debugger"
            first.sendall(b"\x03")
            seen = b""
            while b"thread:" not in seen:
                seen += first.recv(4096)
            assert b"$T02" in seen
            first.close()
            said = bench.gdb(labos, "info threads", "print shell_run", "kill", remote=where[1])
            in_order(said, r"\* 1 +Thread 1", r"{int \(char \*\)}", r"killed")
            bench.type(b"uname -s\n")
            bench.until(b"SunOS\n# ")  # and on: a debugger does not kill a domain
            said = bench.gdb(labos, bench.keys(r"halt\n"), "continue", remote=where[1])
            assert "exited normally" in said
            assert bench.status()["state"] == "halted"
        finally:
            server.terminate()


def test_linux(bench: Bench, linux: Linux) -> None:
    """Before its first line, in a system call, on all CPUs, and when it has been let go it works as ever."""
    bench.boot(kernel=str(linux.kernel), initrd=str(linux.initrd),
               arguments=f"console=ttyHV0 {CRYPTO['none']} rdinit=/bin/sh", variables={"auto-boot?": "false"})
    bench.until(b"ok ")
    said = bench.gdb(linux.kernel, bench.keys(r"boot\n"), "hbreak start_kernel", "continue", "bt 1",
                     "info threads", "detach")  # fmt: skip
    in_order(said, r"Thread 1 .* hit Breakpoint 1, 0x\w+ in start_kernel", r"#0 +0x\w+ in start_kernel",
             r'Thread 2 "vcpu 1" \(stopped\)', r"detached")  # fmt: skip
    bench.until(b"/ # ")
    said = bench.gdb(
        linux.kernel, bench.keys(r"uname -m\n"), "break __do_sys_newuname", "break __se_sys_newuname",
        "break sys_newuname", "continue", "bt", "info threads", "x/s (char *) &linux_banner", "stepi", "stepi",
        "delete", "monitor regs", 'eval "monitor translate %p", &linux_banner', "watch *(long *) &jiffies_64",
        "continue", "bt 1", "delete", "detach",
    )  # fmt: skip
    in_order(said, r"hit Breakpoint \d, 0x\w+ in \w*sys_newuname", r"#0 +0x\w+ in \w*sys_newuname", r"#1 ",
             r"\* \d +Thread \d", r"Linux version 6", r"vcpu \d: tl 0", r"va 0x\w+: ra 0x\w+, pa 0x\w+",
             r"hit Hardware watchpoint \d+: \*\(long \*\) &jiffies_64\n\nOld value = \d+\nNew value = \d+\n", r"#0 ",
             r"detached")  # fmt: skip
    assert b"sparc64" in bench.until(b"/ # ")
    bench.type(b"nproc\n")
    assert bench.until(b"/ # ").endswith(b"nproc\n2\n")
