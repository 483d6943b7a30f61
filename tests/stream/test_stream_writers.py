"""Memory that another process writes at full speed, without locks, while it is sent; and memory of a real machine."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stream_support import DEADLINE, PAGE, Memory, Pair, make_certificate, sealed

from emulator import Machine
from emulator._core_stream import KEY_BYTES, Buffer, Image
from emulator.stream.requests import Block

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = (make_certificate("one"), make_certificate("two"))
SEED = int(os.environ.get("S4V_TEST_SEED", "1"))
RUNS = int(os.environ.get("S4V_STREAM_WRITERS", "4"))
_SYS_MEMBARRIER, _GLOBAL_EXPEDITED = 324, 2
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "ASAN_OPTIONS")}


class SharedMemory(Memory):
    """Its writers are another process: the barrier is the kernel's."""

    def barrier(self) -> None:
        assert ctypes.CDLL(None, use_errno=True).syscall(_SYS_MEMBARRIER, _GLOBAL_EXPEDITED, 0, 0) == 0


class Writers:
    """The process."""

    def __init__(self, program: Path, memory: Memory, seed: int, *, drop: bool = False) -> None:
        self.control = sealed(PAGE)
        fds = (memory.fd, memory.map_fd, self.control)
        words = [*map(str, fds), str(memory.pages), str(memory.regions_at), str(seed), *(["drop"] if drop else [])]
        self.process = subprocess.Popen([program, *words], pass_fds=fds, stdout=subprocess.PIPE, env=ENVIRONMENT)
        assert self.process.stdout is not None
        if self.process.stdout.read(1) != b"w":
            self.process.wait(DEADLINE)
            pytest.skip("needs membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)")

    def stand(self) -> None:
        """When this returns nothing is written any more."""
        os.pwrite(self.control, b"\1", 0)
        assert self.process.stdout is not None
        assert self.process.stdout.read(1) == b"s"
        assert self.process.wait(DEADLINE) == 0
        self.process.stdout.close()
        os.close(self.control)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    made = tmp_path_factory.mktemp("stream") / "stream_writer"
    source = ROOT / "csrc" / "tests" / "stream_writer.c"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "csrc", source, "-pthread"]
    done = subprocess.run([*command, "-o", made], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def memories(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SharedMemory, SharedMemory]]:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")
    made = SharedMemory([(0, 700 * PAGE)]), SharedMemory([(0, 700 * PAGE)])
    yield made
    for memory in made:
        memory.close()


@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_no_store_is_lost(program: Path, memories: tuple[SharedMemory, SharedMemory], seed: int) -> None:
    pair = Pair(*memories, CERTIFICATES, plain=True, max_rounds=12, verify="background", dirty_limit=False)
    writers = Writers(program, memories[0], seed * 1000)
    pair.begin(pair.listen(), channels=1 + seed % 3)
    pair.source.wait("converged")
    writers.stand()
    pair.final(b"state")
    final = pair.source.wait("final")
    pair.target.wait("received")
    pair.source.ask("audit")
    assert pair.source.wait("audited")["mismatches"] == 0
    assert int(str(final["rounds"])) >= 3
    assert memories[0].content() == memories[1].content()
    pair.stop()


def test_a_writer_that_leaves_marks_out_is_found(program: Path, memories: tuple[SharedMemory, SharedMemory]) -> None:
    """Every store that is left out may be covered by a later one; with pages enough, some are not."""
    pair = Pair(*memories, CERTIFICATES, plain=True, max_rounds=3, verify="background", dirty_limit=False)
    writers = Writers(program, memories[0], SEED, drop=True)
    pair.begin(pair.listen())
    pair.source.wait("converged")
    writers.stand()
    # the last stores of all are without a mark
    for page in range(0, 700, 50):
        memories[0].write(page * PAGE, random.Random(page).randbytes(8), mark=False)
        memories[0].map[page] = 0
    pair.final(b"state")
    pair.source.wait("final")
    pair.source.ask("audit")
    found = pair.source.wait("audited")
    assert int(str(found["mismatches"])) >= 1
    pair.stop()


def test_memory_of_a_machine() -> None:
    """The layout that a machine gives: what is written through it is harvested, and what is sent is its memory."""
    rng = random.Random(SEED)
    key = rng.randbytes(KEY_BYTES)
    with Machine(memory="64M") as machine:
        blocks = [
            Block(ra=b.ra, size=b.size_bytes, memory=b.memory_fd, map=b.map_fd, memory_offset=b.memory_offset,
                  page_map_offset=b.page_map_offset, region_map_offset=b.region_map_offset)
            for b in machine._core.memory_blocks()
        ]  # fmt: skip
        image = Image(blocks, key, marks=True)
        image.harvest()
        places = sorted(rng.sample(range(image.pages), 50))
        for page in places:
            machine.memory.write(page * PAGE + 8, b"written!")
        assert image.marked() == 50
        assert image.harvest() == 50
        buffer = Buffer()
        found: list[int] = []
        while (taken := image.take(buffer)).looked:
            for n in range(taken.pages):
                number = int.from_bytes(buffer.payload[taken.pages * PAGE + n * 8 :][:8], "little")
                assert bytes(buffer.payload[n * PAGE + 8 :][:8]) == b"written!"
                found.append(number)
        assert found == places
        image.close()
