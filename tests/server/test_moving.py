"""A guest moves between servers with the operations of hvctl, and goes on as if nothing had happened.

Memory is copied over the guest's descriptors, as another process would. Virtual time: no chance but the seeded one of
when it moves.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from moving_support import Memory, carry_state, copy_memory, move, put_state
from server_support import PROMPT, Room, labos_spec

from emulator.backends.file import create_disk
from emulator.devices.switch import join
from emulator.hvctl.local import RefusedError

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
MS = 1_000_000
MIB = 1 << 20
SUSPEND = "domain-suspend"


class Pair:
    """Servers in one virtual time; guest 1 lives on one of them, and its console is one text."""

    def __init__(self, *platforms: str, **options: Any) -> None:
        self.rooms = [Room(platform, name=f"s{n}", **options) for n, platform in enumerate(platforms)]
        self.home, self.moves = 0, 0
        self.said = bytearray()

    @property
    def room(self) -> Room:
        return self.rooms[self.home]

    @property
    def text(self) -> str:
        return self.said.decode("latin-1").replace("\r", "")

    def start(self, spec: dict[str, Any]) -> None:
        self.room.add(spec)
        self.room.server.console(1).attach(self.said.extend)
        self.until(PROMPT)

    def advance(self, ns: int) -> None:
        """All servers, a slice at a time."""
        while ns > 0:
            step = min(ns, MS)
            for room in self.rooms:
                room.server.advance(step)
            ns -= step

    def until(self, end: str, *, begin: int = 0, most_ms: int = 60_000) -> str:
        """Until what was said since `begin` ends so; all of it."""
        for _ in range(most_ms):
            if self.text[begin:].endswith(end):
                return self.text[begin:]
            self.advance(MS)
        raise AssertionError(f"no {end!r} but {self.text[-400:]!r}")

    def type(self, line: str) -> int:
        """Type a line; where in the text it begins."""
        begin = len(self.text)
        self.room.type(1, line)
        return begin

    def ended(self, begin: int) -> str:
        """The output of a line that was typed."""
        return self.until(f"\n{PROMPT}", begin=begin).partition("\n")[2].removesuffix(f"\n{PROMPT}")

    def do(self, line: str) -> str:
        """A command; its output."""
        return self.ended(self.type(line))

    def move(self, to: int | None = None, *, spec: dict[str, Any] | None = None) -> None:
        """To another server, by default the next one."""
        to = (self.home + 1) % len(self.rooms) if to is None else to
        target = self.rooms[to]
        move(self.room.client, target.client, spec or self.room.call("guest.spec", guest=1))
        self.home, self.moves = to, self.moves + 1
        target.server.console(1).attach(self.said.extend)

    def run(self, script: Sequence[tuple[str, int]], *, chance: random.Random | None) -> None:
        """Lines, each with its time in ms; with `chance` the guest moves at random instants of it."""
        for line, ms in script:
            self.room.type(1, line)
            left = ms * MS
            while left > 0:
                step = min(left, chance.randrange(1, ms * MS) if chance else left)
                self.advance(step)
                left -= step
                if chance and left:
                    self.move()

    def close(self) -> None:
        for room in self.rooms:
            room.close()

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def disks(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        create_disk(path, MIB)
    return [{"name": "d0", "number": 0, "channels": [1], "backend": str(path)}]


SCRIPT = [
    ("dirty 20000 4194304", 30), ("write c0d0 0 pattern 64", 20), ("verify c0d0 0 64", 20), ("psrinfo -pv", 10),
    ("cksum c0d0", 60), ("date", 10), ("crypto", 60), ("write c0d0 100 hello", 20), ("sleep 0", 20),
    ("dirty check", 60), ("dirty stop", 30),
]  # fmt: skip


def test_a_run_with_moves_is_the_run_without(tmp_path: Path) -> None:
    """To the bit: console, disk, digest of state and memory, count of instructions."""
    ends = []
    for chance in (None, random.Random(SEED)):
        disk = tmp_path / ("moved" if chance else "stays")
        with Pair("t5-2", "t5-2") as pair:
            pair.start(labos_spec(1, disks=disks(disk), vcpus=[[0, 1], [1, 2]], max_vcpus=4))
            pair.run(SCRIPT, chance=chance)
            digest = pair.room.call("guest.digest", guest=1)
            ends.append((pair.text, digest, hashlib.sha256(disk.read_bytes()).hexdigest()))
            print("seed", SEED, "moves", pair.moves)
            assert pair.moves >= len(SCRIPT) if chance else pair.moves == 0
    stays, moved = ends
    assert " 0 wrong" in stays[0] and "64 blocks" in stays[0]
    assert moved[0] == stays[0]
    assert moved[2] == stays[2]
    assert moved[1] == stays[1]


def elsewhere(pair: Pair, place: int) -> dict[str, Any]:
    """The guest's specification with other hardware strands and physical memory."""
    spec: dict[str, Any] = pair.room.call("guest.spec", guest=1)
    vcpus = [[vid, 4 + 8 * place + vid] for vid, _ in spec["vcpus"]]
    return spec | {"vcpus": vcpus, "memory": [[ra, pa + place * 256 * MIB, size] for ra, pa, size in spec["memory"]]}


