"""The softfp core as a shared library for tests: arrays of operands in, arrays of results and flags out."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from array import array
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NX, DZ, UF, OF, NV = 1, 2, 4, 8, 16  # FSR.cexc
RN, RZ, RP, RM = range(4)  # FSR.RD


class SoftFp:
    """csrc/fp behind fp_driver.c. Raises RuntimeError where no C compiler is to be had."""

    def __init__(self, directory: Path, *, source_root: Path = ROOT, extra: Sequence[str] = ()) -> None:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise RuntimeError("no C compiler")
        library = directory / "fp_driver.so"
        include = source_root / "csrc"
        sources = [*sorted((include / "fp").glob("*.c")), ROOT / "tests/differential/fp_driver.c"]
        flags = ["-O2", "-std=c11", "-frounding-math", "-shared", "-fPIC", f"-I{include}", *extra]
        subprocess.run([compiler, *flags, "-o", str(library), *map(str, sources), "-lm"], check=True)
        self._lib = ctypes.CDLL(str(library))
        self._lib.fp_operation_name.restype = ctypes.c_char_p
        self._lib.fp_check_host.restype = ctypes.c_size_t
        self.numbers: dict[str, int] = {}
        while (name := self._lib.fp_operation_name(len(self.numbers))) is not None:
            self.numbers[name.decode()] = len(self.numbers)

    def run(self, name: str, cases: Sequence[tuple[int, int, int, int, int]]) -> list[tuple[int, int]]:
        """(result, flags) for every case (a, b, c, rounding, tem)."""
        count = len(cases)
        columns = [array(kind, (case[i] for case in cases)) for i, kind in enumerate("QQQII")]
        results, flags = array("Q", bytes(8 * count)), array("I", bytes(4 * count))
        pointers = [ctypes.c_void_p(column.buffer_info()[0]) for column in (*columns, results, flags)]
        self._lib.fp_run(ctypes.c_uint32(self.numbers[name]), ctypes.c_size_t(count), *pointers)
        return list(zip(results, flags, strict=True))

    def one(
        self, name: str, a: int, b: int, c: int = 0, *, rounding: int = RN, tem: int = 0
    ) -> tuple[int, int]:
        """(result, flags) of one case."""
        return self.run(name, [(a, b, c, rounding, tem)])[0]

    def check_host(
        self, name: str, *, count: int, seed: int, rounding: int
    ) -> tuple[int, int, list[int]]:
        """hostfp.h against softfp: (differences, cases the fast path took, the first difference)."""
        first = array("Q", bytes(64))
        fast = ctypes.c_size_t()
        bad = self._lib.fp_check_host(ctypes.c_uint32(self.numbers[name]), ctypes.c_size_t(count),
                                      ctypes.c_uint64(seed), ctypes.c_uint32(rounding),
                                      ctypes.c_void_p(first.buffer_info()[0]), ctypes.byref(fast))
        return bad, fast.value, list(first)
