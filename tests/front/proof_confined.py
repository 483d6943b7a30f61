"""Runs a command in a process that the host confines: ``python proof_confined.py WHAT WORD ...``.

WHAT: ``noexec``: no shared memory can be mapped to be executed, as a security module may rule (a filter of seccomp(2),
which a program's own code, mapped private, is not met by). ``mdwe``: no memory becomes executable that was not
(PR_SET_MDWE of Linux 6.3). Status 77: this host's kernel cannot do that.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 22, 38, 65
SECCOMP_MODE_FILTER, AUDIT_ARCH_X86_64 = 2, 0xC000003E
LOAD, EQUAL, SET, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
MMAP = 9
NUMBER, ARCHITECTURE, PROTECTION, FLAGS = 0, 4, 16 + 2 * 8, 16 + 3 * 8
CANNOT = 77


class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("true", ctypes.c_ubyte), ("false", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter))]


def refuse_shared_code() -> bool:
    """From now on, and in what is executed, an mmap with PROT_EXEC and MAP_SHARED fails."""
    code = (Filter * 10)(
        Filter(LOAD, 0, 0, ARCHITECTURE), Filter(EQUAL, 0, 7, AUDIT_ARCH_X86_64),
        Filter(LOAD, 0, 0, NUMBER), Filter(EQUAL, 0, 5, MMAP),
        Filter(LOAD, 0, 0, PROTECTION), Filter(SET, 0, 3, mmap.PROT_EXEC),
        Filter(LOAD, 0, 0, FLAGS), Filter(SET, 0, 1, mmap.MAP_SHARED),
        Filter(RETURN, 0, 0, REFUSE), Filter(RETURN, 0, 0, ALLOW),
    )  # fmt: skip
    libc = ctypes.CDLL(None)
    program = Program(len(code), code)
    return bool(
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0
    )


def refuse_gained_code() -> bool:
    return bool(ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0)


def main() -> None:
    can = platform.machine() == "x86_64"
    if not can or not {"noexec": refuse_shared_code, "mdwe": refuse_gained_code}[sys.argv[1]]():
        sys.exit(CANNOT)
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])


if __name__ == "__main__":
    main()
