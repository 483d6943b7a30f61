"""Bytes to machine description: the inverse of `encode`, for bytes that may come from anywhere.

Everything is checked before it is used, and the only exception is MdescError. What the specification leaves to the
writer is accepted: NOOP elements; names and data in any order, shared, overlapping or unused. What it forbids is
refused.
"""

from __future__ import annotations

from itertools import pairwise

from emulator.mdesc.encode import (
    ALIGN,
    ELEMENT,
    HEADER,
    LIST_END,
    NODE,
    NODE_END,
    NOOP,
    PROP_ARC,
    PROP_DATA,
    PROP_STR,
    PROP_VAL,
    TRANSPORT_VERSION,
)
from emulator.mdesc.model import Arc, MachineDescription, MdescError, Node, Property, Value

MAX_BYTES = 1 << 26
"""Largest description that is looked at; the core takes no larger one either."""
_OVERLAP = 4  # a few bytes of data block must not unfold to gigabytes of overlapping properties


def decode(blob: bytes | bytearray | memoryview) -> MachineDescription:
    """The machine description in these bytes, of which it must fill all. Raises MdescError."""
    return _Decoder(bytes(blob)).graph()


class _Decoder:
    def __init__(self, blob: bytes) -> None:
        if len(blob) > MAX_BYTES:
            raise MdescError(f"more than {MAX_BYTES >> 20} MiB")
        if len(blob) < HEADER.size:
            raise MdescError(f"{len(blob)} bytes are less than a header")
        version, nodes, names, data = HEADER.unpack_from(blob)
        if version != TRANSPORT_VERSION:
            raise MdescError(f"transport version {version >> 16}.{version & 0xFFFF} is not 1.0")
        if (nodes | names | data) % ALIGN:
            raise MdescError(f"a block size is no multiple of {ALIGN}: {nodes}, {names}, {data}")
        if HEADER.size + nodes + names + data != len(blob):
            raise MdescError(f"{len(blob)} bytes, but the header says {HEADER.size + nodes + names + data}")
        at = HEADER.size
        self.elements = list(ELEMENT.iter_unpack(blob[at : at + nodes]))
        self.names = blob[at + nodes : at + nodes + names]
        self.data = blob[at + nodes + names :]
        self.budget = _OVERLAP * len(self.data)
        self._name_at: dict[tuple[int, int], str] = {}
        self._data_at: dict[tuple[int, int], bytes] = {}

    def name(self, length: int, offset: int) -> str:
        """A name of the name block."""
        key = (length, offset)
        if key not in self._name_at:
            raw = self.names[offset : offset + length + 1]
            if length == 0 or len(raw) != length + 1 or raw.find(0) != length:
                raise MdescError(f"no name of {length} bytes at {offset:#x} of the name block")
            self._name_at[key] = raw[:-1].decode("utf-8", "surrogateescape")
        return self._name_at[key]

    def bytes_at(self, place: int) -> bytes:
        """Bytes of the data block; `place` is length and offset as an element has them."""
        length, offset = key = (place >> 32, place & 0xFFFF_FFFF)
        if key not in self._data_at:
            if offset + length > len(self.data):
                raise MdescError(f"{length} bytes at {offset:#x} are not in the data block")
            self.budget -= length
            if self.budget < 0:
                raise MdescError("the properties overlap too much")
            self._data_at[key] = self.data[offset : offset + length]
        return self._data_at[key]

    def text(self, place: int) -> str:
        """A string of the data block."""
        raw = self.bytes_at(place)
        if not raw or raw.find(0) != len(raw) - 1:
            raise MdescError("a string property is not one NUL-terminated string")
        return raw[:-1].decode("utf-8", "surrogateescape")

    def starts(self) -> list[int]:
        """Element index of every node, and last that of LIST_END: along the chain of NODE values."""
        chain = [0]
        while True:
            at = chain[-1]
            if at >= len(self.elements):
                raise MdescError("no LIST_END")
            tag, _, _, _, following = self.elements[at]
            if tag == LIST_END and at:
                break
            if tag != NODE:
                raise MdescError(f"element {at} is not a NODE")
            if following <= at + 1:
                raise MdescError(f"the node at element {at} does not lead on")
            chain.append(following)
        if any(element != (LIST_END, 0, 0, 0, 0) for element in self.elements[chain[-1] :]):
            raise MdescError("something stands behind LIST_END")
        return chain

    def graph(self) -> MachineDescription:
        """All nodes."""
        starts = self.starts()
        index_of = {start: index for index, start in enumerate(starts[:-1])}
        nodes = [self.node(start, end, index_of) for start, end in pairwise(starts)]
        if nodes[0].name != "root":
            raise MdescError(f"the first node is {nodes[0].name!r} and not root")
        return MachineDescription(tuple(nodes))

    def node(self, start: int, end: int, index_of: dict[int, int]) -> Node:
        """The node whose elements are [start, end): NODE, properties, NODE_END, in between and behind NOOPs."""
        items: list[Property | Arc] = []
        ended = False
        for at in range(start + 1, end):
            tag, length, reserved, offset, value = self.elements[at]
            if reserved:
                raise MdescError(f"element {at}: reserved bytes are not 0")
            if tag == NOOP:
                continue
            if ended:
                raise MdescError(f"element {at} stands between two nodes")
            if tag == NODE_END:
                ended = True
            elif tag == PROP_ARC:
                if value not in index_of:
                    raise MdescError(f"element {at}: an arc to element {value:#x}, which is no node")
                items.append(Arc(self.name(length, offset), index_of[value]))
            else:
                items.append(Property(self.name(length, offset), self.value(at, tag, value)))
        if not ended:
            raise MdescError(f"the node at element {start} has no end")
        if self.elements[start][2]:
            raise MdescError(f"element {start}: reserved bytes are not 0")
        return Node(self.name(self.elements[start][1], self.elements[start][3]), tuple(items))

    def value(self, at: int, tag: int, value: int) -> Value:
        """Value of a property."""
        if tag == PROP_VAL:
            return int(value)
        if tag == PROP_STR:
            return self.text(value)
        if tag == PROP_DATA:
            return self.bytes_at(value)
        raise MdescError(f"element {at}: unknown tag {tag:#x}")
