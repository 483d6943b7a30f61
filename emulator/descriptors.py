"""How many files a process may have open: each guest has its memory, its disks and its consoles as descriptors."""

from __future__ import annotations

import contextlib
import errno
import os
import resource

from emulator.errors import EmulatorError

FOR_A_GUEST = 8
"""Two for each block of memory, one for a disk, two for a console that is open: what a guest has as a rule."""
FOR_THE_PROCESS = 64
GONE = (errno.EMFILE, errno.ENFILE)


class DescriptorsError(EmulatorError):
    """No more files can be opened."""

    code = "descriptors"

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        super().__init__(
            f"the machine process has as many open files as it may ({soft}); stop guests, or raise the hard limit "
            "(ulimit -Hn, LimitNOFILE= of a service) and power the machine on again"
        )


def raise_limit() -> int:
    """As many as the hard limit allows; returns how many those are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def shortage(limit: int, guests: int) -> str:
    """What to say where so many guests will not do with a limit; "" where they will."""
    need = FOR_THE_PROCESS + FOR_A_GUEST * guests
    if limit >= need:
        return ""
    return (f"this process may have {limit} open files; {guests} guests need about {need}: raise the hard limit "
            "(ulimit -Hn, LimitNOFILE= of a service)")  # fmt: skip


def exhausted(error: BaseException) -> bool:
    """Does an exception say that no descriptor is left?"""
    return isinstance(error, OSError) and error.errno in GONE


def said_exhausted(text: str) -> bool:
    """The same of what the core says of an error of the host."""
    return any(os.strerror(number) in text for number in GONE)
