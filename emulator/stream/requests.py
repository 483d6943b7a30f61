"""What a manager may ask of a worker (worker.md): requests taken apart and checked.

Every function takes the map of a frame and gives a frozen record; RequestError names the member that is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.errors import EmulatorError
from emulator.faults.rules import MAX_RULES, FaultsError, Plan, parse_plan
from emulator.fields import Fields

VERSION = (1, 0)
PAGE_BYTES = 8192
REGION_BYTES = 2 << 20
MAX_MID = 1 << 62
MAX_BLOCKS = 4096
MAX_CHANNELS = 16
MAX_STATE_BYTES = 64 << 20
MAX_PEM = 1 << 16
SECRET_BYTES = SHA256_BYTES = 32
COMPRESS = ("auto", "none", "lz4", "zstd", "zlib")
VERIFY = ("auto", "strict", "background")
AT_LIMIT = ("finish", "fail")
POSTCOPY = ("off", "auto")
_U64 = (1 << 64) - 1
_MAX_SIZE = 1 << 56


class RequestError(EmulatorError, ValueError):
    """A request is wrong."""

    code = "request"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of memory and where its bytes and dirty marks are: `memory.descriptors`. `memory`, `map`: descriptors."""

    ra: int
    size: int
    memory: int
    map: int
    memory_offset: int
    page_map_offset: int
    region_map_offset: int


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to move; worker.md has the table."""

    compress: str = "auto"
    downtime_ms: int = 100
    bandwidth_bps: int | None = None
    verify: str = "auto"
    max_rounds: int = 30
    max_seconds: int | None = None
    at_limit: str = "finish"
    dirty_limit: bool = True
    reconnect_seconds: int = 60
    postcopy: str = "off"
    plain: bool = False
    faults: Plan = field(default_factory=Plan)
    """What goes wrong on purpose on the way (points stream.*)."""
    fired: Mapping[int, int] = field(default_factory=dict)
    """How often rules of it have fired before."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Who this side is, who the other one must be (PEM), and the secret of this migration."""

    certificate: str
    key: str
    peer_certificate: str
    secret: bytes


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """What both sides are told. `fds`: descriptors, the holder's to close."""

    mid: int
    blocks: tuple[Block, ...]
    fds: tuple[int, ...]
    host: str
    port: int
    channels: int
    credentials: Credentials
    options: Options


class Begin(_Transfer):
    """Send to `host` and `port`."""


class Receive(_Transfer):
    """Receive: `host` is the address to listen at, "" all of them, `port` 0 any."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Memory to hash; nothing is moved."""

    mid: int
    blocks: tuple[Block, ...]
    secret: bytes


@dataclass(frozen=True, kw_only=True)
class Final:
    """The state of the suspended guest."""

    fd: int
    size: int
    sha256: bytes


def parse_begin(message: dict[str, object], fds: list[int]) -> Begin:
    """The request `begin`. Raises RequestError."""
    args = _arguments(message)
    found = Begin(
        mid=args.number("mid", 1, MAX_MID), blocks=_blocks(args, fds), fds=tuple(fds),
        host=args.text("host", most=255), port=args.number("port", 1, 65535),
        channels=args.number("channels", 1, MAX_CHANNELS, 1), credentials=_credentials(args), options=_options(args),
    )  # fmt: skip
    args.end()
    return found


def parse_receive(message: dict[str, object], fds: list[int]) -> Receive:
    """The request `receive`. Raises RequestError."""
    args = _arguments(message)
    found = Receive(
        mid=args.number("mid", 1, MAX_MID), blocks=_blocks(args, fds), fds=tuple(fds),
        host=args.text("host", "", most=255), port=args.number("port", 0, 65535, 0),
        channels=args.number("channels", 1, MAX_CHANNELS, MAX_CHANNELS), credentials=_credentials(args),
        options=_options(args),
    )  # fmt: skip
    args.end()
    return found


def parse_look(message: dict[str, object], fds: list[int]) -> Look:
    """The request `look`. Raises RequestError."""
    args = _arguments(message)
    mid, blocks = args.number("mid", 1, MAX_MID), _blocks(args, fds)
    found = Look(mid=mid, blocks=blocks, secret=_octets(args, "secret", SECRET_BYTES))
    args.end()
    return found


def parse_final(message: dict[str, object], fds: list[int]) -> Final:
    """The request `final`. Raises RequestError."""
    args = _arguments(message)
    size, digest = args.number("bytes", 0, MAX_STATE_BYTES), _octets(args, "sha256", SHA256_BYTES)
    args.end()
    return Final(fd=_one(fds, "the state"), size=size, sha256=digest)