def test_moves_between_unlike_servers_and_the_network_goes_along(tmp_path: Path) -> None:
    """Out to every class-1 chip and back: what the guest prints, its disk, its talk with a third guest."""
    net = {"name": "n0", "number": 0, "channel": 10, "mac": 0x144FF81001, "switch": "vsw0"}
    chance = random.Random(SEED)
    with Pair("t4-1", "t5-2", "t7-1") as pair:
        for room in pair.rooms:
            room.call("service.configure", switches=[{"name": "vsw0"}])
        switches = [room.server.switches.find("vsw0")[1] for room in pair.rooms]  # type: ignore[index]
        join(switches[0], switches[1])
        join(switches[0], switches[2])
        pair.rooms[0].add(labos_spec(2, nets=[net | {"mac": 0x144FF81002}]))
        pair.start(labos_spec(1, cpu_arch="migration-class1", disks=disks(tmp_path / "d"), nets=[net]))
        pair.rooms[0].prompt(2)
        pair.rooms[0].do(2, "ifconfig vnet0 10.0.0.2/24")
        pair.rooms[0].do(2, "tcp-echo")
        pair.do("ifconfig vnet0 10.0.0.1/24")
        pair.do("dirty 20000 4194304")
        for place in (1, 2, 0, 2, 1, 0):
            begin = pair.type("tcp-send 10.0.0.2 7 400000")
            pair.advance(chance.randrange(1, 20 * MS))
            pair.move(place, spec=elsewhere(pair, place))
            said = pair.ended(begin)
            assert "400000 bytes came back, every byte right" in said
            print(pair.room.server.platform_name, said)
            pair.do("write c0d0 0 pattern 16")
            print(pair.do("verify c0d0 0 16"))
            assert " 0 wrong" in pair.do("dirty check")
        assert "clock 2850 MHz" in pair.do("psrinfo -pv")  # as it was told; the server's own is another on the way


@pytest.mark.parametrize("platforms", [("t3-1", "t4-1", "m10-1"), ("m10-1", "t5-2", "t3-1")])
def test_generic_guests_go_anywhere(platforms: tuple[str, ...]) -> None:
    with Pair(*platforms) as pair:
        pair.start(labos_spec(1, cpu_arch="generic"))
        features, told = pair.do("isainfo -v"), pair.do("psrinfo -pv")
        pair.do("dirty 20000 4194304")
        for place in (1, 2, 0):
            pair.move(place, spec=elsewhere(pair, place))
            assert " 0 wrong" in pair.do("dirty check")
            assert (pair.do("isainfo -v"), pair.do("psrinfo -pv")) == (features, told)
            assert pair.do("crypto").splitlines()[-1]


def test_time_goes_on_as_it_was_told() -> None:
    """TICK and STICK keep rate and place where the target's clock is another; so does the watchdog."""
    with Pair("t3-1", "t5-2") as pair:
        pair.start(labos_spec(1, cpu_arch="generic"))
        machine = pair.room.server.guest(1).machine
        assert machine is not None
        rates = machine.tick_hz, machine.stick_hz
        assert rates == (1_650_000_000, 1_650_000_000)
        before = machine.strands[0]["stick"], machine.time_ns
        pair.move()
        there = pair.room.server.guest(1).machine
        assert there is not None
        assert (there.tick_hz, there.stick_hz) == rates
        assert (there.strands[0]["stick"], there.time_ns) == before
        pair.advance(500 * MS)
        assert there.time_ns - before[1] == 500 * MS
        assert there.strands[0]["stick"] - before[0] == 825_000_000
        (cpus, platform) = (there.machine_description.find(name)[0] for name in ("cpu", "platform"))
        assert there.machine_description[cpus].get("clock-frequency") == 1_650_000_000
        assert there.machine_description[platform].get("stick-frequency") == 1_650_000_000
        begin = pair.type("sleep 1")
        pair.advance(900 * MS)
        pair.move()
        pair.advance(90 * MS)
        assert not pair.text[begin:].endswith(f"\n{PROMPT}")
        pair.advance(50 * MS)
        assert pair.text[begin:].endswith(f"\n{PROMPT}")
        # after a power cycle the server's own
        pair.room.call("guest.stop", guest=1)
        pair.room.call("guest.start", guest=1)
        again = pair.room.server.guest(1).machine
        assert again is not None and again.tick_hz == pair.room.server.platform.clock_hz


