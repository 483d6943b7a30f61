"""Strands that come and go, how long they were at work, and machines in threads."""

from __future__ import annotations

import os
import threading

import pytest
from asm_support import HERE, asm, code, ta
from elf_support import CPU_YIELD, ENTRY, NOP, exit_with, hypercall, program

from emulator import Machine, Stop, StopReason, StrandState, parse_image
from emulator.errors import ConfigError, StateError, StrandError
from emulator.machine_resources import Busy

RD_TICK_G1, WR_G1_TICK_CMPR, CLEAR_TIMER = 0x83410000, 0xAF804000, 0xAB802001
CPU_START, CPU_STATE, CPU_STOP = 0x10, 0x17, 0x11
ENOCPU, FAST = 1, 0x80
FOREVER = 1 << 62


def machine_of(strands: object, most: int | None = None, **options: object) -> Machine:
    machine = Machine("1M", strands=strands, max_strands=most, **{"deterministic": True, **options})  # type: ignore[arg-type]
    machine.memory.write(ENTRY, code(HERE))
    return machine


def numbers(machine: Machine) -> list[int]:
    return [strand.number for strand in machine.strands]


def call(machine: Machine, function: int, *args: int) -> int:
    """Status of a hypercall of the machine's first strand."""
    strand = machine.strands[0]
    machine.memory.write(0x20000, code(ta(FAST), HERE))
    strand.start(0x20000)
    strand["o5"] = function
    for n, value in enumerate(args):
        strand[f"o{n}"] = value
    strand.run(4)
    return strand["o0"]


# -- which there are


def test_strands_by_number_and_by_list() -> None:
    with machine_of(3) as machine:
        assert (numbers(machine), machine.max_strands) == ([0, 1, 2], 3)
    with machine_of([5, 1, 9], 12) as machine:
        assert (numbers(machine), machine.max_strands) == ([1, 5, 9], 12)
        md = machine.machine_description
        assert [md[index].get("id") for index in md.find("cpu")] == [1, 5, 9]
        assert machine.strand(9).state is StrandState.STOPPED
        for absent in (0, 2, 12, -1):
            with pytest.raises(StrandError, match="no strand"):
                machine.strand(absent)


@pytest.mark.parametrize(
    ("strands", "most"), [([], None), ([0, 0], None), ([-1], None), (2, 1), ([3], 3), (1, 257), ([256], None), (1, 0)]
)
def test_strands_that_cannot_be(strands: object, most: int | None) -> None:
    with pytest.raises(ConfigError):
        machine_of(strands, most)


def test_absent_strands_are_no_cpus() -> None:
    with machine_of([1], 4) as machine:
        for function in (CPU_STATE, CPU_START, CPU_STOP):
            assert call(machine, function, 0, ENTRY, 0, 0) == ENOCPU
        machine.add_strands([0])
        assert numbers(machine) == [0, 1]
        machine.remove_strands([0])
        assert call(machine, CPU_STATE, 0) == ENOCPU
        assert call(machine, CPU_STATE, 1) == 0
        assert call(machine, CPU_STATE, 4) == ENOCPU
        assert call(machine, CPU_STATE, 1 << 40) == ENOCPU


@pytest.mark.parametrize("deterministic", [True, False])
def test_an_added_strand_is_started_by_the_guest_and_runs(deterministic: bool) -> None:
    with machine_of([2], 8, deterministic=deterministic) as machine:
        machine.add_strands([7, 0])
        kept = machine.strand(2)
        machine.memory.write(0x30000, code(asm("or", "o0", 0, "g5"), *exit_with(9)))
        words = [*hypercall(CPU_START), HERE]
        machine.memory.write(ENTRY, code(*words))
        kept.start(ENTRY)
        kept["o0"], kept["o1"], kept["o2"], kept["o3"] = 7, 0x30000, 0, 0x1234
        stop = machine.run(FOREVER)
        assert (stop.reason, stop.exit_code, stop.strand) == (StopReason.EXIT, 9, 7)
        assert machine.strand(7)["g5"] == 0x1234
        assert machine.strand(2) is kept
        assert machine.strand(7).insns > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.add_strands([1]), "there already"),
        (lambda m: m.add_strands([2, 2]), "named twice"),
        (lambda m: m.add_strands([8]), "numbers from 0 to 7"),
        (lambda m: m.add_strands([-1]), "numbers from 0 to 7"),
        (lambda m: m.add_strands([2, 1]), "there already"),
        (lambda m: m.remove_strands([3]), "not all of them are there"),
        (lambda m: m.remove_strands([1, 1]), "named twice"),
        (lambda m: m.remove_strands([0]), "not all of them are stopped"),
        (lambda m: m.remove_strands([1, 4, 5]), "not all of them are there"),
        (lambda m: m.remove_strands([1 << 40]), "numbers from 0"),
    ],
)
def test_a_refused_change_changes_nothing(change: object, message: str) -> None:
    with machine_of(2, 8) as machine:
        machine.strands[0].start(ENTRY)
        before = machine.digest()
        with pytest.raises(StrandError, match=message):
            change(machine)  # type: ignore[operator]
        assert (numbers(machine), machine.digest()) == ([0, 1], before)