def parse_state(message: dict[str, object], fds: list[int]) -> int:
    """The request `state`: the descriptor of the buffer. Raises RequestError."""
    _arguments(message).end()
    return _one(fds, "the buffer of the state")


def parse_presence(message: dict[str, object], fds: list[int]) -> tuple[int, int]:
    """The request `presence`: descriptors of the file and of the bell. Raises RequestError."""
    _arguments(message).end()
    if len(fds) != 2:
        raise RequestError(f"presence: 2 descriptors are wanted, not {len(fds)}")
    return fds[0], fds[1]


def parse_barrier(message: dict[str, object]) -> int:
    """The request `barrier`: its number. Raises RequestError."""
    args = _arguments(message)
    number = args.number("n", 1, MAX_MID)
    args.end()
    return number


def parse_empty(message: dict[str, object]) -> None:
    """A request without arguments. Raises RequestError."""
    _arguments(message).end()


def _arguments(message: dict[str, object]) -> Fields:
    return Fields({name: value for name, value in message.items() if name != "op"}, "", RequestError)


def _one(fds: list[int], what: str) -> int:
    if len(fds) != 1:
        raise RequestError(f"one descriptor is wanted, of {what}, not {len(fds)}")
    return fds[0]


def _octets(args: Fields, name: str, length: int) -> bytes:
    value = args.raw(name)
    if not isinstance(value, bytes) or len(value) != length:
        raise args.wrong(name, f"{length} bytes", value)
    return value


def _credentials(args: Fields) -> Credentials:
    texts = {name: args.text(name, "", most=MAX_PEM) for name in ("certificate", "key", "peer_certificate")}
    return Credentials(secret=_octets(args, "secret", SECRET_BYTES), **texts)


def _options(args: Fields) -> Options:
    given = Fields(args.raw("options", {}), "options", RequestError)
    default = Options()
    found = Options(
        compress=_word(given, "compress", COMPRESS),
        downtime_ms=given.number("downtime_ms", 1, 60_000, default.downtime_ms),
        bandwidth_bps=given.optional("bandwidth_bps", 1_000, 1 << 50),
        verify=_word(given, "verify", VERIFY),
        max_rounds=given.number("max_rounds", 1, 10_000, default.max_rounds),
        max_seconds=given.optional("max_seconds", 1, 10**7),
        at_limit=_word(given, "at_limit", AT_LIMIT),
        dirty_limit=given.flag("dirty_limit", default.dirty_limit),
        reconnect_seconds=given.number("reconnect_seconds", 1, 3_600, default.reconnect_seconds),
        postcopy=_word(given, "postcopy", POSTCOPY),
        plain=given.flag("plain", default.plain),
        faults=_faults(given.raw("faults", {})),
        fired={pair[0]: pair[1] for pair in given.tuples("fired", 2, [])[:MAX_RULES]},
    )
    given.end()
    return found


def _faults(plan: object) -> Plan:
    try:
        return parse_plan(plan)
    except FaultsError as error:
        raise RequestError(f"options.faults: {error.problems[0]}") from None


def _word(given: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value = given.text(name, allowed[0])
    if value not in allowed:
        raise given.wrong(name, " or ".join(allowed), value)
    return value


def _blocks(args: Fields, fds: list[int]) -> tuple[Block, ...]:
    blocks = args.each("blocks", lambda item: _block(item, fds), most=MAX_BLOCKS)
    if not blocks:
        raise RequestError("blocks: at least one block of memory is wanted")
    ordered = tuple(sorted(blocks, key=lambda block: block.ra))
    for one, other in itertools.pairwise(ordered):
        if one.ra + one.size > other.ra:
            raise RequestError(f"blocks: two lie over each other at real address {other.ra:#x}")
    return ordered


def _block(item: Fields, fds: list[int]) -> Block:
    def pages(name: str, low: int, high: int) -> int:
        value = item.number(name, low, high)
        if value % PAGE_BYTES:
            raise item.wrong(name, "a multiple of 8192", value)
        return value

    item.number("pa", 0, _U64, 0)
    size = pages("size", PAGE_BYTES, _MAX_SIZE)
    last = len(fds) - 1
    return Block(
        ra=pages("ra", 0, (1 << 63) - size), size=size, memory=fds[item.number("memory", 0, last)],
        map=fds[item.number("map", 0, last)], memory_offset=pages("memory_offset", 0, _MAX_SIZE),
        page_map_offset=item.number("page_map_offset", 0, _MAX_SIZE),
        region_map_offset=item.number("region_map_offset", 0, _MAX_SIZE),
    )  # fmt: skip
