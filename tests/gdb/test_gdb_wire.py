"""Frames of the remote serial protocol: what a client sends in pieces, damaged, too long, or with escapes."""

from __future__ import annotations

import random

from gdb_fake import packet, payloads

from emulator.gdb.wire import MAX_PACKET, Mark, Reader, escape, frame, unescape


def fed(*pieces: bytes) -> list[bytes | Mark]:
    reader = Reader()
    return [item for piece in pieces for item in reader.feed(piece)]


def test_packets_in_pieces() -> None:
    """However a stream is cut, the same packets come; noise between them means nothing."""
    stream = b"++" + packet(b"qSupported:a+;b+") + b"junk\n" + packet(b"g") + b"\x03-" + packet(b"")
    wanted = [Mark.ACK, Mark.ACK, b"qSupported:a+;b+", b"g", Mark.INTERRUPT, Mark.NAK, b""]
    assert fed(stream) == wanted
    assert fed(*(bytes((byte,)) for byte in stream)) == wanted


def test_an_example_of_the_manual() -> None:
    """`OK` has the checksum 9a ("Debugging with GDB", E.1)."""
    assert frame(b"OK") == b"$OK#9a"
    assert fed(b"$OK#9a") == [b"OK"]
    assert fed(b"$OK#9A") == [b"OK"]


def test_damage_is_told() -> None:
    assert fed(b"$g#00", packet(b"g")) == [Mark.DAMAGED, b"g"]
    assert fed(b"$g#zz") == [Mark.DAMAGED]
    assert fed(b"$abc", packet(b"g")) == [b"g"]  # its end was lost: the next one counts


def test_a_packet_that_is_too_long_is_given_up() -> None:
    """And what comes behind it is understood; no more than a packet is kept."""
    reader = Reader()
    assert list(reader.feed(b"$" + b"a" * (MAX_PACKET + 1))) == []
    assert list(reader.feed(b"a" * (8 << 20))) == []
    assert len(reader._body or b"") == MAX_PACKET
    assert list(reader.feed(b"#00" + packet(b"g"))) == [Mark.DAMAGED, b"g"]
    assert fed(packet(b"a" * MAX_PACKET)) == [b"a" * MAX_PACKET]


def test_escapes() -> None:
    every = bytes(range(256))
    assert unescape(escape(every)) == every
    assert payloads(frame(every)) == [every]
    assert fed(packet(b"X10,2:}\x03}\x04")) == [b"X10,2:#$"]
    assert fed(packet(b"a}")) == [b"a"]  # an escape of nothing
    assert fed(packet(b"}}}]")) == [b"]}"]


def test_noise_never_breaks_the_reader() -> None:
    seed = 20261126
    print("seed", seed)
    chance = random.Random(seed)
    reader = Reader()
    for _ in range(3000):
        noise = bytes(chance.choice(b"$#+-}\x03*abc0\xff") for _ in range(chance.randrange(40)))
        for item in reader.feed(noise):
            assert isinstance(item, bytes | Mark)
    assert list(reader.feed(b"$" + b"#00" + packet(b"g")))[-1] == b"g"