def test_a_guest_that_suspends_itself(tmp_path: Path) -> None:
    """Through domain services, as Solaris does: it hears of the resume, its channels are reset, and it tells so."""
    net = {"name": "n0", "number": 0, "channel": 10, "mac": 0x144FF81001, "switch": "vsw0"}
    with Pair("t4-1", "t5-2") as pair:
        for room in pair.rooms:
            room.call("service.configure", switches=[{"name": "vsw0"}])
        two: dict[str, Any] = {"cpu_arch": "migration-class1", "vcpus": [[0, 1], [1, 2]]}
        pair.start(labos_spec(1, disks=disks(tmp_path / "d"), nets=[net], **two))
        pair.do("write c0d0 0 pattern 16")
        pair.do("dirty 20000 4194304")
        for place in (1, 0):
            source, target = pair.room, pair.rooms[place]
            target.events.clear()
            source.call("guest.suspend_request", guest=1)
            for _ in range(2000):
                if source.status(1)["state"] == "suspended":
                    break
                pair.advance(MS)
            assert source.status(1)["soft_state"]["text"] == "Solaris suspended"
            pair.move(place, spec=elsewhere(pair, place))
            pair.advance(300 * MS)
            assert target.status(1)["soft_state"]["text"] == "Solaris running"
            told = [event for event in target.events if event["event"] == "guest.reply"]
            assert [(each["request"], each["service"], each["phases"][-1]) for each in told] == [(0, SUSPEND, 5)]
            assert SUSPEND in target.status(1)["services"]
            assert pair.do("verify c0d0 0 16").endswith("are the pattern")
            assert " 0 wrong" in pair.do("dirty check")


def test_a_guest_at_the_ok_prompt_moves_too() -> None:
    """The rules of migration refuse it; its state holds all the same: a line half typed, a word defined."""
    with Pair("t5-2", "t5-2") as pair:
        pair.room.add(labos_spec(1) | {"boot": {}, "variables": {"auto-boot?": "false"}})
        pair.room.server.console(1).attach(pair.said.extend)
        pair.until("ok ")
        pair.room.type(1, ": twice dup + ;")
        pair.until("ok ")
        pair.room.server.console(1).type(b"d# 21 tw")
        pair.move()
        pair.room.server.console(1).type(b"ice .d\r")
        pair.advance(5 * MS)
        pair.until("ok ")
        assert "42" in pair.text[-40:]
        before = pair.room.call("guest.spec", guest=1)
        pair.room.type(1, "setenv oem-logo? true")
        pair.advance(5 * MS)
        pair.move(spec=before)  # who specifies it there has not heard of that yet
        told = [event for event in pair.room.events if event["event"] == "guest.variable"]
        assert [(each["name"], each["value"]) for each in told] == [("oem-logo?", "true")]
        assert pair.room.call("guest.variables", guest=1)["oem-logo?"] == "true"
        assert pair.room.call("guest.spec", guest=1)["variables"]["oem-logo?"] == "true"


def test_console_bytes_on_their_way_are_neither_lost_nor_doubled() -> None:
    """Typed and not yet taken; written and not yet read."""
    lines = "".join(f"echo {n} {'x' * 40}\r" for n in range(20)).encode()
    said = []
    for moves in (False, True):
        with Pair("t5-2", "t5-2") as pair:
            pair.start(labos_spec(1))
            pair.room.call("guest.suspend", guest=1)
            pair.room.server.console(1).type(lines)
            if moves:
                pair.move()
                pair.advance(MS // 10)
                pair.move()
            else:
                pair.room.call("guest.resume", guest=1)
            pair.until(f"19 {'x' * 40}\n{PROMPT}")
            said.append(pair.text)
    assert said[1] == said[0]


# -- what goes wrong


def start_one(pair: Pair, **changes: Any) -> dict[str, Any]:
    """A guest on the first server, suspended; its specification."""
    pair.start(labos_spec(1, **changes))
    pair.room.call("guest.suspend", guest=1)
    spec: dict[str, Any] = pair.room.call("guest.spec", guest=1)
    return spec


def image_of(room: Room) -> bytes:
    saved, (fd,) = room.client.call_fds("guest.save_state", guest=1)
    try:
        image = os.pread(fd, saved["bytes"], 0)
        assert saved["sha256"] == hashlib.sha256(image).digest()
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)  # sealed
    finally:
        os.close(fd)
    return image


