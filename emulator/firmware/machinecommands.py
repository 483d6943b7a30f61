"""Commands that show the machine, test it and wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.forth import throw
from emulator.firmware.host import Facts
from emulator.firmware.treecommands import find_node

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("System")
GIB_VERSION = (4, 34)
"""The first version that counts memory in GB (inferred from transcripts)."""
SLEEP_LIMIT_MS = 3_600_000
ASI_REAL = (0x14, 0x15)
ASI_VIRTUAL = (0x80, 0x4, 0x2)


def ether_text(mac: bytes) -> str:
    """An Ethernet address as firmware writes it: no leading zeros."""
    return ":".join(f"{byte:x}" for byte in mac)


def memory_text(facts: Facts) -> str:
    """The banner's word on memory."""
    numbers = [int(part) for part in facts.version.split(".")[:2] if part.isdigit()]
    if tuple(numbers) >= GIB_VERSION:
        return f"{facts.memory_bytes / (1 << 30):.4f} GB memory available"
    return f"{facts.memory_bytes >> 20} MB memory available"


def banner_text(facts: Facts) -> str:
    """The banner, with the empty lines around it."""
    return (
        f"\n{facts.banner_name}, No Keyboard\n{facts.copyright}\n"
        f"OpenBoot {facts.version}, {memory_text(facts)}, Serial #{facts.serial_number}.\n"
        f"Ethernet address {ether_text(facts.mac)}, Host ID: {facts.hostid:08x}.\n\n\n\n"
    )


@commands("banner", "( -- )", help="Show the banner")
def _banner(prompt: Prompt) -> None:
    variables = prompt.host.variables
    prompt.banner_shown = True
    if variables.flag("oem-banner?"):
        prompt.forth.emit(f"\n\n{variables.get('oem-banner')}\n\n\n\n\n")
    else:
        prompt.forth.emit(banner_text(prompt.host.facts()))


@commands("suppress-banner", "( -- )", help="In nvramrc: show no banner at this start")
def _suppress_banner(prompt: Prompt) -> None:
    prompt.banner_shown = True


@commands(".version", "( -- )", help="Show the version of firmware")
def _version(prompt: Prompt) -> None:
    facts = prompt.host.facts()
    prompt.forth.emit(f"Release {facts.version} created {facts.created}\nOBP {facts.version} {facts.created}\n")


@commands(".speed", "( -- )", help="Show the clock frequency of the processor")
def _speed(prompt: Prompt) -> None:
    prompt.forth.emit(f"CPU  Speed : {prompt.host.facts().clock_hz / 1e6:07.2f}MHz\n")


@commands(".enet-addr", "( -- )", help="Show the Ethernet address")
def _enet_addr(prompt: Prompt) -> None:
    prompt.forth.emit(ether_text(prompt.host.facts().mac))


@commands(".idprom", "( -- )", help="Show format, addresses and serial number of the ID PROM")
def _idprom(prompt: Prompt) -> None:
    idprom = prompt.host.tree.root.properties.get("idprom", b"")
    if len(idprom) < 16:
        raise throw.abort("The IDPROM contents are invalid")

    def shown(start: int, count: int) -> str:
        return "".join(f"{byte:x} " for byte in idprom[start : start + count])

    prompt.forth.emit(f"Format/Type: {shown(0, 2)}Ethernet: {shown(2, 6)}Date: {shown(8, 4)}\n")
    prompt.forth.emit(f"Serial: {shown(12, 3)}Checksum: {shown(15, 1)}")


@commands("hostid", "( -- n )", help="The host id")
def _hostid(prompt: Prompt) -> None:
    prompt.forth.push(prompt.host.facts().hostid)


@commands("ms", "( n -- )", help="Wait")
def _ms(prompt: Prompt) -> None:
    prompt.sleep(min(prompt.forth.pop(), SLEEP_LIMIT_MS))


@commands("get-msecs", "( -- n )", help="Milliseconds since the machine started")
def _get_msecs(prompt: Prompt) -> None:
    prompt.forth.push(prompt.host.milliseconds())


@commands("test", "( -- ) device", help="Run a device's self-test")
def _test(prompt: Prompt) -> None:
    path = prompt.forth.parse_word()
    if not path:
        raise throw.abort("Usage: test device-specifier")
    node = find_node(prompt, path)
    prompt.forth.emit(f"Error: {node.path} device has no selftest method\n")


@commands("test-all", "( -- ) [device]", help="Test all devices that have a self-test")
def _test_all(prompt: Prompt) -> None:
    find_node(prompt, prompt.forth.parse_word() or "/")


def _no_such_bus(prompt: Prompt) -> None:
    """Virtual devices have no bus behind them that could be probed."""


for _name, _what in (
    ("probe-all", "all buses"), ("probe-scsi", "SCSI devices"), ("probe-scsi-all", "SCSI devices on all adapters"),
    ("probe-ide", "IDE devices"), ("probe-fcal-all", "Fibre Channel devices"),
):  # fmt: skip
    commands(_name, "( -- )", help=f"Look for {_what}: a domain of virtual devices has none")(_no_such_bus)


@commands("map?", "( vaddr -- )", help="Show what a virtual address is mapped to")
def _map(prompt: Prompt) -> None:
    address = prompt.forth.pop()
    real = prompt.host.translate(address)
    prompt.forth.emit(f"VA:{address:x} ")
    prompt.forth.emit(f"RA:{real:x}\n" if real is not None else "Invalid\n")


def _space(prompt: Prompt, asi: int) -> bool:
    """Does an ASI address real memory? Raises ThrowError for one that is not supported."""
    if asi not in (*ASI_REAL, *ASI_VIRTUAL):
        raise throw.trap("Data Access Exception")
    return asi in ASI_REAL


def _space_fetch(prompt: Prompt, size: int) -> None:
    address, asi = prompt.forth.pops(2)
    real = _space(prompt, asi)
    if address % size:
        raise throw.trap(throw.MISALIGNED)
    data = prompt.host.peek(address, size, real=real)
    if data is None:
        raise throw.trap(throw.DATA_MISS)
    prompt.forth.push(int.from_bytes(data, "big"))


def _space_store(prompt: Prompt, size: int) -> None:
    value, address, asi = prompt.forth.pops(3)
    real = _space(prompt, asi)
    if address % size:
        raise throw.trap(throw.MISALIGNED)
    data = (value & (1 << 8 * size) - 1).to_bytes(size, "big")
    if not prompt.host.poke(address, data, real=real):
        raise throw.trap(throw.DATA_MISS)


for _letter, _size in (("c", 1), ("w", 2), ("l", 4), ("x", 8)):
    commands(f"space{_letter}@", "( addr asi -- n )", help=f"Fetch {8 * _size} bits through an ASI")(
        lambda prompt, size=_size: _space_fetch(prompt, size)  # type: ignore[misc]
    )
    commands(f"space{_letter}!", "( n addr asi -- )", help=f"Store {8 * _size} bits through an ASI")(
        lambda prompt, size=_size: _space_store(prompt, size)  # type: ignore[misc]
    )