def test_one_strand_stays() -> None:
    with machine_of(2, 8) as machine:
        with pytest.raises(StrandError, match="one must stay"):
            machine.remove_strands([0, 1])
        machine.remove_strands([0])
        assert numbers(machine) == [1]
        with pytest.raises(StrandError, match="one must stay"):
            machine.remove_strands([1])


def test_a_strand_that_comes_back_is_new() -> None:
    with machine_of(2) as machine:
        strand = machine.strand(1)
        strand.start(ENTRY)
        machine.run(100)
        strand["g3"] = 77
        assert strand.insns > 0
        machine.reset()
        machine.remove_strands([1])
        with pytest.raises(StrandError):
            strand.run(1)
        machine.add_strands([1])
        again = machine.strand(1)
        assert (again["g3"], again.insns, again.state, machine.busy().strands[1]) == (0, 0, StrandState.STOPPED, 0)


def test_turns_go_on_when_strands_come_and_go() -> None:
    """Deterministic: each strand at work gets its share of the instructions, before and after."""
    with machine_of([0, 1, 2], 5, quantum=10) as machine:
        for strand in machine.strands:
            strand.start(ENTRY)
        machine.run(300)
        assert [strand.insns for strand in machine.strands] == [100, 100, 100]
        machine.add_strands([4])
        machine.strand(4).start(ENTRY)
        machine.run(400)
        assert [strand.insns for strand in machine.strands] == [200, 200, 200, 100]


def test_images_hold_which_strands_there_are() -> None:
    with machine_of([1, 3], 6) as one, machine_of([0, 5], 6) as two, machine_of(2) as other:
        one.strand(3).start(ENTRY)
        one.strand(3)["g4"] = 9
        one.run(50)
        digest = one.digest()
        two.machine_description = one.machine_description
        two.strand(0).start(ENTRY)
        two.load(one.save())
        assert (numbers(two), two.digest()) == ([1, 3], digest)
        assert two.strand(3)["g4"] == 9
        one.run(70)
        two.run(70)
        assert one.digest() == two.digest()
        with pytest.raises(StateError, match="another configuration"):
            other.load(one.save())


def test_when_a_machine_began_and_with_what_seed_is_no_configuration() -> None:
    with Machine("1M", tod_seconds=1, rng_seed=1) as one, Machine("1M", tod_seconds=9, rng_seed=2) as other:
        one.strands[0].start(ENTRY)
        one.run(50)
        other.load(one.save())
        assert other.digest() == one.digest()


def test_a_damaged_image_leaves_the_strands_as_they_were() -> None:
    with machine_of([1, 3], 6) as one, machine_of([0, 5], 6) as two:
        image = one.save()
        for cut in range(100, len(image) - 1, 997):
            with pytest.raises(StateError):
                two.load(image[:cut])
            assert [strand.number for strand in two.strands] == [0, 5]
            assert two.strand(5).state is StrandState.STOPPED
        two.load(image)
        assert numbers(two) == [1, 3]


def test_crypto_units_lose_the_strand_that_goes() -> None:
    with Machine("1M", strands=9, platform="t5120", deterministic=True) as machine:
        units = {(unit.kind, unit.ino): unit.vcpus for unit in machine.crypto_units}
        assert sorted(units.values()) == [tuple(range(8)), tuple(range(8)), (8,), (8,)]
        machine.remove_strands([8, 2])
        assert [unit.vcpus for unit in machine.crypto_units] == [(0, 1, 3, 4, 5, 6, 7)] * 2
        machine.load(machine.save())


def test_real_time_strands_have_threads_only_where_they_work() -> None:
    """A crew of one is the caller's thread; a removed strand's thread is gone; all of it again and again."""
    with machine_of(1, 4, deterministic=False) as machine:
        before = threads()
        machine.strands[0].start(ENTRY)
        machine.run(10_000)
        assert threads() == before
        for _ in range(20):
            machine.add_strands([1, 3])
            for strand in machine.strands[1:]:
                strand.start(ENTRY)
            assert machine.run(300_000).reason is StopReason.BUDGET
            assert threads() == before + 3
            machine.reset()
            machine.remove_strands([1, 3])
            assert threads(at_last=before + 1) == before + 1
            machine.strands[0].start(ENTRY)
            assert machine.run(10_000).insns == 10_000


