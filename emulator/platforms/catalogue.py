"""From checked tables to servers: the catalogue beside this file, and files that a person wrote.

One file is one server. `chips.toml` holds what servers inherit from their chip.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from emulator.chips import find_chip
from emulator.platforms.model import Bank, Cache, ChannelLimits, ChipFacts, Endpoint, Platform, Root
from emulator.platforms.reader import PA_BITS, Complaints, Keys, chip_names, merge, parse_toml, read_marks, read_toml
from emulator.units import GIB, KIB, MIB, TIB, format_size

HERE = Path(__file__).resolve().parent
CHIPS_FILE = "chips.toml"
SUFFIX = ".toml"

BANK_STEP = 4 * MIB  # memory of a domain that is not running is given out in such pieces
MEMORY_LIMIT = 1 << PA_BITS
MAX_SOCKETS = 64
MAX_NODES = 64
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
CHIP_OWN = ("cores", "strands", "clock", "page_sizes")  # facts of emulator.chips, marked in chips.toml
SERVER_FACTS = ("uname", "sockets", "cores_per_chip", "clock_mhz", "max_domains", "physical_domains", "firmware",
                "memory", "io", "channels")
ALWAYS_MARKED = {"uname", "sockets", "max_domains", "memory", "io"}


# -- chips

@cache
def chip_facts() -> dict[str, ChipFacts]:
    """What servers inherit from their chip, by the chip's name."""
    complaints = Complaints(CHIPS_FILE)
    top = Keys(read_toml(HERE / CHIPS_FILE, CHIPS_FILE), "", complaints)
    facts = {name: _chip(top.within(name), name) for name in chip_names()}
    top.close()
    complaints.raise_any()
    return facts


def _chip(keys: Keys, name: str) -> ChipFacts:
    memory = keys.within("memory")
    facts = ChipFacts(
        chip=name,
        server=keys.text("server", "the server meant by the chip's name"),
        crypto=keys.words("crypto", ("mau", "cwq")),
        caches=tuple(_cache(item) for item in keys.each("caches")),
        channels=_channels(keys.within("channels")),
        firmware=_firmware(keys),
        node_stride_bytes=memory.size("node_stride", GIB, MEMORY_LIMIT, GIB),
        reserved=memory.sizes("reserved", 512 * KIB, 64 * GIB, 512 * KIB),
        marks=read_marks(keys, marked := {*CHIP_OWN, "crypto", "caches", "channels", "firmware", "memory"}, marked),
    )
    memory.close()
    keys.close()
    return facts


def _cache(keys: Keys) -> Cache:
    made = Cache(
        level=keys.number("level", 1, 4),
        kind=keys.choice("kind", ("instruction", "data", "unified")),
        size_bytes=keys.size("size", KIB, GIB, KIB),
        cores=keys.number("cores", 0, 64),
    )
    keys.close()
    return made


def _channels(keys: Keys) -> ChannelLimits:
    made = ChannelLimits(
        per_domain=keys.number("per_domain", 1, 1 << 20),
        per_domain_new=keys.number("per_domain_new", 1, 1 << 20) if keys.has("per_domain_new") else None,
        total=keys.number("total", 1, 1 << 24) if keys.has("total") else None,
    )
    keys.close()
    if made.total is not None and made.total < made.per_domain:
        keys.wrong("total", f"{made.total} is less than per_domain, {made.per_domain}")
    return made


def _firmware(keys: Keys, default: str | None = None) -> str:
    allowed = 'a version such as "9.2.1" or "XCP 2240"'
    version = keys.text("firmware", allowed, default)
    if version != "?" and re.fullmatch(r"[0-9]+(\.[0-9]+)+(\.[a-z])?|XCP [0-9]{4}", version) is None:
        keys.wrong("firmware", f"{version!r} is not allowed: {allowed}")
    return version


# -- servers

def load_platform(path: Path) -> Platform:
    """The server that a file describes. Raises PlatformFileError, OSError."""
    return _make(read_toml(path, str(path)), str(path), path.name.removesuffix(SUFFIX).lower(), strict=False)


def parse_platform(text: str, name: str) -> Platform:
    """The server that a file's text describes; `name` is the file's, without suffix. Raises PlatformFileError."""
    origin = f"{name}{SUFFIX}"
    return _make(parse_toml(text, origin), origin, name.lower(), strict=False)


@cache
def _own(name: str) -> Platform:
    return _make(_own_tables(name), f"{name}{SUFFIX}", name, strict=True)


@cache
def _own_tables(name: str) -> dict[str, Any]:
    return read_toml(HERE / f"{name}{SUFFIX}", f"{name}{SUFFIX}")


@cache
def own_names() -> tuple[str, ...]:
    """Names of the catalogue's servers."""
    return tuple(sorted(path.stem for path in HERE.glob(f"*{SUFFIX}") if path.name != CHIPS_FILE))


