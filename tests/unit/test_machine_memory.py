"""Memory in blocks: at any real address, added and removed, saved, and seen by another process."""

from __future__ import annotations

import mmap
import os
import random
import socket
import subprocess
import sys
import threading

import pytest
from asm_support import HERE, asm, code
from elf_support import ENTRY, NOP, exit_with, program, say

from emulator import Machine, StopReason, parse_image
from emulator.errors import AddressError, BusyError, ConfigError, ImageError, StateError
from emulator.machine_resources import REGION_BYTES, Block, MemoryDescriptor

MIB, PAGE = 1 << 20, 8192
LOW, HIGH, TOP = 0x1000_0000, 0x8000_0000, 0x10_0000_0000
TWO: tuple[Block, ...] = ((LOW, 0x2000_0000, MIB), (HIGH, 0x1_0000_0000, 2 * MIB))


def small(blocks: tuple[Block, ...] = TWO, **options: object) -> Machine:
    return Machine(blocks=blocks, deterministic=True, **options)  # type: ignore[arg-type]


def store_at(machine: Machine, at: int, *targets: int) -> None:
    """Strand 0 stores its %g1 at each of some real addresses, from code at `at`."""
    words = []
    for n, target in enumerate(targets):
        machine.strands[0][f"l{n}"] = target
        words.append(asm("stx", "g1", (f"l{n}", 0)))
    machine.memory.write(at, code(*words, HERE))


# -- making one


def test_bytes_are_where_the_blocks_are() -> None:
    with small() as machine:
        assert machine.blocks == TWO
        assert machine.memory.ranges == ((LOW, MIB), (HIGH, 2 * MIB))
        assert (machine.memory.size_bytes, machine.memory.end) == (3 * MIB, HIGH + 2 * MIB)
        machine.memory.write(LOW + MIB - 4, b"last")
        machine.memory.write(HIGH, b"first")
        assert machine.memory.read(LOW + MIB - 8, 8) == b"\0\0\0\0last"
        assert bytes(machine.memory.view(HIGH, 5)) == b"first"
        for ra, length in ((0, 1), (LOW - 1, 1), (LOW + MIB - 1, 2), (LOW, HIGH - LOW + 1), (HIGH + 2 * MIB, 1)):
            assert not machine.memory.backed(ra, length)
            with pytest.raises(AddressError, match=r"0x10000000\.\.0x100fffff"):
                machine.memory.read(ra, length)
            with pytest.raises(AddressError):
                machine.memory.write(ra, bytes(length))


