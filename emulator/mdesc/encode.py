"""Machine description to bytes, transport version 1.0.

::

    header      u32 version 0x00010000, u32 bytes of the node, name and data block      all big-endian
    node block  elements of 16 bytes: NODE, properties and arcs, NODE_END, ... LIST_END
    name block  NUL-terminated names, each once
    data block  strings and bytes, each once; bytes at multiples of 8

    element     u8 tag, u8 length of the name, u16 0, u32 offset of the name, then
                u64 value (NODE: index of the next NODE; PROP_ARC: of its target), or u32 length, u32 offset (STR, DATA)

Every block is padded with zeros to a multiple of 16. Linux compares names by their offsets and reads arrays in the
data block with 64-bit loads, hence "once" and "multiples of 8". Source: UltraSPARC Virtual Machine Specification 3.0,
8.3 to 8.6.
"""

from __future__ import annotations

import struct

from emulator.mdesc.model import Arc, MachineDescription, MdescError, Node, Property

TRANSPORT_VERSION = 0x0001_0000
HEADER = struct.Struct(">IIII")
ELEMENT = struct.Struct(">BBHIQ")
ALIGN = 16
DATA_ALIGN = 8
MAX_NAME = 255
MAX_BLOCK = 1 << 32

LIST_END, NODE, NODE_END, NOOP = 0x00, ord("N"), ord("E"), ord(" ")
PROP_ARC, PROP_VAL, PROP_STR, PROP_DATA = ord("a"), ord("v"), ord("s"), ord("d")


def _padded(block: bytearray, align: int) -> bytearray:
    return block + bytes(-len(block) % align)


class _Blocks:
    """The name and data block under construction."""

    def __init__(self) -> None:
        self.names = bytearray()
        self.data = bytearray()
        self._name_at: dict[str, tuple[int, int]] = {}
        self._data_at: dict[bytes, int] = {}

    def name(self, name: str) -> tuple[int, int]:
        """Length and offset of a name."""
        if name not in self._name_at:
            raw = _utf8(name)
            if not 1 <= len(raw) <= MAX_NAME:
                raise MdescError(f"a name has 1 to {MAX_NAME} bytes, not {len(raw)}: {name[:20]!r}")
            self._name_at[name] = (len(raw), len(self.names))
            self.names += raw + b"\0"
        return self._name_at[name]

    def place(self, raw: bytes) -> int:
        """Length and offset of data, as the value of an element."""
        if raw not in self._data_at:
            self.data = _padded(self.data, DATA_ALIGN)
            self._data_at[raw] = len(self.data)
            self.data += raw
        return len(raw) << 32 | self._data_at[raw]


def _utf8(text: str) -> bytes:
    """Bytes of a name or string. What a decoder met that is not UTF-8 comes out as it was."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise MdescError(f"a string that has no UTF-8 form: {text!r}") from None
    if b"\0" in raw:
        raise MdescError(f"a string holds a NUL: {text!r}")
    return raw


def encode(md: MachineDescription) -> bytes:
    """The bytes of a machine description, as MACH_DESC gives them. The same graph gives the same bytes.

    Raises MdescError for a graph that the format cannot hold: no node or a first one that is not ``root``, an arc to
    no node, a number that has more than 64 bits, an empty name or one of more than 255 bytes.
    """
    if not md.nodes or md.nodes[0].name != "root":
        raise MdescError("the first node must be root")
    starts = [0]
    for node in md.nodes:
        starts.append(starts[-1] + len(node.items) + 2)
    blocks = _Blocks()
    elements = bytearray()
    for node, following in zip(md.nodes, starts[1:], strict=True):
        elements += ELEMENT.pack(NODE, blocks.name(node.name)[0], 0, blocks.name(node.name)[1], following)
        elements += b"".join(_element(item, node, starts, blocks) for item in node.items)
        elements += ELEMENT.pack(NODE_END, 0, 0, 0, 0)
    elements += ELEMENT.pack(LIST_END, 0, 0, 0, 0)
    names, data = _padded(blocks.names, ALIGN), _padded(blocks.data, ALIGN)
    if max(len(elements), len(names), len(data)) >= MAX_BLOCK:
        raise MdescError("a block of the machine description exceeds 4 GiB")
    return HEADER.pack(TRANSPORT_VERSION, len(elements), len(names), len(data)) + elements + names + data


def _element(item: Property | Arc, node: Node, starts: list[int], blocks: _Blocks) -> bytes:
    length, offset = blocks.name(item.name)
    if isinstance(item, Arc):
        if not 0 <= item.target < len(starts) - 1:
            raise MdescError(f"{node.name}: an arc to node {item.target}, which there is not")
        return ELEMENT.pack(PROP_ARC, length, 0, offset, starts[item.target])
    value = item.value
    if isinstance(value, int):
        if not 0 <= value < 1 << 64:
            raise MdescError(f"{node.name}: {item.name} = {value:#x} is not a number of 64 bits")
        return ELEMENT.pack(PROP_VAL, length, 0, offset, value)
    if isinstance(value, str):
        return ELEMENT.pack(PROP_STR, length, 0, offset, blocks.place(_utf8(value) + b"\0"))
    return ELEMENT.pack(PROP_DATA, length, 0, offset, blocks.place(value))
