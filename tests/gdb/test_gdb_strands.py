"""Debian's gdb-multiarch at four strands on host threads, whose code is translated."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from many_strands import many_strands
from test_gdb_multiarch import in_order
from test_gdb_run import DEADLINE, GDB, running, where

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
ROUNDS, ENOUGH = 1 << 40, 60  # for ever; what a condition that GDB looks at for each access waits for
BEFORE = (
    "set pagination off", "set confirm off", "set width 0", "set remotetimeout 60",
)  # fmt: skip
PLAY = (
    "set $o0 = 0", "set {long}&strands = 4", f"set {{long}}&rounds = {ROUNDS}",
    f"watch *(long*)&shared if *(long*)&shared >= {ENOUGH}", "continue", "print *(long*)&shared", "info threads",
    "continue", "print *(long*)&shared", "delete", "break handler thread 3", "continue", "print $tl", "stepi",
    "stepi", "print/x $g1 == (long)&lines + 128", "delete", "watch *(long*)((char*)&lines + 64)", "continue",
    "continue", "delete", "thread 4", "stepi", "stepi", "thread apply all -q set $l2 = $i0 + 1000",
    "tbreak finished_all", "continue", "delete", "print *(long*)&shared > 2000", "continue",
)  # fmt: skip


def test_watched_words_breakpoints_of_one_thread_and_steps(tmp_path: Path) -> None:
    """A word that all change and one that one changes, the handler on the strand asked for, steps of another;
    without the debugger's points the guest ends well: no count and no interrupt is lost."""
    if shutil.which(GDB) is None:
        pytest.skip(f"{GDB} is not installed")
    program = str(many_strands().path)
    with running(
        f"--gdb=unix:{tmp_path / 'g'}",
        "--gdb-wait",
        "--vcpus",
        "4",
        "--memory",
        "16M",
        "--engine",
        "translator",
        program,
    ) as process:
        commands = [*BEFORE, f"target remote {where(process)}", *PLAY]
        batch = [word for command in commands for word in ("-ex", command)]
        done = subprocess.run(
            [GDB, "-nx", "-batch", program, *batch],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        said = done.stdout
        in_order(
            said,
            rf"hit Hardware watchpoint 1: .*\n\nOld value = {ENOUGH - 1}\nNew value = {ENOUGH}\n",
            rf"\$1 = {ENOUGH}\n",
            *(rf"Thread {n} \"vcpu {n - 1}\" \(running, (?:privileged|trap level 1)\)" for n in (1, 2, 3, 4)),
            rf"Old value = {ENOUGH}\nNew value = {ENOUGH + 1}\n",
            rf"\$2 = {ENOUGH + 1}\n",
            r"Thread 3 \"vcpu 2\" hit Breakpoint 2, handler",
            r"\$3 = 1\n",
            r"\$4 = 0x1\n",
        )
        values = re.findall(r"hit Hardware watchpoint 3: .*\n\nOld value = (\d+)\nNew value = (\d+)\n", said)
        assert len(values) == 2, said
        assert [int(after) - int(before) for before, after in values] == [1, 1]
        assert values[0][1] == values[1][0], "a store was not told"
        in_order(
            said,
            r"Switching to thread 4",
            r"Temporary breakpoint 4",
            r"Thread 1 .* finished_all",
            r"\$5 = 1\n",
            r"exited normally",
        )
        assert process.wait(DEADLINE) == 0