def test_the_description_tells_of_every_block() -> None:
    with small() as machine:
        md = machine.machine_description
        nodes = [md[index] for index in md.find("mblock")]
        assert [(node.get("base"), node.get("size")) for node in nodes] == [(ra, size) for ra, _, size in TWO]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((), "at least one block"),
        (((LOW, 0, 4096),), "multiples of 8K"),
        (((LOW + 1, 0, PAGE),), "multiples of 8K"),
        (((LOW, 512, PAGE),), "multiples of 8K"),
        (((LOW, 0, -PAGE),), "multiples of 8K"),
        (((-PAGE, 0, PAGE),), "multiples of 8K"),
        (((LOW, 0, MIB), (LOW + MIB - PAGE, 1 << 32, MIB)), "memory at real address 0x10000000 already"),
        (((LOW, 0, MIB), (HIGH, MIB - PAGE, MIB)), "physical address 0 is in use|physical address 0x0 is in use"),
        (((1 << 46, 0, PAGE),), "below 0x400000000000"),
        (((LOW, 1 << 57, PAGE),), "physical addresses must be below"),
        (((LOW, 0, 1 << 50),), "at most 1T"),
        (((LOW, 0, MIB), (1 << 70, MIB, MIB)), "not a block|below"),
    ],
)
def test_blocks_that_cannot_be(blocks: tuple[Block, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(blocks)


def test_a_size_and_blocks_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Machine("1M", blocks=TWO)


@pytest.mark.parametrize(
    ("chip", "limit"), [("t1000", 1 << 38), ("t5440", 1 << 40), ("t5-2", 1 << 46), ("t7-1", 1 << 48)]
)
def test_real_addresses_end_at_the_chips_limit(chip: str, limit: int) -> None:
    with Machine(blocks=[(limit - PAGE, 0, PAGE)], platform=chip) as machine:
        machine.memory.write(limit - 1, b"x")
        with pytest.raises(ConfigError, match=f"below {limit:#x}"):
            machine.add_memory(limit, PAGE, PAGE)


# -- running there


def test_a_program_runs_in_a_block_and_its_arguments_lie_at_the_end() -> None:
    words = (*say("hi"), *exit_with(3))
    image = parse_image(program(*words))
    with small(((0, 0, 2 * MIB), (HIGH, 1 << 32, MIB))) as machine:
        machine.boot(image, args=["prog", "one"])
        assert machine.strands[0]["o0"] == HIGH + MIB - PAGE
        assert machine.memory.load(HIGH + MIB - PAGE) == 2
        stop = machine.run(1000)
        assert (stop.reason, stop.exit_code, machine.console.read()) == (StopReason.EXIT, 3, b"hi")


def test_a_program_that_wants_other_addresses_is_refused() -> None:
    image = parse_image(program(*exit_with(0)))
    with small() as machine, pytest.raises(ImageError, match="from real address 0x10000000 on") as error:
        machine.boot(image)
    assert error.value.code == "image.memory"


def test_stores_from_one_block_to_another() -> None:
    with small() as machine:
        machine.strands[0].start(LOW)
        machine.strands[0]["g1"] = 0x1122334455667788
        store_at(machine, LOW, HIGH, HIGH + 2 * MIB - 8, LOW + MIB - 8)
        machine.dirty_harvest()
        machine.run(50)
        for ra in (HIGH, HIGH + 2 * MIB - 8, LOW + MIB - 8):
            assert machine.memory.load(ra) == 0x1122334455667788
        assert machine.dirty_harvest() == [
            (LOW + MIB - PAGE) // PAGE, HIGH // PAGE, (HIGH + 2 * MIB - PAGE) // PAGE,
        ]  # fmt: skip


def test_a_hole_is_no_memory_for_the_guest() -> None:
    with small() as machine:
        machine.strands[0].start(LOW)
        store_at(machine, LOW, LOW + MIB)
        stop = machine.run(50)
        assert (stop.reason, stop.trap_type) == (StopReason.WATCHDOG, 0x30)  # no fault status area is set


# -- the same machine, whatever its physical addresses are


def busy_machine(blocks: tuple[Block, ...]) -> Machine:
    machine = small(blocks)
    machine.strands[0].start(LOW)
    machine.strands[0]["g1"] = 7
    store_at(machine, LOW, HIGH + 0x4000, LOW + 0x6000)
    machine.run(20)
    return machine


def test_digest_and_image_do_not_know_physical_addresses() -> None:
    other = ((LOW, 0x4000_0000, MIB // 2), (LOW + MIB // 2, 0, MIB // 2), (HIGH, 0x2_0000_0000, 2 * MIB))
    with busy_machine(TWO) as one, busy_machine(other) as two, small(other) as three:
        for machine in (two, three):  # a description tells of congruence
            machine.machine_description = one.machine_description
        assert one.digest() == two.digest() != three.digest()
        three.load(one.save())
        assert three.digest() == one.digest()
        assert three.memory.load(HIGH + 0x4000) == 7
        assert three.strands[0]["pc"] == one.strands[0]["pc"]


def test_an_image_wants_memory_at_the_same_real_addresses() -> None:
    with busy_machine(TWO) as one:
        image = one.save()
        before = one.digest()
        one.add_memory(TOP, 0, PAGE)
        with pytest.raises(StateError, match="other real addresses"):
            one.load(image)
        one.remove_memory(TOP, PAGE)
        one.load(image)
        assert one.digest() == before
    with small((*TWO[:1], (HIGH, 1 << 32, MIB))) as other, pytest.raises(StateError, match="other real addresses"):
        other.load(image)


def test_memory_of_a_size_and_in_a_block_at_0_are_the_same_machine() -> None:
    digests = []
    for options in ({"memory": "1M"}, {"blocks": [(0, 0x7000_0000, MIB)]}):
        with Machine(deterministic=True, **options) as machine:  # type: ignore[arg-type]
            machine.boot(parse_image(program(*say("same"), *exit_with(0))))
            machine.machine_description = machine.machine_description  # the one of blocks tells where they lie
            machine.run(1000)
            digests.append((machine.memory.read(0, MIB), machine.strands[0].print()))
    assert digests[0] == digests[1]


# -- adding and removing


def test_new_memory_is_zero_and_used_at_once() -> None:
    with small() as machine:
        machine.strands[0].start(LOW)
        machine.strands[0]["g1"] = 5
        machine.add_memory(TOP, 0x3000_0000, "1M")
        assert machine.blocks == (*TWO, (TOP, 0x3000_0000, MIB))
        assert machine.memory.read(TOP, MIB) == bytes(MIB)
        store_at(machine, LOW, TOP + 64)
        machine.run(10)
        assert machine.memory.load(TOP + 64) == 5


@pytest.mark.parametrize(
    ("ra", "pa", "size", "message"),
    [
        (TOP, 0x2000_0000, PAGE, "physical address 0x20000000 is in use"),
        (LOW + MIB - PAGE, 0, PAGE, "real address 0x10000000 already"),
        (TOP + 1, 0, PAGE, "multiples of 8 KiB"),
        (TOP, 0, 0, "multiples of 8 KiB"),
        (TOP, 0, 100, "multiple of 8K"),
        (TOP, 0, "4T", "at most 1T"),
        ((1 << 64) - PAGE, 0, PAGE, "below 0x400000000000"),
        (1 << 64, 0, PAGE, "not a block"),
        (TOP, -PAGE, PAGE, "not a block"),
    ],
)
def test_what_cannot_be_added_changes_nothing(ra: int, pa: int, size: int | str, message: str) -> None:
    with small() as machine:
        before = machine.digest()
        with pytest.raises(ConfigError, match=message):
            machine.add_memory(ra, pa, size)
        assert (machine.blocks, machine.digest()) == (TWO, before)


def test_out_of_the_middle_and_back() -> None:
    with small() as machine:
        machine.memory.write(HIGH, b"below")
        machine.memory.write(HIGH + MIB, b"gone")
        machine.memory.write(HIGH + MIB + PAGE, b"above")
        machine.dirty_harvest()
        machine.memory.write(HIGH + MIB, b"dirt")
        machine.remove_memory(HIGH + MIB, PAGE)
        assert machine.blocks == (
            TWO[0], (HIGH, 0x1_0000_0000, MIB), (HIGH + MIB + PAGE, 0x1_0000_0000 + MIB + PAGE, MIB - PAGE),
        )  # fmt: skip
        assert machine.dirty_harvest() == []
        with pytest.raises(AddressError):
            machine.memory.read(HIGH + MIB, 1)
        with pytest.raises(AddressError, match="cannot be removed"):
            machine.remove_memory(HIGH + MIB, PAGE)
        machine.add_memory(HIGH + MIB, 0x1_0000_0000 + MIB, PAGE)
        assert machine.blocks == TWO
        assert machine.memory.read(HIGH + MIB, 8) == bytes(8)
        assert machine.memory.read(HIGH, 5) + machine.memory.read(HIGH + MIB + PAGE, 5) == b"belowabove"


def test_physical_memory_that_was_removed_comes_back_elsewhere() -> None:
    with small() as machine:
        machine.memory.write(HIGH + MIB, b"secret")
        machine.remove_memory(HIGH + MIB, PAGE)
        machine.add_memory(TOP, 0x1_0000_0000 + MIB, PAGE)
        assert machine.memory.read(TOP, PAGE) == bytes(PAGE)
        machine.memory.write(TOP, b"new")
        assert machine.dirty_harvest()[-1] == TOP // PAGE
        assert machine.memory.read(HIGH + MIB - 8, 8) == bytes(8)


def test_a_range_over_several_blocks_goes_at_once() -> None:
    blocks = ((LOW, 0, MIB), (LOW + MIB, 0x4000_0000, MIB), (LOW + 2 * MIB, 0x2000_0000, MIB))
    with small(blocks) as machine:
        machine.remove_memory(LOW + MIB // 2, 2 * MIB)
        assert machine.blocks == ((LOW, 0, MIB // 2), (LOW + 5 * MIB // 2, 0x2000_0000 + MIB // 2, MIB // 2))
        machine.add_memory(LOW + MIB // 2, 0x4000_0000, MIB)
        assert machine.memory.size_bytes == 2 * MIB


def test_removed_memory_gives_its_host_memory_back() -> None:
    with small() as machine:
        machine.memory.write(HIGH, bytes([1]) * (2 * MIB))
        (block,) = (block for block in machine.memory_descriptors() if block.ra == HIGH)
        held = os.fstat(block.memory_fd).st_blocks * 512
        assert held >= 2 * MIB
        machine.remove_memory(HIGH, MIB)
        assert os.fstat(block.memory_fd).st_blocks * 512 <= held - MIB
        machine.remove_memory(HIGH + MIB, MIB)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(block.memory_fd)


def test_code_and_translations_of_removed_memory_are_forgotten() -> None:
    """A strand runs code in a block and has it in its soft TLB; then it is gone, and then other code is there."""
    add, spin = asm("add", "g3", 1, "g3"), HERE
    with small() as machine:
        strand = machine.strands[0]
        machine.memory.write(HIGH + MIB, code(add, spin))
        strand.start(HIGH + MIB)
        machine.run(1000)
        assert strand["g3"] == 1
        machine.remove_memory(HIGH + MIB, MIB)
        stop = machine.run(1000)
        assert (stop.reason, stop.trap_type) == (StopReason.WATCHDOG, 0x08)
        machine.add_memory(HIGH + MIB, 0x1_0000_0000 + MIB, MIB)
        machine.memory.write(HIGH + MIB, code(asm("add", "g4", 9, "g4"), spin))
        strand.start(HIGH + MIB)
        machine.run(1000)
        assert (strand["g3"], strand["g4"]) == (0, 9)


def test_a_view_keeps_memory_where_it_is() -> None:
    with small() as machine:
        view = machine.memory.view(HIGH, 16)
        with pytest.raises(BusyError, match="view"):
            machine.remove_memory(LOW, PAGE)
        del view
        machine.remove_memory(LOW, PAGE)


def test_errors_behind_memory_go_with_it() -> None:
    with small() as machine:
        machine.poison(HIGH + MIB - 64, 2 * 64)
        machine.poison(HIGH + MIB + 4 * PAGE, 64)
        machine.remove_memory(HIGH + MIB, PAGE)
        assert machine.poisoned == ((HIGH + MIB - 64, 64), (HIGH + MIB + 4 * PAGE, 64))
        image = machine.save()
        machine.load(image)
        machine.remove_memory(HIGH + MIB + PAGE, MIB - PAGE)
        machine.remove_memory(HIGH, MIB)
        assert machine.poisoned == ()


def test_only_between_runs() -> None:
    """A machine that runs refuses; other threads are told so, and nothing has changed."""
    spinning = Machine("1M")
    spinning.memory.write(ENTRY, code(HERE))
    spinning.strands[0].start(ENTRY)
    with spinning as machine:
        thread = threading.Thread(target=machine.run, args=(1 << 62,))
        thread.start()
        try:
            while machine.busy().strands[0] == 0:  # until it runs
                pass
            for change in (
                lambda: machine.add_memory(TOP, 0, PAGE), lambda: machine.remove_memory(0, PAGE),
                lambda: machine.add_strands([]), machine.memory_descriptors,
            ):  # fmt: skip
                with pytest.raises(BusyError, match="running"):
                    change()
        finally:
            machine.kick()
            thread.join()
        assert machine.blocks == ((0, 0, MIB),)


# -- random blocks against a model


@pytest.mark.parametrize("seed", range(6))
def test_random_changes_against_a_model(seed: int) -> None:
    """Pages come, are written, go, are saved and loaded; a dictionary of pages knows what must be there."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    bases = [rng.choice([0, LOW, HIGH, TOP]) + rng.randrange(8) * PAGE for _ in range(4)]
    free = {base + n * PAGE for base in bases for n in range(24)}
    model: dict[int, bytes] = {}
    physical: dict[int, int] = {}
    first = min(free)
    with Machine(blocks=[(first, 0, PAGE)], deterministic=True) as machine:
        model[first], physical[first] = bytes(PAGE), 0
        for _ in range(250):
            ra, count = rng.choice(sorted(free)), rng.randrange(1, 6)
            pages = [ra + n * PAGE for n in range(count)]
            pa = rng.randrange(128) * PAGE
            action = rng.randrange(5)
            if action == 0:
                taken = {physical[page] for page in model}
                fits = not any(page in model or pa + n * PAGE in taken for n, page in enumerate(pages))
                try:
                    machine.add_memory(ra, pa, count * PAGE)
                    assert fits
                    model |= {page: bytes(PAGE) for page in pages}
                    physical |= {page: pa + n * PAGE for n, page in enumerate(pages)}
                except ConfigError:
                    assert not fits
            elif action == 1 and len(model) > count:
                there = all(page in model for page in pages)
                try:
                    machine.remove_memory(ra, count * PAGE)
                    assert there
                    for page in pages:
                        del model[page], physical[page]
                except AddressError:
                    assert not there
            elif action == 2:
                text = rng.randbytes(24)
                try:
                    machine.memory.write(ra + PAGE - 12, text)
                    assert ra in model
                    assert ra + PAGE in model
                    model[ra] = model[ra][:-12] + text[:12]
                    model[ra + PAGE] = text[12:] + model[ra + PAGE][12:]
                except AddressError:
                    assert ra not in model or ra + PAGE not in model
            elif action == 3:
                there = {page for base, _, size in machine.blocks for page in range(base, base + size, PAGE)}
                assert there == set(model)
                assert all(machine.memory.read(page, PAGE) == text for page, text in model.items())
            else:
                digest, image = machine.digest(), machine.save()
                machine.memory.write(next(iter(model)), rng.randbytes(8))
                machine.load(image)
                assert machine.digest() == digest


# -- from another process

_OTHER = r"""
import mmap, socket, sys
memory_offset, size, page_map, region_map = map(int, sys.argv[2:6])
channel = socket.socket(fileno=int(sys.argv[1]))
_, fds, _, _ = socket.recv_fds(channel, 1, 2)
memory = mmap.mmap(fds[0], 0)
marks = mmap.mmap(fds[1], 0)
channel.sendall(b"ready")
assert channel.recv(1) == b"g"
dirty = [n for n in range(size // 8192) if marks[page_map + n]]
regions = [n for n in range((memory_offset + size + (2 << 20) - 1) // (2 << 20)) if marks[region_map + n]]
word = int.from_bytes(memory[memory_offset + 0x4000:memory_offset + 0x4008], "big")
memory[memory_offset + 0x8000:memory_offset + 0x8005] = b"hello"
for n in regions: marks[region_map + n] = 0
for n in dirty: marks[page_map + n] = 0
channel.sendall(repr((dirty, regions, word)).encode())
"""


def other_process(block: MemoryDescriptor) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    numbers = (block.memory_offset, block.size_bytes, block.page_map_offset, block.region_map_offset)
    child = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(theirs.fileno()), *map(str, numbers)], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    ours.settimeout(120)
    socket.send_fds(ours, [b"d"], [block.memory_fd, block.map_fd])
    return child, ours


def test_another_process_sees_memory_and_marks() -> None:
    """Of a block whose beginning was removed, so that nothing begins at offset 0."""
    blocks = ((LOW, 0x2000_0000, MIB), (HIGH, 0x1_0000_0000, 6 * MIB))
    with small(blocks) as machine:
        machine.remove_memory(HIGH, MIB)
        start = HIGH + MIB
        machine.strands[0].start(LOW)
        machine.strands[0]["g1"] = 0xABCD
        machine.dirty_harvest()
        (block,) = (block for block in machine.memory_descriptors() if block.ra == start)
        assert (block.memory_offset, block.page_map_offset) == (MIB, MIB // PAGE)
        child, channel = other_process(block)
        try:
            assert channel.recv(5, socket.MSG_WAITALL) == b"ready"
            store_at(machine, LOW, start + 0x4000, start + 3 * MIB)
            machine.run(10)
            channel.sendall(b"g")
            answer = channel.recv(1000)
            assert child.wait(timeout=120) == 0
        finally:
            child.kill()
            child.wait()
            channel.close()
        dirty = [2, 3 * MIB // PAGE]
        assert answer == repr((dirty, [MIB // REGION_BYTES, 4 * MIB // REGION_BYTES], 0xABCD)).encode()
        assert machine.memory.read(start + 0x8000, 5) == b"hello"
        assert machine.dirty_harvest() == [LOW // PAGE]  # the code; the others' marks were cleared over there


@pytest.mark.parametrize("barrier", [False, True])
def test_a_barrier_makes_strands_mark_again(barrier: bool) -> None:
    """Without it the strand, which holds write permission, stores unseen."""
    loop = (asm("stx", "g1", ("l0", 0)), asm("subcc", "g2", 1, "g2"), 0x12BFFFFE, NOP, HERE)  # bne loop
    with small() as machine:
        strand = machine.strands[0]
        machine.memory.write(LOW, code(*loop))
        strand.start(LOW)
        strand["l0"], strand["g2"] = HIGH, 1_000_000
        machine.run(1000)
        (block,) = (block for block in machine.memory_descriptors() if block.ra == HIGH)
        with mmap.mmap(block.map_fd, 0) as marks:
            assert marks[block.page_map_offset] == 1
            marks[block.region_map_offset] = marks[block.page_map_offset] = 0
            if barrier:
                machine.dirty_barrier()
            strand["g2"] = 100
            machine.run(2000)  # its end is done step by step, and a step always marks: by then it stores no more
            assert strand["g2"] == 0
            assert (marks[block.page_map_offset], marks[block.region_map_offset]) == (barrier, barrier)


def test_descriptors_cannot_be_cut_short() -> None:
    with small() as machine:
        for block in machine.memory_descriptors():
            for fd in (block.memory_fd, block.map_fd):
                with pytest.raises(OSError, match="not permitted"):
                    os.ftruncate(fd, 0)