def load(room: Room, image: bytes) -> None:
    put_state(room.client, 1, image)
    room.call("guest.load_state", guest=1, sha256=hashlib.sha256(image).digest())


@pytest.mark.parametrize(
    ("platforms", "here", "there", "text"),
    [
        (("t5-2", "t3-1"), {}, {}, "instructions that the processors here do not have: .*aes"),
        (("t7-1", "t4-1"), {}, {}, "instructions that the processors here do not have: .*adi"),
        (("t5-2", "t5-2"), {}, {"vcpus": [[0, 4], [1, 5]], "max_vcpus": 2}, "virtual CPUs"),
        (("t5-2", "t5-2"), {}, {"memory": [[0, 20 << 30, 96 * MIB]]}, "memory is at other real addresses"),
        (("t5-2", "t5-2"), {}, {"mac": 5}, "another mac"),
        (("t5-2", "t5-2"), {}, {"cpu_arch": "generic"}, "another cpu-arch"),
        (("t5-2", "t5-2"), {}, {"boot": {}}, "was started from labos.elf, and its specification names no kernel"),
        (("t5-2", "t5-2"), {}, {"nets": [{"name": "n", "number": 0, "channel": 9, "mac": 6}]}, "with the devices"),
    ],
)
def test_a_guest_that_does_not_fit_is_refused(
    platforms: tuple[str, str], here: dict[str, Any], there: dict[str, Any], text: str
) -> None:
    """And goes on where it was."""
    with Pair(*platforms) as pair:
        spec = start_one(pair, **here)
        target = pair.rooms[1]
        target.call("guest.receive", spec=spec | there)
        with pytest.raises(RefusedError, match=text) as refused:
            load(target, image_of(pair.room))
        assert refused.value.code == "state"
        assert target.status(1)["state"] == "receiving"
        with pytest.raises(RefusedError, match="not suspended"):
            target.call("guest.resume", guest=1)
        target.call("guest.destroy", guest=1)
        assert target.call("guest.list") == []
        pair.room.call("guest.resume", guest=1)
        assert pair.do("uname -a").startswith("SunOS labos")


def test_real_and_virtual_time_do_not_mix() -> None:
    with Pair("t5-2") as pair, Room("t5-2", deterministic=False) as real:
        spec = start_one(pair)
        real.call("guest.receive", spec=spec)
        with pytest.raises(RefusedError, match="the guest's time is virtual"):
            load(real, image_of(pair.room))


def test_states_in_which_nothing_else_may_be_done(tmp_path: Path) -> None:
    with Pair("t5-2", "t5-2") as pair:
        pair.start(labos_spec(1))
        spec = pair.room.call("guest.spec", guest=1)
        for op in ("guest.save_state", "guest.release_disks"):
            with pytest.raises(RefusedError, match="running: suspend it first"):
                pair.room.call(op, guest=1)
        with pytest.raises(RefusedError, match="on already"):
            pair.room.call("guest.receive", spec=spec)
        with pytest.raises(RefusedError, match="only a suspended guest"):
            pair.room.call("guest.stop", guest=1, taken=True)
        target = pair.rooms[1]
        target.call("guest.receive", spec=spec)
        assert target.states(1) == [("receiving", "receiving")]
        for op, text in (("guest.start", "on already"), ("guest.reset", "on its way"), ("guest.suspend", "receiving"),
                         ("guest.resume", "not suspended"), ("guest.save_state", "receiving")):
            with pytest.raises(RefusedError, match=text):
                target.call(op, guest=1)
        with pytest.raises(RefusedError, match="cannot be changed"):
            target.call("guest.configure", spec=spec | {"vcpus": [[0, 7]]})
        with pytest.raises(RefusedError, match="ask for a buffer"):
            target.call("guest.load_state", guest=1, sha256=bytes(32))
        put_state(target.client, 1, b"no image")
        with pytest.raises(RefusedError, match="SHA-256"):
            target.call("guest.load_state", guest=1, sha256=bytes(32))
        for size in (0, (64 << 20) + 1):
            with pytest.raises(RefusedError, match="bytes"):
                target.call("guest.state_buffer", guest=1, bytes=size)
        target.call("guest.stop", guest=1)
        assert target.status(1)["state"] == "defined"
        target.call("guest.receive", spec=spec)  # one that is there, and off
        target.call("guest.destroy", guest=1)
        with pytest.raises(RefusedError, match="no guest"):
            target.call("guest.status", guest=1)
        with pytest.raises(RefusedError, match="control domain"):
            target.call("guest.receive", spec={"id": 0, "name": "primary", "uuid": spec["uuid"], "mac": 1})


