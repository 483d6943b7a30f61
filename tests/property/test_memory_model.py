"""Guest memory through the Python API against a model: a bytearray and a set of dirty pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emulator import Machine

PAGE = 8192
SIZE = 64 * PAGE

# Places near page borders find more than places anywhere.
addresses = st.one_of(
    st.integers(0, SIZE - 1),
    st.builds(lambda page, off: max(0, min(SIZE - 1, page * PAGE + off)), st.integers(0, 64), st.integers(-9, 9)),
)
writes = st.tuples(st.just("write"), addresses, st.binary(max_size=3 * PAGE))
reads = st.tuples(st.just("read"), addresses, st.integers(0, 3 * PAGE))
harvests = st.tuples(st.just("harvest"), st.just(0), st.just(0))


@given(st.lists(st.one_of(writes, reads, harvests), max_size=30))
def test_memory_is_a_bytearray_with_dirty_pages(steps: list[tuple[str, int, bytes | int]]) -> None:
    model, dirty = bytearray(SIZE), set[int]()
    with Machine(SIZE, deterministic=True) as machine:
        machine.dirty_harvest()
        for what, ra, operand in steps:
            if isinstance(operand, bytes):
                data = operand[: SIZE - ra]
                machine.memory.write(ra, data)
                model[ra : ra + len(data)] = data
                dirty |= {(ra + i) // PAGE for i in range(0, len(data), PAGE)}
                dirty |= {(ra + len(data) - 1) // PAGE} if data else set()
            elif what == "read":
                length = min(operand, SIZE - ra)
                assert machine.memory.read(ra, length) == model[ra : ra + length]
            else:
                assert machine.dirty_harvest() == sorted(dirty)
                dirty.clear()
        assert machine.dirty_harvest() == sorted(dirty)
        assert machine.memory.read(0, SIZE) == model