class Catalogue(Mapping[str, Platform]):
    """The servers that come with the package, oldest chip and smallest server first. A file is read when asked for."""

    def __getitem__(self, name: str) -> Platform:
        if not isinstance(name, str) or name not in own_names():
            raise KeyError(name)
        return _own(name)

    def __contains__(self, name: object) -> bool:
        return name in own_names()

    def __iter__(self) -> Iterator[str]:
        order = chip_names()
        rows = [_own(name) for name in own_names()]
        rows.sort(key=lambda row: (order.index(row.chip), row.sockets, row.cores, row.name))
        return iter([row.name for row in rows])

    def __len__(self) -> int:
        return len(own_names())


def _on_base(tables: dict[str, Any], origin: str) -> dict[str, Any]:
    """The tables laid over those of the catalogue's server that `base` names."""
    if "base" not in tables:
        return tables
    complaints = Complaints(origin)
    base = _own_tables(Keys(tables, "", complaints).choice("base", own_names()))
    complaints.raise_any()
    marks = {mark: [key for key in keys if key not in tables] for mark, keys in base.get("marks", {}).items()}
    under = {**base, "marks": marks}
    for table, one, other in (("memory", "maximum", "bank"), ("io", "roots", "root")):
        given = tables.get(table)
        for key, rival in ((one, other), (other, one)):
            if isinstance(given, dict) and key in given and isinstance(under.get(table), dict):
                under[table] = {k: v for k, v in under[table].items() if k != rival}
    merged = merge(under, {key: value for key, value in tables.items() if key != "base"})
    return merged


