"""What a program says to its disk: which files it syncs and renames, in their order with what it prints.

A library of three functions stands in front of the C library's. It takes a C compiler; who has none skips.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LIBRARY = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *what, const char *path) {
  const char *slash = strrchr(path, '/');
  dprintf(1, "%s %s\n", what, slash ? slash + 1 : path);
}
static void tell_file(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length > 0 ? length : 0] = 0;
  tell("sync", path);
}
int fsync(int fd) { tell_file(fd); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { tell_file(fd); return (int)syscall(SYS_fdatasync, fd); }
int rename(const char *from, const char *to) { tell("rename", from); return (int)syscall(SYS_rename, from, to); }
"""


def said_to_the_disk(folder: Path, program: str, *arguments: object) -> list[str]:
    """The lines of a Python program, with "sync FILE" and "rename FILE" among them: names without folders."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / "syncs.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=LIBRARY, text=True, check=True)
    paths = [str(TESTS), str(TESTS / "manager"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run([sys.executable, "-u", "-c", program, *map(str, arguments)], env=environment,
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()
