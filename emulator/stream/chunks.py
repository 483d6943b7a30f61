"""Types of chunks, what their bodies say, versions and features: the definition that protocol.md describes."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgpack

from emulator._core_stream import KEY_BYTES, MAX_BYTES, Chunk, ChunkError
from emulator.fields import Fields
from emulator.hvctl import wire

VERSION = (1, 1)
POSTCOPY = "postcopy"
FEATURES: frozenset[str] = frozenset({"zeros", "strict", POSTCOPY})
"""What this side can do beyond the first version's must: names, for `required` and `optional` of a HELLO."""
DIGEST_BYTES = 16
MAX_BODY = 1 << 16
MAX_RANGES = 4096
MAX_ASKED = 32
"""Pages in one REQ."""
MISSING_RANGES = 4096
"""In one MISSING: two numbers each."""
STATE_PIECE = 1 << 18
_MAX_SEQUENCE = (1 << 64) - 1


class Type(IntEnum):
    """Types of chunks. Those up to MISSING are numbered on their channel and acknowledged."""

    DATA = 1
    BARRIER = 2
    STATE = 3
    FINAL = 4
    MISSING = 5
    ACK = 16
    NACK = 17
    RESULT = 18
    REQ = 19
    HELLO = 32
    WELCOME = 33
    REFUSE = 34


class Algorithm(IntEnum):
    """How a payload is compressed."""

    NONE = 0
    LZ4 = 1
    ZSTD = 2
    ZLIB = 3


@dataclass(frozen=True, kw_only=True)
class Hello:
    """A source's first chunk on each connection."""

    channel: int
    channels: int
    proof: bytes
    algorithms: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """The target's answer. `applied`: number of the channel's last chunk that it has."""

    proof: bytes
    applied: int
    algorithms: tuple[str, ...]
    features: tuple[str, ...]
    minor: int


@dataclass(frozen=True, kw_only=True)
class FinalBody:
    """All memory was sent: its digest, how long the state is, and whether all is to be hashed again.

    `missing`: all but the pages that MISSING named, which come when the guest runs.
    """

    digest: bytes
    state_bytes: int
    sha256: bytes
    strict: bool
    missing: bool = False


def pack(body: dict[str, object]) -> bytes:
    """A body as it is sent."""
    data: bytes = msgpack.packb(body, use_bin_type=True)
    if len(data) > MAX_BODY:
        raise ChunkError(f"a body of {len(data)} bytes")
    return data


def body_fields(data: bytes, where: str) -> Fields:
    """A body that a peer has sent. Raises ChunkError."""
    if len(data) > MAX_BODY:
        raise ChunkError(f"{where}: a body of {len(data)} bytes")
    try:
        return Fields(wire.decode(data), where, ChunkError)
    except wire.WireError as error:
        raise ChunkError(f"{where}: {error}") from None


def octets(fields: Fields, name: str, length: int) -> bytes:
    """Bytes of a length."""
    value = fields.raw(name)
    if not isinstance(value, bytes) or len(value) != length:
        raise fields.wrong(name, f"{length} bytes", value)
    return value


def _names(fields: Fields, name: str) -> tuple[str, ...]:
    found = fields.texts(name, ())
    if len(found) > 64 or any(len(text) > 64 for text in found):
        raise fields.wrong(name, "up to 64 short names", list(found)[:1])
    return found


def parse_hello(data: bytes) -> Hello:
    """Raises ChunkError. Members that are not known are passed over: a later minor version may add some."""
    fields = body_fields(data, "HELLO")
    ranges = fields.tuples("ranges", 2)
    if len(ranges) > MAX_RANGES:
        raise ChunkError("HELLO: too many ranges of memory")
    return Hello(
        channel=fields.number("channel", 0, 65535), channels=fields.number("channels", 1, 65535),
        proof=octets(fields, "proof", 32), algorithms=_names(fields, "algorithms"),
        required=_names(fields, "required"), optional=_names(fields, "optional"),
        ranges=tuple((first, size) for first, size in ranges),
    )  # fmt: skip


def parse_welcome(data: bytes) -> Welcome:
    """Raises ChunkError."""
    fields = body_fields(data, "WELCOME")
    return Welcome(
        proof=octets(fields, "proof", 32), applied=fields.number("applied", 0, _MAX_SEQUENCE),
        algorithms=_names(fields, "algorithms"), features=_names(fields, "features"),
        minor=fields.number("minor", 0, 255),
    )  # fmt: skip


def parse_final(data: bytes, most_state: int) -> FinalBody:
    """Raises ChunkError."""
    fields = body_fields(data, "FINAL")
    return FinalBody(
        digest=octets(fields, "digest", DIGEST_BYTES), state_bytes=fields.number("state_bytes", 0, most_state),
        sha256=octets(fields, "sha256", 32), strict=fields.flag("strict", False),
        missing=fields.flag("missing", False),
    )  # fmt: skip


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Body of a REQ or MISSING: 8 bytes each, little-endian."""
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def parse_numbers(data: bytes, where: str, *, most: int, pairs: bool = False) -> tuple[int, ...]:
    """Of a REQ or MISSING. Raises ChunkError."""
    count, rest = divmod(len(data), 8)
    if rest or not 1 <= count <= most or (pairs and count % 2):
        raise ChunkError(f"{where}: {len(data)} bytes of numbers")
    return struct.unpack(f"<{count}Q", data)


def parse_text(data: bytes) -> tuple[str, str]:
    """(code, text) of a REFUSE. Raises ChunkError."""
    fields = body_fields(data, "REFUSE")
    return fields.text("code", "peer", most=40), fields.text("text", most=1000)


def proof(secret: bytes, side: str, chunk: Chunk, binding: bytes) -> bytes:
    """That whoever sends this knows the secret, on this very connection: HMAC-SHA-256."""
    text = f"sun4v stream 1 {side} {chunk.mid} {chunk.channel} ".encode()
    return hmac.digest(secret, text + binding, "sha256")


def hash_key(secret: bytes, mid: int) -> bytes:
    """The key of the page hashes of a migration: SHAKE-256."""
    return hashlib.shake_256(secret + f"sun4v page hash {mid}".encode()).digest(KEY_BYTES)


def joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Real address and bytes of memory, those that adjoin made one: the same however blocks are cut."""
    found: list[tuple[int, int]] = []
    for first, size in sorted(ranges):
        if found and found[-1][0] + found[-1][1] == first:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((first, size))
    return tuple(found)


assert MAX_BODY <= STATE_PIECE <= MAX_BYTES


def state_digest(fd: int, size: int) -> bytes:
    """SHA-256 over the first `size` bytes of a state, or as many as there are."""
    digest, at = hashlib.sha256(), 0
    while at < size:
        piece = os.pread(fd, min(1 << 20, size - at), at)
        if not piece:
            break
        digest.update(piece)
        at += len(piece)
    return digest.digest()
