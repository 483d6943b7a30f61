"""Processes of a machine: started in sessions of their own, found by their process files, ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.places import Place, holder

READY = "ready"
START_SECONDS = 60.0
END_SECONDS = 10.0


class StartError(EmulatorError):
    """A process did not become ready."""

    code = "start"


@dataclass(frozen=True)
class Companion:
    """A process beside the machine's."""

    what: str
    module: str
    pid_file: Path
    log: Path


def companions(place: Place) -> tuple[Companion, Companion]:
    """The manager, then the console server: the order they are started in."""
    return (
        Companion("ldmd", "ldmd.daemon", place.ldmd_pid, place.ldmd_log),
        Companion("vntsd", "ldmd.vntsd_daemon", place.vntsd_pid, place.vntsd_log),
    )


def spawn(arguments: Sequence[str], *, log: Path, seconds: float = START_SECONDS) -> None:
    """Start `python -m ARGUMENTS... --ready-fd N` in a session of its own; return when it says that it is ready.

    Its output goes to the end of `log`. Raises StartError with what it says is wrong, or the end of its log.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        with log.open("ab") as output:
            begin = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments, "--ready-fd", str(writer)],
                pass_fds=[writer], start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        os.close(writer)
        writer = -1
        try:
            words = _read(reader, seconds)
        except BaseException:  # Ctrl-C: it is not left behind
            process.kill()
            process.wait()
            raise
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if words == READY:
        return
    if words is None:
        process.kill()
        process.wait()
        raise StartError(f"it was not ready after {seconds:g} seconds; its log is {log}")
    process.wait()
    raise StartError(words or f"it ended at once (status {process.returncode}): {_tail(log, begin)}")


def _read(fd: int, seconds: float) -> str | None:
    """What comes until the other end is closed, or the word for ready; None: not in time."""
    data = b""
    while not data.startswith(f"{READY}\n".encode()):
        if not select.select([fd], [], [], seconds)[0]:
            return None
        more = os.read(fd, 4096)
        if not more:
            break
        data += more
    return data.decode("utf-8", "replace").strip()


def _tail(log: Path, begin: int) -> str:
    """The last line a process has left in its log."""
    with contextlib.suppress(OSError):
        lines = log.read_bytes()[begin:].decode("utf-8", "replace").strip().splitlines()
        if lines:
            return f"{lines[-1].strip()} (log: {log})"
    return f"see {log}"


def end(pid_file: Path, number: signal.Signals = signal.SIGTERM, *, seconds: float = END_SECONDS) -> bool:
    """Send a signal to who holds a process file, and wait for its end, at last with SIGKILL. False: nobody holds it."""
    pid = holder(pid_file)
    if not pid:
        return False
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if holder(pid_file) != pid:  # the number may be another process's by now
            return False
        for each, patience in ((number, seconds), (signal.SIGKILL, END_SECONDS)):
            signal.pidfd_send_signal(fd, each)
            if select.select([fd], [], [], patience)[0]:
                break
        return True
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def wait_end(pid_file: Path, *, seconds: float = END_SECONDS) -> bool:
    """Wait until who holds a process file has ended by itself. False: not in time."""
    pid = holder(pid_file)
    if not pid:
        return True
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def forget(place: Place) -> None:
    """Nothing of it lives any more: sockets go, process files are empty."""
    for path in (place.hvctl, place.rpc):
        with contextlib.suppress(OSError):
            path.unlink()
    for path in (place.machine_pid, place.ldmd_pid, place.vntsd_pid):
        if holder(path) is None:
            with contextlib.suppress(OSError):
                os.truncate(path, 0)
