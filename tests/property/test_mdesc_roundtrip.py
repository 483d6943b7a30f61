"""Any machine description survives its bytes, and any two differ where they differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mdesc_support import Reader

from emulator.chips import cpu_archs
from emulator.mdesc import (
    Arc,
    MachineDescription,
    MemorySegment,
    Node,
    Property,
    Resources,
    Vcpu,
    as_json,
    as_text,
    build,
    decode,
    diff,
    encode,
)
from emulator.platforms import PLATFORMS

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
NAMES = st.sampled_from(["id", "base", "type", "cfg-handle"]) | TEXT.filter(bool)
VALUES = st.integers(0, (1 << 64) - 1) | TEXT | st.binary(max_size=40)


@st.composite
def graphs(draw: st.DrawFn) -> MachineDescription:
    count = draw(st.integers(1, 8))
    arcs = st.builds(Arc, st.sampled_from(["fwd", "back"]) | NAMES, st.integers(0, count - 1))
    items = st.lists(st.builds(Property, NAMES, VALUES) | arcs, max_size=6).map(tuple)
    names = ["root", *draw(st.lists(st.sampled_from(["cpu", "cache", "virtual-device"]) | NAMES,
                                     min_size=count - 1, max_size=count - 1))]  # fmt: skip
    return MachineDescription(tuple(Node(name, draw(items)) for name in names))


@given(graphs())
def test_bytes_and_back(md: MachineDescription) -> None:
    blob = encode(md)
    assert decode(blob) == md
    assert encode(decode(blob)) == blob


@given(graphs())
def test_another_reader_sees_the_same(md: MachineDescription) -> None:
    """Names, kinds and arcs, read by element indexes as Linux does it."""
    reader = Reader(md)
    starts = list(reader.all_nodes())
    assert [reader.kind(at) for at in starts] == [node.name for node in md]
    for at, node in zip(starts, md, strict=True):
        assert [starts.index(target) for target in reader.arcs(at, "fwd")] == list(node.arcs("fwd"))
        arcs = {item.name for item in node.items if isinstance(item, Arc)}
        for name, value in node.properties.items():
            if name not in arcs:
                raw = value.encode() + b"\0" if isinstance(value, str) else value
                assert reader.prop(at, name) == raw


@given(graphs(), graphs())
def test_printing_and_comparing_take_any_graph(one: MachineDescription, other: MachineDescription) -> None:
    assert len(set(one.paths)) == len(one)
    assert as_text(one, back=True)
    assert as_json(one)
    assert diff(one, one) == ()
    changes, back = diff(one, other), diff(other, one)
    assert len(changes) == len(back)


@st.composite
def domains(draw: st.DrawFn) -> MachineDescription:
    server = draw(st.sampled_from(list(PLATFORMS.values())))
    strands = draw(st.lists(st.integers(0, server.strands - 1), min_size=1, max_size=20, unique=True))
    sizes = draw(st.lists(st.integers(1, 1 << 20), min_size=1, max_size=4))
    memory = tuple(MemorySegment(n << 36, 8192 * size) for n, size in enumerate(sizes))
    resources = Resources(
        vcpus=tuple(Vcpu(n, strand) for n, strand in enumerate(strands)),
        memory=memory,
        cpu_arch=draw(st.sampled_from(cpu_archs(server.chip))),
        generation=draw(st.integers(0, (1 << 64) - 1)),
    )
    return build(server, resources)


@given(domains())
def test_any_domain_has_whole_links_and_one_unit_of_a_kind_for_each_vcpu(md: MachineDescription) -> None:
    assert decode(encode(md)) == md
    for index, node in enumerate(md):
        assert all(index in md[target].arcs("back") for target in node.arcs("fwd"))
        assert len(set(node.arcs("fwd"))) == len(node.arcs("fwd"))
    for index in md.find("cpu"):
        units = [unit.strings("type")[0] for unit in md.linked(md[index], "exec-unit")]
        assert sorted(units) == ["fp", "ifetch", "integer"]
        assert len(md.linked(md[index], "socket", arc="back")) == 1
