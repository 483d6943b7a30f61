"""What a guest shall be: the specification that `guest.configure` takes (emulator/hvctl/protocol.md).

Everything here came from outside and is checked, without a look at the server: that it has the strands, the memory and
the files is the business of `emulator.server.server` and `emulator.server.frame`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from emulator.chips import CPU_ARCHS
from emulator.devices.guard import Guard
from emulator.devices.switch import MAX_VLAN
from emulator.fields import Fields
from emulator.server.errors import SpecError

PAGE_BYTES = 8192
MAX_ID = 255
MAX_VCPUS = 4096
MAX_BLOCKS = 1024
MAX_DEVICES = 512
MAX_CHANNEL = 4079
LEAST_MTU, MAX_MTU = 1500, 16000
MAX_NAME = 256
MAX_VALUE = 8192
MAC_BITS = 48
CPU_ARCH_NAMES = ("native", *CPU_ARCHS)
OPTIONS = ("ro", "slice", "excl")
PROTECTION = ("mac-nospoof", "restricted", "ip-nospoof", "dhcp-nospoof")
PERF_COUNTERS = ("global", "htstrand", "strand")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_M64 = (1 << 64) - 1


@dataclass(frozen=True)
class Block:
    """A piece of a guest's memory: real address, physical address, bytes."""

    ra: int
    pa: int
    size_bytes: int


@dataclass(frozen=True)
class Boot:
    """A kernel file of the host's that OpenBoot boots; empty `kernel`: what the variables say."""

    kernel: str = ""
    initrd: str = ""
    arguments: str = ""


