"""Two ends of a link over a wire that loses, repeats, damages and resets: what arrives is what was sent, in order.

A session is what lies between Up and Lost at an end. Within one, the messages received are a prefix of those the
other end sent since its own Up; nothing is lost silently, doubled, reordered or made up. Over a wire that behaves,
everything arrives.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.devices.ldc_link import Link, Lost, Message, Mode, Up
from emulator.devices.state import pack, unpack


@dataclass
class End:
    """A link, what it said and heard in its session, and the packets on the way to it."""

    link: Link
    name: str
    session: int = 0
    sent: list[bytes] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    wire: deque[bytes] = field(default_factory=deque)
    count: int = 0


class Wire:
    """Two ends. The session a message belongs to is part of its text, as is its number."""

    def __init__(self, chance: random.Random, mode: Mode) -> None:
        self.chance = chance
        self.ends = [End(Link(mode, initiator=n == 0), "ab"[n]) for n in range(2)]
        for end in self.ends:
            end.link.start(present=True)

    def other(self, end: End) -> End:
        return self.ends[1 - self.ends.index(end)]

    def say(self, end: End) -> None:
        end.count += 1
        text = f"{end.name} {end.session} {end.count} ".encode()
        text += self.chance.randbytes(self.chance.choice((0, 1, 30, 100, 700)))
        if end.link.send(text):
            end.sent.append(text)

    def move(self, end: End, room: int) -> None:
        data = end.link.take(room)
        self.other(end).wire.extend(data[at : at + 64] for at in range(0, len(data), 64))

    def hear(self, end: End) -> None:
        if not end.wire:
            return
        for event in end.link.receive(end.wire.popleft()):
            if isinstance(event, Up):
                end.session += 1
                end.sent, end.heard = [], []
            elif isinstance(event, Message):
                end.heard.append(event.data)
                self.check(end)
            elif event.mistake:
                self.reset(end)

    def reset(self, end: End) -> None:
        """An end starts anew, as by QCONF: packets to it are dropped, and the other end sees it."""
        end.wire.clear()
        end.link.start(present=True)
        other = self.other(end)
        other.wire.clear()
        for event in other.link.start(present=True):
            assert isinstance(event, Lost)

    def check(self, end: End) -> None:
        sent = self.other(end).sent
        assert end.heard == sent[: len(end.heard)], "not a prefix of what was sent"

    def spoil(self, end: End) -> None:
        """Something happens to a packet on its way."""
        if not end.wire:
            return
        at = self.chance.randrange(len(end.wire))
        kind = self.chance.randrange(4)
        if kind == 0:
            del end.wire[at]
        elif kind == 1:
            end.wire.insert(at, end.wire[at])
        elif kind == 2:
            end.wire.rotate(1)
        else:
            header = bytearray(end.wire[at])
            header[self.chance.randrange(8)] ^= 1 << self.chance.randrange(8)
            # A flipped length is not seen: there is no checksum. It is then another message.
            if header[3] == end.wire[at][3]:
                end.wire[at] = bytes(header)

    def settle(self) -> None:
        """Let everything arrive."""
        for _ in range(2000):
            for end in self.ends:
                self.move(end, 50)
                while end.wire:
                    self.hear(end)

    def save_and_load(self, end: End) -> None:
        twin = Link(end.link.mode, initiator=end.link.initiator)
        twin.load(unpack(pack(end.link.save())))
        end.link = twin


@pytest.mark.parametrize("mode", [Mode.UNRELIABLE, Mode.STREAM])
@given(seed=st.integers(0, 1 << 32))
def test_a_bad_wire(mode: Mode, seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire(chance, mode)
    for _ in range(300):
        end = chance.choice(wire.ends)
        action = chance.random()
        if action < 0.35:
            wire.say(end)
        elif action < 0.65:
            wire.move(end, chance.choice((1, 2, 5, 40)))
        elif action < 0.94:
            wire.hear(end)
        elif action < 0.96:
            wire.spoil(end)
        elif action < 0.98:
            wire.save_and_load(end)
        else:
            wire.reset(end)
    for end in wire.ends:
        assert end.link.backlog < 10_000
        end.wire.clear()
    wire.reset(wire.ends[0])
    wire.settle()
    assert all(end.link.up for end in wire.ends), "the link comes up again"


@pytest.mark.parametrize("mode", [Mode.UNRELIABLE, Mode.STREAM])
@given(seed=st.integers(0, 1 << 32))
def test_a_good_wire_delivers_everything(mode: Mode, seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire(chance, mode)
    wire.settle()
    for _ in range(200):
        end = chance.choice(wire.ends)
        if chance.random() < 0.4:
            wire.say(end)
        elif chance.random() < 0.5:
            wire.move(end, chance.choice((1, 3, 40)))
        else:
            wire.hear(end)
    wire.settle()
    for end in wire.ends:
        assert end.session == 1
        assert end.heard == wire.other(end).sent