def test_what_is_dropped_leaves_nothing_behind(tmp_path: Path) -> None:
    """Memory of a guest that did not come is zero for whoever still holds its descriptors; what was claimed is free."""
    with Pair("t5-2", "t5-2") as pair:
        spec = start_one(pair, disks=disks(tmp_path / "d"))
        target = pair.rooms[1]
        target.call("guest.receive", spec=spec)
        here, there = Memory(pair.room.client, 1), Memory(target.client, 1)
        copy_memory(here, there)
        carry_state(pair.room.client, target.client, 1)
        assert target.status(1)["state"] == "received"
        assert target.call("guest.digest", guest=1) == pair.room.call("guest.digest", guest=1)
        assert there.populated()
        target.call("guest.destroy", guest=1)
        assert there.populated() == []
        here.close()
        there.close()
        target.call("guest.receive", spec=spec | {"id": 2, "name": "other"})
        pair.room.call("guest.resume", guest=1)
        assert "wrong" not in pair.do("uname -a")


def test_the_disk_must_be_open_before_the_guest_runs(tmp_path: Path) -> None:
    """Two servers do not write one file: the target waits for the source, and the source can take the guest back."""
    with Pair("t5-2", "t5-2") as pair:
        spec = start_one(pair, disks=disks(tmp_path / "d"))
        source, target = pair.rooms
        target.call("guest.receive", spec=spec)
        here, there = Memory(source.client, 1), Memory(target.client, 1)
        copy_memory(here, there)
        carry_state(source.client, target.client, 1)
        with pytest.raises(RefusedError, match="in use by another machine") as refused:
            target.call("guest.resume", guest=1)
        assert refused.value.code == "backend" or refused.value.code == "config"
        assert target.status(1)["state"] == "received"
        source.call("guest.release_disks", guest=1)
        source.call("guest.release_disks", guest=1)  # twice is fine
        source.call("guest.resume", guest=1)  # cancelled: it opens them again
        assert "16 blocks" in pair.do("write c0d0 0 pattern 16")
        source.call("guest.suspend", guest=1)
        copy_memory(here, there)
        source.call("guest.release_disks", guest=1)
        target.call("guest.destroy", guest=1)
        with pytest.raises(RefusedError, match="no guest"):
            target.call("guest.resume", guest=1)
        here.close()
        there.close()
        pair.move()
        assert pair.do("verify c0d0 0 16").endswith("are the pattern")
        assert source.states(1)[-2:] == [("defined", "taken"), ("defined", "destroyed")]


def test_crypto_units_stay_behind() -> None:
    with Pair("t3-1", "t3-1") as pair:
        pair.start(labos_spec(1, vcpus=[[0, 8]], crypto=[1]))
        spec = pair.room.call("guest.spec", guest=1)
        pair.room.call("guest.suspend", guest=1)
        with pytest.raises(RefusedError, match="crypto units"):
            pair.room.call("guest.save_state", guest=1)
        with pytest.raises(RefusedError, match="crypto units after it has come"):
            pair.rooms[1].call("guest.receive", spec=spec)
        assert pair.rooms[1].call("guest.list") == []


def mutated(image: bytes, chance: random.Random) -> bytes:
    """An image with a few wrong bits, or cut, or with a piece doubled; the checksum is right again."""
    body = bytearray(image[:-32])
    how = chance.randrange(4)
    if how < 2:
        for _ in range(chance.randrange(1, 9)):
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    elif how == 2:
        del body[chance.randrange(len(body)) :]
    else:
        at, size = chance.randrange(len(body)), chance.randrange(1, 4096)
        body[at:at] = body[at : at + size]
    return bytes(body) + hashlib.sha256(body).digest()


