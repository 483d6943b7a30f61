"""Our programs for the guest: one static 64-bit program, `load`, and one for 32 bits without a C library."""

from __future__ import annotations

from pathlib import Path

from linuxbuild.tools import CROSS, run

FOLDER = Path(__file__).resolve().parents[1] / "programs"
COMMON = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fno-pie", "-no-pie", "-static", "-s",
          "-Wl,--build-id=none"]  # fmt: skip
# The assembler takes instructions beyond -mcpu: hwcaps.c tries them. The compiler sees no end in a recursion that
# leaves by longjmp.
FLAGS = [*COMMON, "-mcpu=ultrasparc", "-Wa,-Av9m8", "-fno-tree-vectorize", "-ffp-contract=off",
         "-Wno-infinite-recursion", "-Wno-clobbered"]  # fmt: skip
FLAGS_32 = [*COMMON, "-m32", "-mcpu=v9", "-nostdlib", "-ffreestanding", "-fno-stack-protector",
            "-fno-tree-loop-distribute-patterns"]  # fmt: skip
SOURCES_32 = ("load32.c",)


def program_sources() -> list[Path]:
    """Every file that goes into the programs."""
    return sorted([*FOLDER.glob("*.c"), *FOLDER.glob("*.h")])


def build_programs(folder: Path, log: Path) -> dict[str, Path]:
    """Compile; returns the programs by the names they get in the guest."""
    folder.mkdir(parents=True, exist_ok=True)
    wide = [path.name for path in program_sources() if path.suffix == ".c" and path.name not in SOURCES_32]
    gcc = f"{CROSS}gcc"
    run([gcc, *FLAGS, *wide, "-o", folder / "load", "-lpthread", "-lm", "-lrt"], log=log, cwd=FOLDER)
    run([gcc, *FLAGS_32, *SOURCES_32, "-o", folder / "load32"], log=log, cwd=FOLDER)
    return {"load": folder / "load", "load32": folder / "load32"}
