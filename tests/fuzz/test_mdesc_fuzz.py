"""Hostile bytes: the decoder gives a description or MdescError, never anything else, and never much memory.

S4V_FUZZ is the number of mutations of each description (default 1500), S4V_SEED the seed.
"""

from __future__ import annotations

import os
import random
import struct

import pytest
from mdesc_support import m7_domain, t2_domain, t5_domain

from emulator.mdesc import (
    MachineDescription,
    MdescError,
    as_json,
    as_text,
    build,
    decode,
    diff,
    encode,
    plain_resources,
)
from emulator.mdesc.decode import MAX_BYTES
from emulator.platforms import find_platform

ROUNDS = int(os.environ.get("S4V_FUZZ", "1500"))
SEED = int(os.environ.get("S4V_SEED", "20130326"))
DOMAINS = {
    "plain": lambda: build(find_platform("t1000"), plain_resources(find_platform("t1000"), 1, 1 << 30)),
    "t5": t5_domain,
    "m7": m7_domain,
    "t2": t2_domain,
}
NUMBERS = (0, 1, 2, 15, 16, 17, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def mutate(chance: random.Random, blob: bytes) -> bytes:
    """One to four changes: a bit, a byte, a word or element of interest, a cut, a piece twice or moved."""
    out = bytearray(blob)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out)) if chance.random() < 0.7 else chance.randrange(min(64, len(out)))
        action = chance.randrange(7)
        if action == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif action == 1:
            out[at] = chance.choice(b"NEavsd \0\xff")
        elif action == 2:
            at &= ~3
            out[at : at + 4] = struct.pack(">I", chance.choice(NUMBERS))
        elif action == 3:
            at &= ~7
            out[at : at + 8] = struct.pack(">Q", chance.choice((*NUMBERS, 1 << 63, len(out) // 16)))
        elif action == 4:
            other = chance.randrange(len(out)) & ~15
            out[at & ~15 : (at & ~15) + 16] = out[other : other + 16]
        elif action == 5:
            del out[at : at + chance.choice((1, 8, 16, len(out)))]
        else:
            out[at:at] = out[at : at + chance.choice((1, 16, 256))]
        if not out:
            break
    return bytes(out)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_mutations(domain) -> None:  # type: ignore[no-untyped-def]
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    md: MachineDescription = domain()
    blob = encode(md)
    decoded = refused = 0
    for _ in range(ROUNDS):
        hostile = mutate(chance, blob)
        try:
            found = decode(hostile)
        except MdescError:
            refused += 1
            continue
        decoded += 1
        assert decode(encode(found)) == found
        if decoded % 20 == 0:  # what the decoder lets through, the rest must take
            assert as_text(found, back=True)
            assert as_json(found)
            diff(md, found)
    assert refused > ROUNDS // 4
    assert decoded > ROUNDS // 100, "mutations that are all refused prove little"


def test_noise() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        noise = chance.randbytes(chance.randrange(200))
        header = struct.pack(">IIII", 0x10000, *(16 * chance.randrange(4) for _ in range(3)))
        for blob in (noise, header + noise, header + bytes(len(noise) & ~15)):
            with pytest.raises(MdescError):
                decode(blob)


def element(tag: bytes, length: int = 0, name: int = 0, value: int = 0) -> bytes:
    return struct.pack(">BBHIQ", tag[0], length, 0, name, value)


def whole(nodes: bytes, names: bytes = b"root\0".ljust(16, b"\0"), data: bytes = b"") -> bytes:
    return struct.pack(">IIII", 0x10000, len(nodes), len(names), len(data)) + nodes + names + data


ROOT, NODE_END, LIST_END = element(b"N", 4, 0, 2), element(b"E"), element(b"\0")
SMALL = ROOT + NODE_END + LIST_END


def test_the_smallest_description() -> None:
    assert [node.name for node in decode(whole(SMALL))] == ["root"]


def test_noops_are_passed_over() -> None:
    noop = element(b" ")
    nodes = element(b"N", 4, 0, 5) + noop + noop + NODE_END + noop + LIST_END
    assert decode(whole(nodes)) == decode(whole(SMALL))


NAMES = b"root\0back\0".ljust(16, b"\0")
BROKEN = {
    "nothing": b"",
    "half a header": bytes(15),
    "version 2.0": struct.pack(">I", 0x20000) + whole(SMALL)[4:],
    "a byte too much": whole(SMALL) + b"\0",
    "a byte too few": whole(SMALL)[:-1],
    "odd block": struct.pack(">IIII", 0x10000, 48, 15, 0) + SMALL + bytes(15),
    "no elements": whole(b""),
    "only LIST_END": whole(LIST_END),
    "no LIST_END": whole(ROOT + NODE_END),
    "starts with a NOOP": whole(element(b" ") + SMALL),
    "first node is not root": whole(element(b"N", 4, 5, 2) + NODE_END + LIST_END, NAMES),
    "node that leads to itself": whole(element(b"N", 4, 0, 0) + NODE_END + LIST_END),
    "node that leads back": whole(ROOT + NODE_END + element(b"N", 4, 0, 0) + NODE_END + LIST_END),
    "node that leads far out": whole(element(b"N", 4, 0, 1 << 63) + NODE_END + LIST_END),
    "node without end": whole(element(b"N", 4, 0, 1) + LIST_END),
    "node in a node": whole(element(b"N", 4, 0, 4) + ROOT + NODE_END + NODE_END + LIST_END),
    "two ends": whole(element(b"N", 4, 0, 3) + NODE_END + NODE_END + LIST_END),
    "property behind the end": whole(element(b"N", 4, 0, 3) + NODE_END + element(b"v", 4) + LIST_END),
    "something behind LIST_END": whole(SMALL + ROOT),
    "unknown tag": whole(element(b"N", 4, 0, 3) + element(b"q", 4) + NODE_END + LIST_END),
    "arc into a node": whole(element(b"N", 4, 0, 3) + element(b"a", 4, 5, 1) + NODE_END + LIST_END, NAMES),
    "arc to LIST_END": whole(element(b"N", 4, 0, 3) + element(b"a", 4, 5, 3) + NODE_END + LIST_END, NAMES),
    "name without NUL": whole(SMALL, b"rootrootrootroot"),
    "name too short": whole(SMALL, b"roo\0".ljust(16, b"\0")),
    "name outside": whole(element(b"N", 4, 16, 2) + NODE_END + LIST_END),
    "empty name": whole(element(b"N", 0, 4, 2) + NODE_END + LIST_END),
    "data outside": whole(element(b"N", 4, 0, 3) + element(b"d", 4, 0, 1 << 32) + NODE_END + LIST_END),
    "empty string": whole(element(b"N", 4, 0, 3) + element(b"s", 4, 0, 0) + NODE_END + LIST_END),
    "string without NUL": whole(
        element(b"N", 4, 0, 3) + element(b"s", 4, 0, 2 << 32) + NODE_END + LIST_END, data=b"ab".ljust(16, b"\0")
    ),
    "string with a NUL": whole(
        element(b"N", 4, 0, 3) + element(b"s", 4, 0, 3 << 32) + NODE_END + LIST_END, data=bytes(16)
    ),
    "reserved bytes": whole(struct.pack(">BBHIQ", ord("N"), 4, 1, 0, 2) + NODE_END + LIST_END),
    "too large": bytes(MAX_BYTES + 1),
}  # fmt: skip


@pytest.mark.parametrize("blob", BROKEN.values(), ids=BROKEN)
def test_broken_descriptions(blob: bytes) -> None:
    with pytest.raises(MdescError):
        decode(blob)


def test_a_small_file_does_not_unfold_to_gigabytes() -> None:
    """64 KiB of data, claimed by ten thousand properties, each a byte shorter: 600 MB if they were all taken."""
    count, data = 10_000, bytes(65536)
    properties = b"".join(element(b"d", 4, 0, (65536 - n) << 32 | n) for n in range(count))
    nodes = element(b"N", 4, 0, count + 2) + properties + NODE_END + LIST_END
    with pytest.raises(MdescError, match="overlap"):
        decode(whole(nodes, data=data))


def test_shared_data_is_no_attack() -> None:
    """The same bytes, claimed by ten thousand properties, are taken once."""
    properties = element(b"d", 4, 0, 65536 << 32) * 10_000
    md = decode(whole(element(b"N", 4, 0, 10_002) + properties + NODE_END + LIST_END, data=bytes(65536)))
    assert len({id(item.value) for item in md.root.items}) == 1  # type: ignore[union-attr]