@pytest.fixture
def received(tmp_path: Path) -> Iterator[tuple[Pair, bytes]]:
    """A guest that waits for a state, beside another guest; an image for it."""
    net = {"name": "n0", "number": 0, "channel": 10, "mac": 0x144FF81001, "switch": "vsw0"}
    with Pair("t4-1", "t5-2") as pair:
        changes: dict[str, Any] = {"cpu_arch": "migration-class1", "disks": disks(tmp_path / "d"), "nets": [net]}
        spec = start_one(pair, vcpus=[[0, 1], [1, 2]], **changes)
        pair.rooms[1].add(labos_spec(2, vcpus=[[0, 9]]))
        pair.rooms[1].call("guest.receive", spec=spec)
        here, there = Memory(pair.rooms[0].client, 1), Memory(pair.rooms[1].client, 1)
        copy_memory(here, there)
        here.close()
        there.close()
        image = image_of(pair.room)
        pair.room.call("guest.release_disks", guest=1)
        yield pair, image


def test_hostile_images(received: tuple[Pair, bytes]) -> None:
    """Bits, lengths, pieces: an error or a guest, never more; what is beside it is not touched."""
    pair, image = received
    target, chance = pair.rooms[1], random.Random(SEED)
    print("seed", SEED)
    outcomes = {"taken": 0}
    for _ in range(int(os.environ.get("SUN4V_STATE_IMAGES", "60"))):
        wrong = mutated(image, chance)
        try:
            load(target, wrong)
        except RefusedError as refused:
            outcomes[refused.code] = outcomes.get(refused.code, 0) + 1
            assert target.status(1)["state"] == "receiving"
        else:  # a register, a byte of a text: a state like any other; it may do what guests do
            outcomes["taken"] += 1
            spec = target.call("guest.spec", guest=1)
            target.call("guest.resume", guest=1)
            target.server.advance(2 * MS)
            target.call("guest.stop", guest=1)
            target.call("guest.receive", spec=spec)
    print(outcomes)
    assert outcomes["state"] and outcomes.keys() <= {"state", "config", "taken"}
    target.prompt(2)
    assert target.do(2, "uname -a").startswith("SunOS labos")
    with pytest.raises(RefusedError, match="not a state image"):
        load(target, bytes(1000))


def test_another_version_is_told_from_damage(received: tuple[Pair, bytes]) -> None:
    pair, image = received
    target = pair.rooms[1]

    def sealed(body: bytes) -> bytes:
        return body + hashlib.sha256(body).digest()

    body = image[:-32]
    with pytest.raises(RefusedError, match="its checksum is wrong"):
        load(target, body + bytes(32))
    with pytest.raises(RefusedError, match="of version 9"):
        load(target, sealed(body[:8] + b"\x09" + body[9:]))
    at = body.index(b"clock\0")
    with pytest.raises(RefusedError, match="section clock in version 7"):
        load(target, sealed(body[: at + 16] + b"\x07" + body[at + 17 :]))
    with pytest.raises(RefusedError, match="section cloak, unknown"):
        load(target, sealed(body[:at] + b"cloak" + body[at + 5 :]))
    count = int.from_bytes(body[12:16], "little") + 1
    more = b"later".ljust(16, b"\0") + bytes(8) + (3).to_bytes(8, "little") + b"abc"  # not required: passed over
    load(target, sealed(body[:12] + count.to_bytes(4, "little") + body[16:] + more))
    assert target.status(1)["state"] == "received"


def test_barrier_and_limit_are_for_guests_that_are_on() -> None:
    """Answered beside the guest's turns, in virtual time as well; the limit is at least what a guest needs to live."""
    with Pair("t5-2") as pair:
        pair.start(labos_spec(1))
        assert pair.room.call("memory.barrier", guest=1) == {}
        assert pair.room.call("memory.limit", guest=1, pages_per_second=16) == {}
        assert pair.room.call("memory.limit", guest=1, pages_per_second=None) == {}
        with pytest.raises(RefusedError, match="from 16"):
            pair.room.call("memory.limit", guest=1, pages_per_second=15)
        pair.room.call("guest.stop", guest=1)
        for op in ("memory.barrier", "memory.limit"):
            with pytest.raises(RefusedError, match="not on"):
                pair.room.call(op, guest=1)
            with pytest.raises(RefusedError, match="no guest"):
                pair.room.call(op, guest=7)


def test_a_client_of_before_goes_on_working() -> None:
    with Pair("t5-2") as pair:
        for minor in (0, 1, 2):
            assert pair.room.call("hello", version=[1, minor], client="old")["version"] == [1, 2]
