"""Linux in two blocks of memory that do not begin at real address 0."""

from __future__ import annotations

from guest_console import GuestConsole
from linux_guest import CRYPTO, Linux

from emulator import Machine

MIB = 1 << 20
BLOCKS = ((0x1000_0000, 0x2000_0000, 160 * MIB), (0x8000_0000, 0x1_0000_0000, 96 * MIB))


def test_linux_in_two_blocks_high_up(linux: Linux) -> None:
    """It finds its memory, its RAM disk (whose address counts from the lowest memory), and uses both blocks."""
    with Machine(blocks=BLOCKS, strands=2, max_strands=4, deterministic=True) as machine:
        machine.power_on(linux.program(CRYPTO["none"]))
        guest = GuestConsole(machine)
        guest.shell()
        assert guest.command("grep 'System RAM' /proc/iomem").split() == [
            "10020000-19ffffff", ":", "System", "RAM", "80000000-85ffffff", ":", "System", "RAM",
        ]  # fmt: skip
        assert "ncpus active\t: 2" in guest.command("cat /proc/cpuinfo")
        machine.dirty_harvest()
        guest.command("head -c 110000000 /dev/zero > /tmp/fill")
        pages = machine.dirty_harvest()
        for ra, _, size in BLOCKS:
            assert sum(ra <= page * 8192 < ra + size for page in pages) > 1000
