"""Two machines of one host hand a guest's memory over by its descriptors: nothing is copied, and only one has it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from moving_support import Memory, carry_state, move
from server_support import labos_spec
from test_moving import SCRIPT, Pair, disks

from emulator.backends.file import create_disk
from emulator.hvctl.local import LocalHvctl, RefusedError
from emulator.hvctl.wire import close_all

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MIB = 1 << 20


def content(memory: Memory) -> str:
    """SHA-256 over what is populated, read through descriptors."""
    found = hashlib.sha256()
    for ra, length in memory.populated():
        fd, at = memory.place(ra)
        for offset in range(0, length, 8192):
            page = os.pread(fd, 8192, at + offset)
            if any(page):
                found.update((ra + offset).to_bytes(8, "big") + page)
    return found.hexdigest()


def adopt(source: LocalHvctl, target: LocalHvctl, guest: int) -> None:
    answer, fds = source.call_fds("memory.lend", guest=guest)
    try:
        target.call_with("memory.adopt", fds, guest=guest, blocks=answer["blocks"])
    finally:
        close_all(fds)


def hand_over(source: LocalHvctl, target: LocalHvctl, spec: Mapping[str, Any]) -> None:
    """The whole move, without a byte of memory copied."""
    guest = spec["id"]
    target.call("guest.receive", spec=spec)
    adopt(source, target, guest)
    if source.call("guest.status", guest=guest)["state"] != "suspended":
        source.call("guest.suspend", guest=guest)
    carry_state(source, target, guest)
    source.call("guest.release_disks", guest=guest)
    target.call("guest.resume", guest=guest)
    source.call("guest.stop", guest=guest, taken=True)
    source.call("guest.destroy", guest=guest)


class Handing(Pair):
    """Moves by handing over and by copying in turn, so that each finds what the other has left."""

    def move(self, to: int | None = None, *, spec: dict[str, Any] | None = None) -> None:
        to = (self.home + 1) % len(self.rooms) if to is None else to
        target = self.rooms[to]
        spec = spec or self.room.call("guest.spec", guest=1)
        (move if self.moves % 3 == 2 else hand_over)(self.room.client, target.client, spec)  # type: ignore[arg-type]
        self.home, self.moves = to, self.moves + 1
        target.server.console(1).attach(self.said.extend)


def test_a_run_that_is_handed_over_is_the_run_that_stays(tmp_path: Path) -> None:
    """To the bit, by turns handed over (twice) and copied: the copy walks and harvests what was taken over."""
    ends = []
    for chance in (None, random.Random(SEED)):
        disk = tmp_path / ("moved" if chance else "stays")
        create_disk(disk, MIB)
        with Handing("t5-2", "t5-2") as pair:
            pair.start(labos_spec(1, disks=disks(disk), vcpus=[[0, 1], [1, 2]], max_vcpus=4))
            pair.run(SCRIPT, chance=chance)
            digest = pair.room.call("guest.digest", guest=1)
            ends.append((pair.text, digest, hashlib.sha256(disk.read_bytes()).hexdigest()))
            assert pair.moves >= 4 if chance else pair.moves == 0
    assert " 0 wrong" in ends[0][0]
    assert ends[1] == ends[0]


def test_memory_that_is_cut_otherwise(tmp_path: Path) -> None:
    """Two blocks here, three there, at other physical addresses: the same real addresses are enough."""
    with Pair("t5-2", "t5-2") as pair:
        base = labos_spec(1)
        ra, pa, _ = base["memory"][0]
        pair.start(base | {"memory": [[ra, pa, 24 * MIB], [ra + 24 * MIB, pa + 256 * MIB, 40 * MIB]]})
        begin = pair.type("dirty 20000 4194304")
        pair.advance(30 * MIB)
        there = [[ra, pa + 512 * MIB, 8 * MIB], [ra + 8 * MIB, pa + 1024 * MIB, 40 * MIB],
                 [ra + 48 * MIB, pa + 640 * MIB, 16 * MIB]]  # fmt: skip
        hand_over(pair.room.client, pair.rooms[1].client, pair.room.call("guest.spec", guest=1) | {"memory": there})
        pair.home = 1
        pair.room.server.console(1).attach(pair.said.extend)
        pair.advance(30 * MIB)
        assert pair.text[begin:].startswith("dirty")
        assert " 0 wrong" in pair.do("dirty check")
        # what came is walked, marked and copied like any other memory, wherever the marks begin
        memory = Memory(pair.room.client, 1)
        assert len(memory.blocks) == 4
        memory.dirty()
        pair.room.call("memory.barrier", guest=1)
        pair.do("date")
        assert memory.dirty()
        memory.close()
        move(pair.room.client, pair.rooms[0].client,
             pair.room.call("guest.spec", guest=1) | {"memory": [[ra, pa, 64 * MIB]]}, rounds=2)
        pair.home = 0
        pair.room.server.console(1).attach(pair.said.extend)
        assert " 0 wrong" in pair.do("dirty check")


def test_until_it_runs_there_nothing_writes_it() -> None:
    """Adopting, loading the state and dropping it again leave the memory as it was; the source goes on."""
    with Pair("t5-2", "t5-2") as pair:
        pair.start(labos_spec(1))
        pair.type("dirty 20000 4194304")
        pair.advance(20 * MIB)
        source, target = pair.room.client, pair.rooms[1].client
        source.call("guest.suspend", guest=1)
        memory = Memory(source, 1)
        before = content(memory)
        for loaded in (False, True):
            target.call("guest.receive", spec=source.call("guest.spec", guest=1))
            adopt(source, target, 1)
            if loaded:
                carry_state(source, target, 1)
                there = Memory(target, 1)
                assert content(there) == before  # the very same
                there.close()
            target.call("guest.destroy", guest=1)
            assert content(memory) == before
        memory.close()
        source.call("guest.resume", guest=1)
        pair.advance(20 * MIB)
        assert " 0 wrong" in pair.do("dirty check")


@pytest.mark.parametrize("end", ["taken", "power-off"])
def test_who_gave_it_away_does_not_touch_it_any_more(end: str, tmp_path: Path) -> None:
    """The source ends after the guest has begun to run there: not a byte changes, whatever its devices do then."""
    with Pair("t5-2", "t5-2") as pair:
        pair.start(labos_spec(1, disks=disks(tmp_path / "disk")))
        source, target = pair.room.client, pair.rooms[1].client
        target.call("guest.receive", spec=source.call("guest.spec", guest=1))
        adopt(source, target, 1)
        source.call("guest.suspend", guest=1)
        carry_state(source, target, 1)
        source.call("guest.release_disks", guest=1)
        target.call("guest.resume", guest=1)
        there = Memory(target, 1)
        before = content(there)
        if end == "taken":
            source.call("guest.stop", guest=1, taken=True)
            source.call("guest.destroy", guest=1)
        else:
            pair.room.server.power_off()
        assert content(there) == before
        there.close()
        # a machine that ends unmaps it, and the memory stays with the other one
        target.call("guest.suspend", guest=1)
        target.call("guest.resume", guest=1)


def test_what_is_no_memory_is_refused_and_changes_nothing() -> None:
    with Pair("t5-2", "t5-2") as pair:
        pair.start(labos_spec(1))
        source, target = pair.room.client, pair.rooms[1].client
        spec = source.call("guest.spec", guest=1)
        target.call("guest.receive", spec=spec)
        answer, fds = source.call_fds("memory.lend", guest=1)
        (good,) = answer["blocks"]
        open_memory = os.memfd_create("open")
        os.ftruncate(open_memory, good["size"])
        chance = random.Random(SEED)
        wrong: list[tuple[list[dict[str, int]], list[int]]] = [
            ([good], []),
            ([], fds),
            ([good | {"ra": good["ra"] + MIB}], fds),
            ([good | {"size": good["size"] // 2}], fds),
            ([good | {"size": good["size"] * 2}], fds),
            ([good | {"memory_offset": 8192, "size": good["size"]}], fds),
            ([good | {"memory_offset": good["size"]}], fds),
            ([good | {"memory": 2}], fds),
            ([good, good], fds),
            ([good | {"memory": 0}], [open_memory]),
            ([good | {"memory": 0}], [0]),
            ([good | {"ra": (1 << 64) - 8192}], fds),
        ]
        for _ in range(60):
            name = chance.choice(["ra", "size", "memory_offset"])
            wrong.append(([good | {name: chance.choice([1, 8191, chance.randrange(1 << 56), (1 << 56) - 8192])}], fds))
        mine = Memory(target, 1)
        for blocks, given in wrong:
            with pytest.raises(RefusedError):
                target.call_with("memory.adopt", given, guest=1, blocks=blocks)
        again = Memory(target, 1)
        assert os.fstat(mine.fds[0]).st_ino == os.fstat(again.fds[0]).st_ino
        mine.close()
        again.close()
        target.call_with("memory.adopt", fds, guest=1, blocks=[good])
        with pytest.raises(RefusedError, match="running"):
            source.call_with("memory.adopt", fds, guest=1, blocks=[good])
        close_all([*fds, open_memory])
        with pytest.raises(RefusedError, match="receiving"):
            target.call("memory.lend", guest=1)