def _make(tables: dict[str, Any], origin: str, stem: str, *, strict: bool) -> Platform:
    complaints = Complaints(origin)
    own_keys = set(tables)
    keys = Keys(_on_base(tables, origin), "", complaints)
    required = ALWAYS_MARKED | own_keys & set(SERVER_FACTS) if strict else set()
    chip = find_chip(keys.choice("chip", chip_names()))
    facts = chip_facts()[chip.name]
    sockets = keys.number("sockets", 1, MAX_SOCKETS)
    reserved, banks = _memory(keys.within("memory"), facts, sockets)
    platform = Platform(
        name=_name(keys, stem),
        title=keys.text("title", "the server's name for people", None),
        uname=keys.text("uname", "what `uname -i` prints", None),
        chip=chip.name,
        sockets=sockets,
        cores_per_chip=keys.number("cores_per_chip", 1, chip.cores, chip.cores),
        clock_hz=keys.number("clock_mhz", 100, 10_000, chip.clock_hz // 1_000_000) * 1_000_000,
        max_domains=keys.number("max_domains", 1, 256),
        physical_domains=keys.number("physical_domains", 1, 16, 1),
        banks=banks,
        reserved=reserved,
        crypto=facts.crypto,
        channels=_channels(keys.within("channels")) if keys.has("channels") else facts.channels,
        roots=_roots(keys.within("io")),
        firmware=_firmware(keys, facts.firmware),
        caches=facts.caches,
        marks=read_marks(keys, set(SERVER_FACTS), required),
        origin=origin,
    )
    keys.close()
    complaints.raise_any()
    return platform


def _name(keys: Keys, stem: str) -> str:
    name = keys.text("name", "the server's name", stem)
    if NAME.fullmatch(name) is None:
        keys.wrong("name", f"{name!r} is not allowed: small letters, digits, and . + - behind the first")
    return name


# -- memory

def _memory(keys: Keys, facts: ChipFacts, sockets: int) -> tuple[tuple[int, ...], tuple[Bank, ...]]:
    reserved = facts.reserved
    if keys.has("reserved"):
        reserved = keys.sizes("reserved", 512 * KIB, 64 * GIB, 512 * KIB)
    if keys.has("bank") == keys.has("maximum"):
        keys.wrong("maximum", "one of `maximum` (the size of all memory) and [[memory.bank]] (each bank) must be there")
        banks: tuple[Bank, ...] = ()
    elif keys.has("bank"):
        banks = tuple(sorted(_bank(item, sockets) for item in keys.each("bank")))
        _check_banks(keys, banks)
    else:
        banks = _even_banks(keys, facts, sockets)
    keys.close()
    for node in sorted({bank.node for bank in banks}):
        first = min(bank for bank in banks if bank.node == node)
        if sum(reserved) >= first.size_bytes:
            keys.wrong("reserved", f"{format_size(sum(reserved))} do not fit the first bank of node {node}, which has "
                       f"{format_size(first.size_bytes)}: at most {format_size(first.size_bytes - BANK_STEP)}")
    return reserved, banks


def _even_banks(keys: Keys, facts: ChipFacts, sockets: int) -> tuple[Bank, ...]:
    nodes = keys.number("nodes", 1, MAX_NODES, sockets)
    maximum = keys.size("maximum", GIB, 64 * TIB, BANK_STEP)
    stride = facts.node_stride_bytes
    if keys.has("node_stride"):
        stride = keys.size("node_stride", GIB, MEMORY_LIMIT, GIB)
    size = maximum // nodes
    if size * nodes != maximum or size % BANK_STEP:
        keys.wrong("maximum", f"{format_size(maximum)} cannot be cut into {nodes} equal nodes: a multiple of "
                   f"{format_size(nodes * BANK_STEP)}, or [[memory.bank]] for each bank")
    if nodes > 1 and size > stride:
        keys.wrong("node_stride", f"{format_size(stride)} is less than a node's memory, {format_size(size)}")
    if (nodes - 1) * stride + size > MEMORY_LIMIT:
        keys.wrong("node_stride", f"node {nodes - 1} would end above physical address {MEMORY_LIMIT:#x}")
    return tuple(Bank(node * stride, size, node) for node in range(nodes))


def _bank(keys: Keys, sockets: int) -> Bank:
    bank = Bank(
        keys.number("pa", 0, MEMORY_LIMIT - 1),
        keys.size("size", BANK_STEP, 64 * TIB, BANK_STEP),
        keys.number("node", 0, sockets - 1),
    )
    if bank.pa % BANK_STEP:
        keys.wrong("pa", f"{bank.pa:#x} is not allowed: a multiple of {BANK_STEP:#x} (4M)")
    if bank.end > MEMORY_LIMIT:
        keys.wrong("size", f"the bank ends above physical address {MEMORY_LIMIT:#x}")
    keys.close()
    return bank


def _check_banks(keys: Keys, banks: tuple[Bank, ...]) -> None:
    if not banks:
        keys.wrong("bank", "there must be at least one")
    for low, high in pairwise(banks):
        if low.end > high.pa:
            keys.wrong("bank", f"the banks at {low.pa:#x} and {high.pa:#x} overlap: the second must begin at "
                       f"{low.end:#x} or above")


# -- input and output

def _roots(keys: Keys) -> tuple[Root, ...]:
    if keys.has("root") and keys.has("roots"):
        keys.wrong("root", "one of [io.roots] (all alike) and [[io.root]] (each root)")
    roots = [_root(item, n) for n, item in enumerate(keys.each("root"))] if keys.has("root") else []
    if keys.has("roots"):
        roots = _even_roots(keys.within("roots"))
    roots += [Root(device, f"niu_{n}", "NIU") for n, device in enumerate(keys.words("niu"))]
    for item in keys.each("onboard"):
        where = item.choice("root", [root.name for root in roots]) if roots else item.text("root", "a root's name")
        device = Endpoint(item.text("name", 'a name such as "/SYS/MB/NET0"'), onboard=True)
        roots = [Root(r.device, r.name, r.kind, (*r.endpoints, device)) if r.name == where else r for r in roots]
        item.close()
    keys.close()
    for what, names in (("device", [r.device for r in roots]), ("name", [r.name for r in roots]),
                        ("slot or device", [e.name for r in roots for e in r.endpoints])):
        for name in sorted({name for name in names if names.count(name) > 1}):
            keys.wrong("roots" if keys.has("roots") else "root", f"{what} {name!r} stands there more than once")
    return tuple(roots)


def _root(keys: Keys, number: int) -> Root:
    root = Root(
        keys.text("device", 'a device path such as "pci@300"'),
        keys.text("name", "a pseudonym", f"pci_{number}"),
        "BUS",
        tuple(Endpoint(slot, onboard=False) for slot in keys.words("slots")),
    )
    keys.close()
    return root


def _even_roots(keys: Keys) -> list[Root]:
    """`count` roots from unit address `first` in steps of `step`; `slots` slots spread over them in order."""
    first = keys.number("first", 0, 0xFFFF)
    step = keys.number("step", 1, 0x1000, 1)
    count = keys.number("count", 1, 256)
    slots = keys.number("slots", 0, 1024)
    pattern = keys.text("slot", "a name with {} for the number", "/SYS/MB/PCIE{}")
    if pattern.count("{}") != 1 or pattern.replace("{}", "").count("{"):
        keys.wrong("slot", f"{pattern!r} is not allowed: a name with {{}} once, for the number")
        pattern = "{}"
    number = keys.number("first_slot", 0, 1, 1)
    keys.close()
    names = [pattern.replace("{}", str(number + i)) for i in range(slots)]
    return [Root(f"pci@{first + i * step:x}", f"pci_{i}", "BUS",
                 tuple(Endpoint(name, onboard=False) for k, name in enumerate(names) if k * count // slots == i))
            for i in range(count)]


