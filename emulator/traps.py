"""Names of trap types (UltraSPARC Architecture 2007, table 12-2; sun4v numbering)."""

from __future__ import annotations

_SINGLE = {
    0x001: "power_on_reset",
    0x002: "watchdog_reset",
    0x003: "externally_initiated_reset",
    0x004: "software_initiated_reset",
    0x005: "RED_state_exception",
    0x008: "instruction_access_exception",
    0x009: "instruction_access_MMU_miss",
    0x00A: "instruction_access_error",
    0x010: "illegal_instruction",
    0x011: "privileged_opcode",
    0x01A: "memory_corruption_detected",
    0x020: "fp_disabled",
    0x021: "fp_exception_ieee_754",
    0x022: "fp_exception_other",
    0x023: "tag_overflow",
    0x028: "division_by_zero",
    0x030: "data_access_exception",
    0x031: "data_access_MMU_miss",
    0x032: "data_access_error",
    0x033: "data_access_protection",
    0x034: "mem_address_not_aligned",
    0x035: "LDDF_mem_address_not_aligned",
    0x036: "STDF_mem_address_not_aligned",
    0x037: "privileged_action",
    0x038: "LDQF_mem_address_not_aligned",
    0x039: "STQF_mem_address_not_aligned",
    0x061: "PA_watchpoint",
    0x062: "VA_watchpoint",
    0x074: "control_transfer_instruction",
    0x07C: "cpu_mondo",
    0x07D: "dev_mondo",
    0x07E: "resumable_error",
    0x07F: "nonresumable_error",
}

# first, past the last, step between two names, name ({n}: which of them)
_RANGES = (
    (0x024, 0x028, 4, "clean_window"),
    (0x041, 0x050, 1, "interrupt_level_{n1}"),
    (0x064, 0x068, 4, "fast_instruction_access_MMU_miss"),
    (0x068, 0x06C, 4, "fast_data_access_MMU_miss"),
    (0x06C, 0x070, 4, "fast_data_access_protection"),
    (0x080, 0x0A0, 4, "spill_{n}_normal"),
    (0x0A0, 0x0C0, 4, "spill_{n}_other"),
    (0x0C0, 0x0E0, 4, "fill_{n}_normal"),
    (0x0E0, 0x100, 4, "fill_{n}_other"),
    (0x100, 0x180, 1, "trap_instruction {n:#04x}"),
    (0x180, 0x200, 1, "htrap_instruction {n:#04x}"),
)


def trap_name(trap_type: int) -> str:
    """Name of a trap type; "reserved" where the architecture has none."""
    if trap_type in _SINGLE:
        return _SINGLE[trap_type]
    for first, end, step, name in _RANGES:
        if first <= trap_type < end:
            number = (trap_type - first) // step
            return name.format(n=number, n1=number + 1)
    return "reserved"
