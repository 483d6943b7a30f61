"""Trap names."""

from __future__ import annotations

import pytest

from emulator.traps import trap_name


@pytest.mark.parametrize(
    ("trap_type", "name"),
    [
        (0x010, "illegal_instruction"), (0x024, "clean_window"), (0x027, "clean_window"), (0x028, "division_by_zero"),
        (0x041, "interrupt_level_1"), (0x04F, "interrupt_level_15"), (0x068, "fast_data_access_MMU_miss"),
        (0x06F, "fast_data_access_protection"), (0x080, "spill_0_normal"), (0x0BC, "spill_7_other"),
        (0x0C4, "fill_1_normal"), (0x100, "trap_instruction 0x00"), (0x17F, "trap_instruction 0x7f"),
        (0x180, "htrap_instruction 0x00"), (0x050, "reserved"), (0x1FF, "htrap_instruction 0x7f"), (0x200, "reserved"),
    ],
)  # fmt: skip
def test_names(trap_type: int, name: str) -> None:
    assert trap_name(trap_type) == name