def threads(at_last: int | None = None) -> int:
    """Threads of this process. The kernel counts one that was joined for a moment more: looked at until `at_last`."""
    for _ in range(10_000):
        with open("/proc/self/status", encoding="ascii") as status:
            count = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
        if at_last in (None, count):
            break
        os.sched_yield()
    return count


# -- time at work


def test_utilization_is_the_share_of_time_that_strands_do_not_wait() -> None:
    """Deterministic: strand 0 always works; strand 1 works for a twentieth of the time, and sleeps by its timer."""
    with machine_of(3, quantum=50) as machine:
        machine.strands[0].start(ENTRY)
        waiter = machine.strands[1]
        # sleeps until 900 ticks from now, works for 40 instructions, and so on
        sleep = [RD_TICK_G1, asm("add", "g1", 900, "g1"), WR_G1_TICK_CMPR, *hypercall(CPU_YIELD), CLEAR_TIMER]
        words = [*sleep, *[NOP] * 40, branch(-len(sleep) - 40), NOP]
        machine.memory.write(0x30000, code(*words))
        waiter.start(0x30000)
        before = machine.busy()
        machine.run(200_000)
        used = machine.busy().utilization(before)
        assert used[0] == pytest.approx(100, abs=4)  # waits for the other's turn now and then
        assert 3 < used[1] < 15
        assert used[2] == 0


def branch(words: int) -> int:
    """`ba`, so many instructions from here."""
    return 0x10800000 | (words & 0x3FFFFF)


def test_utilization_of_samples() -> None:
    one = Busy(1000, {0: 500, 1: 0})
    two = Busy(3000, {0: 1500, 1: 2100, 7: 200})
    assert two.utilization(one) == {0: 50.0, 1: 100.0, 7: 10.0}
    assert one.utilization(one) == {0: 0.0, 1: 0.0}


@pytest.mark.parametrize("strands", [1, 2])
def test_busy_is_read_by_another_thread_while_the_machine_runs(strands: int) -> None:
    """Real time: it grows while strand 0 spins, and not for one that is stopped."""
    with machine_of(strands, 3, deterministic=False) as machine:
        machine.strands[0].start(ENTRY)
        thread = threading.Thread(target=machine.run, args=(FOREVER,))
        thread.start()
        try:
            first = machine.busy()
            while machine.busy().strands[0] <= first.strands[0] + 1_000_000:
                pass
        finally:
            machine.kick()
            thread.join()
        end = machine.busy()
        assert end.strands[0] >= first.strands[0] + 1_000_000
        assert all(ns == 0 for number, ns in end.strands.items() if number)
        assert machine.busy().strands == end.strands  # at rest it stands still


# -- machines in threads


def test_machines_run_beside_each_other() -> None:
    """While one is inside a run that only a kick ends, the other works in this thread: neither waits for the other."""
    with machine_of(1) as one, machine_of(2, deterministic=False) as two, machine_of(1) as three:
        ended: list[Stop] = []
        running = []
        for machine in (one, two):
            machine.strands[0].start(ENTRY)
            running.append(threading.Thread(target=lambda m=machine: ended.append(m.run(FOREVER))))
            running[-1].start()
        three.boot(parse_image(program(*exit_with(4))))
        assert three.run(1000).exit_code == 4
        while one.busy().strands[0] == 0 and two.busy().strands[0] == 0:
            three.strands[0].start(ENTRY)
            three.run(1000)
        assert ended == []
        for machine, thread in zip((one, two), running, strict=True):
            machine.kick()
            thread.join()
        assert [stop.reason for stop in ended] == [StopReason.KICK] * 2


def test_machines_in_threads_do_not_touch_each_other() -> None:
    """Eight at once give what one alone gives, bit for bit."""
    count = [asm("add", "g1", 1, "g1"), asm("stx", "g1", ("g2", 0)), branch(-2), NOP]

    def work(out: list[bytes], seed: int) -> None:
        with machine_of([0, 2], 4, rng_seed=seed, quantum=97) as machine:
            machine.memory.write(0x30000, code(*count))
            for strand in machine.strands:
                strand.start(0x30000)
                strand["g2"] = 0x40000 + 0x1000 * strand.number
            for _ in range(20):
                machine.run(20_000)
                machine.add_strands([3])
                machine.remove_strands([3])
                machine.load(machine.save())
            out.append(machine.digest())

    alone: list[bytes] = []
    work(alone, 5)
    together: list[bytes] = []
    running = [threading.Thread(target=work, args=(together, 5)) for _ in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert together == alone * 8