@dataclass(frozen=True, kw_only=True)
class DiskPath:
    """One way to what is behind a disk: a channel, and a file. `online`: the service on that way is there."""

    channel: int
    backend: str = ""
    options: tuple[str, ...] = ()
    online: bool = True
    overlay: str | None = None
    copy_on_write: bool = False

    @property
    def read_only(self) -> bool:
        """Is the guest kept from writing?"""
        return "ro" in self.options


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A virtual disk. Several paths: a multipathing group."""

    name: str
    number: int
    paths: tuple[DiskPath, ...]
    timeout: int = 0


@dataclass(frozen=True, kw_only=True)
class Net:
    """A virtual network. `mtu` counts without header; MAC addresses are numbers. `pvlan`: (secondary VLAN, 1: isolated,
    0: community).
    """

    name: str
    number: int
    channel: int
    mac: int
    alt_macs: tuple[int, ...] = ()
    switch: str = ""
    pvid: int = 1
    vids: tuple[int, ...] = ()
    mtu: int = 1500
    maxbw_bps: int | None = None
    linkprop: str = ""
    online: bool = True
    capture: str | None = None
    pvlan: tuple[int, int] | None = None
    protection: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    allowed_dhcp_cids: tuple[str, ...] = ()
    cos: int = 0
    peers: tuple[tuple[int, int], ...] = ()
    """Links to other networks of the switch: a channel, and the MAC address of the other one."""

    def guard(self) -> Guard | None:
        """What its switch lets through of it. Raises ValueError for an address that is none."""
        macs = [mac.to_bytes(6, "big") for mac in (self.mac, *self.alt_macs)]
        return Guard.of(macs, self.protection, ips=self.allowed_ips, cids=self.allowed_dhcp_cids)


@dataclass(frozen=True, kw_only=True)
class GuestSpec:
    """What a guest shall be."""

    id: int
    name: str
    uuid: str
    mac: int
    hostid: int | None = None
    cpu_arch: str = "native"
    generation: int | None = None
    """The client's own number for this specification; only handed back (status)."""
    vcpus: tuple[tuple[int, int], ...]  # (virtual CPU, hardware strand), by ascending virtual CPU
    max_vcpus: int
    memory: tuple[Block, ...]  # by ascending real address
    crypto: tuple[int, ...] = ()  # cores
    perf_counters: tuple[str, ...] = ()
    extended_mapin: bool = False
    services_channel: int = 0
    variables: tuple[tuple[str, str], ...] = ()
    boot: Boot = field(default_factory=Boot)
    aliases: tuple[tuple[str, str], ...] = ()
    disks: tuple[Disk, ...] = ()
    nets: tuple[Net, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """All its memory."""
        return sum(block.size_bytes for block in self.memory)

    @property
    def control(self) -> bool:
        """The control domain: no program of its own runs in it."""
        return self.id == 0

    def but(self, **changes: Any) -> GuestSpec:
        """The same with some fields changed."""
        return replace(self, **changes)

    def plain(self) -> dict[str, Any]:
        """As plain data: what `parse_spec` takes."""
        data = asdict(self)
        data["vcpus"] = [list(pair) for pair in self.vcpus]
        data["memory"] = [[block.ra, block.pa, block.size_bytes] for block in self.memory]
        data["variables"], data["aliases"] = dict(self.variables), dict(self.aliases)
        data["console"] = {}
        for name in ("crypto", "perf_counters"):
            data[name] = list(data[name])
        for disk in data["disks"]:
            disk["paths"] = [path | {"options": list(path["options"])} for path in disk["paths"]]
        for net in data["nets"]:
            for name in ("alt_macs", "vids", "protection", "allowed_ips", "allowed_dhcp_cids"):
                net[name] = list(net[name])
            net["pvlan"] = net["pvlan"] and list(net["pvlan"])
            net["peers"] = [list(pair) for pair in net["peers"]]
        data["disks"], data["nets"] = list(data["disks"]), list(data["nets"])
        return data


def parse_spec(data: object) -> GuestSpec:
    """The specification that plain data describe. Raises SpecError with the place of the first mistake."""
    fields = Fields(data, "spec", SpecError)
    number = fields.number("id", 0, MAX_ID)
    spec = GuestSpec(
        id=number,
        name=fields.text("name", most=MAX_NAME),
        uuid=_uuid(fields),
        mac=fields.number("mac", 0, (1 << MAC_BITS) - 1),
        hostid=fields.optional("hostid", 0, (1 << 32) - 1),
        cpu_arch=fields.text("cpu_arch", "native"),
        generation=fields.optional("generation", 0, (1 << 63) - 1),
        vcpus=_vcpus(fields, control=number == 0),
        max_vcpus=fields.optional("max_vcpus", 1, MAX_VCPUS) or 0,
        memory=_memory(fields, control=number == 0),
        crypto=fields.numbers("crypto", 0, MAX_VCPUS, []),
        perf_counters=fields.texts("perf_counters", [], allowed=PERF_COUNTERS),
        extended_mapin=fields.flag("extended_mapin", False),
        services_channel=fields.number("services_channel", 0, MAX_CHANNEL, 0),
        variables=fields.pairs("variables", {}, most=MAX_VALUE),
        boot=_boot(fields.raw("boot", {})),
        aliases=fields.pairs("aliases", {}),
        disks=fields.each("disks", _disk, [], most=MAX_DEVICES),
        nets=fields.each("nets", _net, [], most=MAX_DEVICES),
    )
    fields.raw("console", {})
    fields.end()
    _check_names(spec)
    _check_channels(spec)
    return spec.but(max_vcpus=_most(fields, spec))


def _uuid(fields: Fields) -> str:
    text = fields.text("uuid")
    if not _UUID.fullmatch(text):
        raise fields.wrong("uuid", "a UUID", text)
    return text.lower()


def _most(fields: Fields, spec: GuestSpec) -> int:
    highest = 1 + max((vid for vid, _ in spec.vcpus), default=0)
    if spec.max_vcpus and spec.max_vcpus < highest:
        raise fields.wrong("max_vcpus", f"at least {highest}, for the virtual CPUs there are,", spec.max_vcpus)
    return spec.max_vcpus or highest


def _vcpus(fields: Fields, *, control: bool) -> tuple[tuple[int, int], ...]:
    pairs = sorted((vid, pid) for vid, pid in fields.tuples("vcpus", 2, [] if control else ...))
    vids, pids = {vid for vid, _ in pairs}, {pid for _, pid in pairs}
    if len(vids) < len(pairs) or len(pids) < len(pairs) or max([0, *vids, *pids]) >= MAX_VCPUS:
        raise SpecError("spec.vcpus: each virtual CPU and each strand once, below 4096")
    if not pairs and not control:
        raise SpecError("spec.vcpus: a guest needs a virtual CPU")
    return tuple(pairs)


def _memory(fields: Fields, *, control: bool) -> tuple[Block, ...]:
    blocks = sorted((Block(*item) for item in fields.tuples("memory", 3, [] if control else ...)), key=lambda b: b.ra)
    if len(blocks) > MAX_BLOCKS or (not blocks and not control):
        raise SpecError(f"spec.memory: a guest has 1 to {MAX_BLOCKS} blocks of memory")
    for block in blocks:
        if block.size_bytes == 0 or (block.ra | block.pa | block.size_bytes) % PAGE_BYTES:
            raise SpecError("spec.memory: addresses and sizes are multiples of 8K, and no size is 0")
        if max(block.ra, block.pa) + block.size_bytes > 1 << 63:
            raise SpecError(f"spec.memory: the block at {block.ra:#x} is beyond all memory")
    _check_apart([(block.ra, block.size_bytes) for block in blocks], "real")
    _check_apart(sorted((block.pa, block.size_bytes) for block in blocks), "physical")
    return tuple(blocks)


def _check_apart(runs: list[tuple[int, int]], what: str) -> None:
    end = 0
    for start, size in runs:
        if start < end:
            raise SpecError(f"spec.memory: two blocks overlap at {what} address {start:#x}")
        end = start + size


def _boot(data: object) -> Boot:
    fields = Fields({} if data is None else data, "spec.boot", SpecError)
    boot = Boot(*(fields.optional_text(name) or "" for name in ("kernel", "initrd", "arguments")))
    fields.end()
    if boot.initrd and not boot.kernel:
        raise SpecError("spec.boot: an initial RAM disk needs a kernel")
    return boot


_PATH_MEMBERS = ("backend", "options", "online", "overlay", "copy_on_write")


def _disk(fields: Fields) -> Disk:
    name, number = _name(fields), fields.number("number", 0, MAX_DEVICES - 1)
    timeout = fields.number("timeout", 0, (1 << 32) - 1, 0)
    channels = fields.numbers("channels", 0, MAX_CHANNEL, [])
    several = fields.has("paths")
    listed = fields.each("paths", _path) if several else fields.raw("paths", None)
    own = {member: value for member in _PATH_MEMBERS if (value := fields.raw(member, None)) is not None}
    fields.end()
    if several:
        paths: tuple[DiskPath, ...] = listed  # type: ignore[assignment]
    elif channels:
        paths = (_path(Fields(own | {"channel": channels[0]}, fields.where, SpecError)),)
    else:
        raise fields.wrong("channels", "a channel", [])
    if not paths:
        raise fields.wrong("paths", "a path", [])
    return Disk(name=name, number=number, paths=paths, timeout=timeout)


def _path(fields: Fields) -> DiskPath:
    path = DiskPath(
        channel=fields.number("channel", 0, MAX_CHANNEL),
        backend=fields.text("backend", ""),
        options=fields.texts("options", [], allowed=OPTIONS),
        online=fields.flag("online", True),
        overlay=fields.optional_text("overlay"),
        copy_on_write=fields.flag("copy_on_write", False),
    )
    fields.end()
    if path.read_only and (path.overlay or path.copy_on_write):
        raise fields.wrong("overlay", "none, for a disk that is read-only,", path.overlay or True)
    return path


def _net(fields: Fields) -> Net:
    linkprop = fields.optional_text("linkprop") or ""
    if linkprop not in ("", "phys-state"):
        raise fields.wrong("linkprop", "phys-state or nothing", linkprop)
    net = Net(
        name=_name(fields),
        number=fields.number("number", 0, MAX_DEVICES - 1),
        channel=fields.number("channel", 0, MAX_CHANNEL),
        mac=fields.number("mac", 0, (1 << MAC_BITS) - 1),
        alt_macs=fields.numbers("alt_macs", 0, (1 << MAC_BITS) - 1, []),
        switch=fields.text("switch", "", most=MAX_NAME),
        pvid=fields.number("pvid", 1, MAX_VLAN, 1),
        vids=fields.numbers("vids", 1, MAX_VLAN, []),
        mtu=fields.number("mtu", LEAST_MTU, MAX_MTU, LEAST_MTU),
        maxbw_bps=fields.optional("maxbw_bps", 1, _M64),
        linkprop=linkprop,
        online=fields.flag("online", True),
        capture=fields.optional_text("capture"),
        pvlan=_pvlan(fields),
        protection=fields.texts("protection", [], allowed=PROTECTION),
        allowed_ips=fields.texts("allowed_ips", []),
        allowed_dhcp_cids=fields.texts("allowed_dhcp_cids", []),
        cos=fields.number("cos", 0, 7, 0),
        peers=_peers(fields),
    )
    fields.end()
    try:
        net.guard()
    except ValueError as error:
        raise fields.wrong("allowed_ips", "IP addresses", str(error)) from None
    return net


def _peers(fields: Fields) -> tuple[tuple[int, int], ...]:
    pairs = [(channel, mac) for channel, mac in fields.tuples("peers", 2, [])]
    if any(not 0 <= channel <= MAX_CHANNEL or not 0 <= mac < 1 << MAC_BITS for channel, mac in pairs):
        raise fields.wrong("peers", f"channels up to {MAX_CHANNEL}, and MAC addresses,", pairs[:4])
    if len({mac for _, mac in pairs}) < len(pairs) or len(pairs) > MAX_DEVICES:
        raise fields.wrong("peers", f"at most {MAX_DEVICES}, each of another address,", pairs[:4])
    return tuple(pairs)


def _pvlan(fields: Fields) -> tuple[int, int] | None:
    if not fields.has("pvlan"):
        fields.raw("pvlan", None)
        return None
    pair = fields.numbers("pvlan", 0, MAX_VLAN)
    if len(pair) != 2 or pair[0] < 1 or pair[1] > 1:
        raise fields.wrong("pvlan", "a secondary VLAN, and 1 for isolated or 0 for community,", list(pair))
    return pair[0], pair[1]


def _name(fields: Fields) -> str:
    name = fields.text("name", most=MAX_NAME)
    if not name or not name.isprintable():
        raise fields.wrong("name", "a name", name)
    return name


def _check_names(spec: GuestSpec) -> None:
    if not spec.name or not spec.name.isprintable():
        raise SpecError("spec.name: a name is wanted")
    if spec.cpu_arch not in CPU_ARCH_NAMES:
        raise SpecError(f"spec.cpu_arch: one of {', '.join(CPU_ARCH_NAMES)} is wanted, not {spec.cpu_arch[:40]!r}")
    for what, devices in (("disks", spec.disks), ("nets", spec.nets)):
        names, numbers = {device.name for device in devices}, {device.number for device in devices}
        if len(names) < len(devices) or len(numbers) < len(devices):
            raise SpecError(f"spec.{what}: two have one name, or one number")


def _check_channels(spec: GuestSpec) -> None:
    channels = [spec.services_channel, *(path.channel for disk in spec.disks for path in disk.paths)]
    channels += [channel for net in spec.nets for channel in (net.channel, *(peer[0] for peer in net.peers))]
    twice = {channel for channel in channels if channels.count(channel) > 1}
    if twice:
        raise SpecError(f"spec: channel {min(twice)} is used twice")


def lab_spec(number: int, name: str, **changes: Any) -> dict[str, Any]:
    """A small guest as plain data, for tests and trials: one virtual CPU on strand `number`, 64M behind firmware's.

    `changes` replace members.
    """
    size = 64 << 20
    spec: dict[str, Any] = {
        "id": number, "name": name, "uuid": f"00000000-0000-4000-8000-{number:012x}", "mac": 0x0014_4FF8_0000 + number,
        "vcpus": [[0, number]], "memory": [[0, (16 << 30) + number * size, size]],
    }  # fmt: skip
    return spec | changes


def merged_variables(spec: GuestSpec, changes: Mapping[str, str | None]) -> GuestSpec:
    """The specification with variables set, or with None taken away."""
    values = dict(spec.variables)
    for name, value in changes.items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
    return spec.but(variables=tuple(values.items()))
