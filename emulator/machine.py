"""An emulated machine: strands, memory and console over one C core."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from emulator import _core
from emulator.backends.file import Backend
from emulator.channel import Channel, Wire
from emulator.cpu import Cpu, find_cpu
from emulator.devices.device import Device, Devices
from emulator.devices.ds import DomainServices
from emulator.devices.vdisk import VirtualDisk
from emulator.engines import MachineEngine
from emulator.errors import ChannelError, ConfigError, StateError
from emulator.firmware.nodes import disk_channels, stored_variables
from emulator.firmware.openboot import OpenBoot
from emulator.firmware.program import Program
from emulator.firmware.variables import Variables
from emulator.guest import Stop, StopReason, check_budget
from emulator.hypervisor import ErrorReport, SoftState
from emulator.loader import Image, load_image, read_image
from emulator.machine_debug import MachineDebug
from emulator.machine_moving import MachineMoving
from emulator.machine_resources import Block, Shape, real_limit
from emulator.mdesc import (
    MachineDescription,
    build,
    decode,
    described_units,
    encode,
    most_channels,
    plain_resources,
    with_properties,
)
from emulator.memory import PAGE_BYTES, Console, Memory
from emulator.platforms import Platform, find_platform
from emulator.units import format_size

DEFAULT_QUANTUM = 10_000
_FIRST_RNG = ("t2", "t2+", "t3")
"""Chips whose random number generator has the first layout of control registers."""
DETERMINISTIC_SEED = 0x5EED
DETERMINISTIC_TOD = 1_356_998_400  # 2013-01-01 00:00 UTC, the year of the T5: any fixed date does


class Machine(MachineDebug, MachineEngine, MachineMoving):
    """A machine with memory and strands, none of them started.

    >>> with Machine("16M") as machine:
    ...     machine.memory.write(0x1000, bytes.fromhex("91d02000"))
    ...     machine.strands[0].start(0x1000)
    ...     stop = machine.strands[0].step()

    `memory` is a size (``"256M"`` or bytes; a multiple of 8 KiB; default 256M): one block at real address 0. Or
    `blocks` are what the domain has of the server's physical memory, each (real address, physical address, bytes).
    `strands` is a number, or the numbers of the strands there are; with `max_strands` more can be added later, with
    numbers below it. `platform` is a server or chip name, or a file ending in .toml, `cpu_arch` one of native, generic,
    migration-class1, sparc64-class1. With
    `deterministic` time is counted in instructions and every strand runs `quantum` instructions in its turn:
    same inputs at the same instructions give the same `digest()`. `tod_seconds` is the time of day at start
    (default: now, or a fixed date when deterministic), `rng_seed` makes the stream the guest's random number
    generator gives (default: from the host, or fixed when deterministic); with `rng_control` the guest may
    configure and test that generator, as a control domain does. `machine_description` is what MACH_DESC
    gives the guest (default: one built from the other arguments, see `emulator.mdesc`).

    Memory, strands and crypto units can be added and removed while the guest runs (`emulator.machine_resources`).

    Raises ConfigError. A context manager; `close()` frees it.

    **Threads.** Machines share nothing: any number of them run in one process, each in a thread of its own, truly
    beside each other (a run gives up the interpreter's lock; in real time its strands have threads besides). One
    machine is for one thread at a time, which may be another after each call: while one is inside `run`, calls of
    another raise BusyError. Any thread may call `kick()`, `wake()` and `busy()` at any time before `close()`. A device
    that two machines share (a switch, a disk) looks after its own order.
    """

    def __init__(
        self,
        memory: str | int | None = None,
        *,
        blocks: Iterable[Block] | None = None,
        strands: int | Iterable[int] = 1,
        max_strands: int | None = None,
        platform: str = "t5-2",
        cpu_arch: str = "native",
        deterministic: bool = False,
        quantum: int = DEFAULT_QUANTUM,
        tod_seconds: int | None = None,
        rng_seed: int | None = None,
        rng_control: bool = False,
        machine_description: MachineDescription | None = None,
    ) -> None:
        self.platform: Platform = find_platform(platform)
        self.cpu: Cpu = find_cpu(self.platform.chip, cpu_arch)
        self.deterministic = deterministic
        shape = Shape.of(self.platform, memory, blocks, strands=strands, max_strands=max_strands)
        if not 1 <= quantum < 1 << 32:
            raise ConfigError(f"a quantum is 1 instruction or more, not {quantum}")
        if tod_seconds is None:
            tod_seconds = DETERMINISTIC_TOD if deterministic else int(time.time())
        if rng_seed is None:
            rng_seed = DETERMINISTIC_SEED if deterministic else secrets.randbits(64)
        self._core = _core.Core(
            _core.CoreConfig(
                memory_bytes=0 if blocks is not None else shape.size_bytes,
                ra_limit=0 if blocks is None else real_limit(self.platform),
                strands=1,
                max_strands=shape.max_strands,
                deterministic=deterministic,
                features=self.cpu.features,
                cfr=self.cpu.cfr,
                cfr_present=self.cpu.has_cfr,
                stick_hz=self.platform.stick_hz,
                tick_hz=self.platform.clock_hz,  # some servers clock the chip differently
                va_bits=self.cpu.va_bits,
                page_sizes=self.cpu.page_sizes,
                max_tsbs=self.cpu.max_tsbs,
                quantum=quantum,
                tod_seconds=tod_seconds,
                rng_seed=rng_seed,
                channels=most_channels(self.platform),
                rng_control=rng_control,
                rng_layout=1 if self.platform.chip in _FIRST_RNG else 2,
            )
        )
        self.tick_hz, self.stick_hz = self.platform.clock_hz, self.platform.stick_hz
        self.max_strands = shape.max_strands
        self.memory = Memory(self._core)
        self.devices = Devices()
        self.firmware: OpenBoot | None = None
        self.on_notice: Callable[[], bool] | None = None
        """Called in a run that `wake`, or what `watch` waits for, interrupts, where True ends it with reason KICK; and
        after a call of the firmware."""
        self._kicked = False
        self._described: tuple[bytes, MachineDescription] | None = None  # what was decoded last
        try:
            self._furnish(shape, blocks is not None, machine_description, cpu_arch=cpu_arch)
        except BaseException:
            self._core.close()
            raise
        self.console = Console(self._core)

    def _furnish(
        self, shape: Shape, in_blocks: bool, description: MachineDescription | None, *, cpu_arch: str
    ) -> None:
        """Memory in blocks, all strands but the first, the machine description and what it tells of."""
        for block in shape.blocks if in_blocks else ():
            self._core.memory_add(*block)
        self._core.strands_add([number for number in shape.strands if number != 0])
        if 0 not in shape.strands:
            self._core.strands_remove([0])
        self._find_strands()
        if description is None:
            plain = plain_resources(self.platform, 1, shape.size_bytes, cpu_arch=cpu_arch)
            description = build(self.platform, shape.resources(plain, self.platform, in_blocks))
        self.machine_description = description
        for unit in described_units(description):
            self.add_crypto_unit(unit)

    # -- life

    def close(self) -> None:
        """Free the machine; twice is fine. Raises BusyError while it runs or a memory view is alive."""
        self._core.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()  # on an error a view may be alive in the traceback; then the collector frees it

    # -- programs

    def load_image(self, image: Image | str | Path) -> Image:
        """Copy a program to memory (a parsed one, or an ELF file by name). Raises ImageError."""
        parsed = image if isinstance(image, Image) else read_image(image)
        load_image(self.memory, parsed)
        return parsed

    def boot(self, image: Image | str | Path, *, args: Sequence[str] = ()) -> Image:
        """Load a program and start the first strand at its entry.

        With `args`, %o0 is the real address of an argument block in the last page of memory (see
        `argument_block`); without, %o0 is 0.
        """
        parsed = self.load_image(image)
        arg = self._place_arguments(parsed, args) if args else 0
        self.strands[0].start(parsed.entry, arg=arg)
        return parsed

    def _place_arguments(self, image: Image, args: Sequence[str]) -> int:
        base = self.memory.end - PAGE_BYTES
        if any(segment.end > base and segment.ra < base + PAGE_BYTES for segment in image.segments):
            raise ConfigError("no room for arguments: the program uses the last page of memory")
        self.memory.write(base, argument_block(base, args))
        return base

    # -- firmware

    def power_on(self, program: Program | None = None, *, variables: Variables | None = None) -> None:
        """Start OpenBoot, which boots `program`, or stays at its prompt.

        `variables` are the configuration variables (default: those of the machine description); `auto-boot?` false
        stays at the prompt. Raises ConfigError where memory is too small for it or the machine description lacks what
        it needs.
        """
        if variables is None:
            variables = Variables.lenient(stored_variables(self.machine_description))
        firmware = self._install_firmware(program, variables)
        self._watch_variables(variables)
        self._describe_variables()
        self._core.reset()
        firmware.power_on()

    def _install_firmware(
        self, program: Program | None, variables: Variables, *, saved: bytes | None = None
    ) -> OpenBoot:
        """Firmware that has done nothing yet, or is where it was. Raises StateError."""
        description = self.machine_description
        self.firmware = OpenBoot(
            self._core,
            self.memory,
            description=description,
            chip=self.platform.chip,
            deterministic=self.deterministic,
            program=program,
            variables=variables,
            disks=self._firmware_disks(description),
            saved=saved,
        )
        for device in self.devices:
            if isinstance(device, DomainServices):
                device.store = variables  # what a guest sets with var-config
        return self.firmware

    def _watch_variables(self, variables: Variables) -> None:
        variables.watch("machine description", lambda _name: self._describe_variables())

    def _firmware_disks(self, description: MachineDescription) -> dict[str, Backend]:
        """What is behind the disk nodes of the device tree: the attached disks, found by their channels."""
        paths = disk_channels(description)
        disks = (device for device in self.devices if isinstance(device, VirtualDisk))
        return {paths[number]: disk.backend for disk in disks for number in disk.channels if number in paths}

    def _describe_variables(self) -> None:
        """A variable has changed: the guest reads it in its machine description."""
        stored = self.firmware.variables.save() if self.firmware else {}
        if self.firmware and stored != stored_variables(self.machine_description):
            self.machine_description = with_properties(self.machine_description, "variables", stored)

    def describe(self, description: MachineDescription) -> None:
        """A new machine description while it runs, as after devices were attached.

        Firmware knows it from the next reset on. What the variables are by now stays. Raises ConfigError.
        """
        self.machine_description = description
        self.describe_disks()
        self._describe_variables()

    def describe_disks(self) -> None:
        """Disks have been opened or closed: firmware finds what is behind its nodes now."""
        if self.firmware:
            self.firmware.describe(self.machine_description, self._firmware_disks(self.machine_description))

    # -- running

    def run(
        self, budget_insns: int, *, seconds: float | None = None, until_ns: int | None = None, only: int | None = None
    ) -> Stop:
        """Run all started strands until their common budget is used up or something stops them.

        In real time also until `seconds` of host time are over (reason TIME); a deterministic machine does not look
        at the clock. In real time every strand of several runs on a host thread of its own; they all rest again when
        this returns. What firmware and devices do for the guest takes no instructions of the budget and does not end
        the run.

        `until_ns`, of a deterministic machine: until its clock shows that time (reason TIME). Machines that take turns
        up to the same times share one time, also while their guests wait.

        `only`: that strand alone, and by the budget alone; the others stand still.
        """
        if until_ns is not None and not self.deterministic:
            raise ConfigError("the clock of a machine in real time is the host's")
        left, done = check_budget(budget_insns), 0
        self.devices.poll()
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            while not self._kicked and self.devices.go_on():
                self.devices.poll()
            held = self.firmware.hold() if self.firmware else None
            if held is not None:
                return Stop(reason=held, strand=0, insns=done, exit_code=0 if held is StopReason.EXIT else None)
            host_ns = 0 if end is None else max(1, int((end - time.monotonic()) * 1e9))
            if only is not None:
                raw = self._core.strand_run(only, left - done)
            elif until_ns is None:
                raw = self._core.run(left - done, host_ns)
            else:
                raw = self._core.run_until(left - done, until_ns * self.tick_hz // 1_000_000_000)
            done += raw.insns
            if raw.reason == StopReason.FIRMWARE.value and self.firmware is not None:
                self.firmware.serve(raw.strand, raw.tt)
                if self.on_notice is not None:
                    self.on_notice()
            elif raw.reason == StopReason.KICK.value and not self._kicked:
                self.devices.poll()  # most kicks are frames: nothing to look at
                if self.on_notice is not None and self._core.noticed and self.on_notice():
                    return replace(Stop.from_core(raw), insns=done)
            elif raw.reason != StopReason.CHANNEL.value or not self.devices.service(raw.code):
                self._kicked &= raw.reason != StopReason.KICK.value
                return replace(Stop.from_core(raw), insns=done)

    @property
    def time_ns(self) -> int:
        """The machine's clock: nanoseconds since it was made. Of a deterministic machine part of its state.

        Rounded up: after a run until some time, it is that time.
        """
        return -(-self._core.tick() * 1_000_000_000 // self.tick_hz)

    def kick(self) -> None:
        """From any thread: make `run` return soon, with reason KICK."""
        self._kicked = True
        self._core.kick()

    def watch(self) -> None:
        """In real time: call `on_notice` when the guest next writes to its console or sets its soft state."""
        self._core.watch(output=True, soft_state=True)

    def wake(self) -> None:
        """From any thread: something waits outside for a device. `run` lets the devices look, and goes on."""
        self._core.kick()

    @property
    def insns(self) -> int:
        """Instructions completed by all strands since the start."""
        return self._core.insns()

    # -- hypervisor services

    @property
    def soft_state(self) -> SoftState:
        """What the guest last said of itself with SOFT_STATE_SET (`ldm list` shows it)."""
        state, text = self._core.soft_state()
        return SoftState(normal=state == SoftState.NORMAL, text=text.decode("ascii", "replace"))

    @property
    def suspended(self) -> bool:
        """True while the guest is in MACH_SUSPEND: nothing runs."""
        return self._core.suspended()

    def resume(self, status: int = 0) -> None:
        """Let MACH_SUSPEND return `status` (0: EOK) to the guest. Raises StrandError where it is not suspended."""
        self._core.resume(status)

    def reset(self) -> None:
        """Reset the domain, as MACH_SIR asks for.

        Every strand is stopped and as new, negotiated API versions, soft state and watchdog are as at start.
        Memory, reboot data, console and time of day stay. Firmware, where there is some, boots again; else start a
        strand, or `boot`, to go on.
        """
        self.drain()
        self._core.reset()
        self.devices.guest_reset()
        if self.firmware:
            self.firmware.power_on()

    @property
    def watchdog_ms(self) -> int:
        """Milliseconds of the guest's time until its watchdog bites; 0: off."""
        return self._core.watchdog_ms()

    @property
    def reboot_data(self) -> bytes:
        """What the guest left for its next boot (MACH_REBOOT_DATA_SET); survives `reset`."""
        return self._core.reboot_data()

    @reboot_data.setter
    def reboot_data(self, data: bytes) -> None:
        self._core.reboot_data_set(data)

    def report_error(self, strand: int, report: ErrorReport) -> int | None:
        """Queue an error report for a strand, as the hypervisor does when hardware fails.

        Returns the report's handle, or None where the strand is stopped or has no (room in its) queue.
        Raises StrandError.
        """
        return self._core.error_report(strand, report.resumable, report.fields())

    def poison(self, ra: int, length: int = 1) -> None:
        """Put an uncorrectable error behind `length` bytes of memory: whole lines of 64 bytes.

        A strand that loads from them, or fetches an instruction, takes a precise non-resumable error: a report in its
        queue and trap 0x7f. Without a queue for it, the strand stops with reason WATCHDOG and trap type 0x7f. MEM_SCRUB
        and `heal` take errors away. Raises AddressError, and ConfigError for more than 256 ranges.
        """
        self._core.poison(ra, length, True)

    def heal(self, ra: int, length: int) -> None:
        """Take errors away from lines of 64 bytes that are wholly in the range. Raises AddressError, ConfigError."""
        self._core.poison(ra, length, False)

    @property
    def poisoned(self) -> tuple[tuple[int, int], ...]:
        """Memory with errors: real address and bytes of each range, ascending."""
        return tuple(self._core.poisoned())

    # -- devices and channels

    def attach(self, device: Device) -> None:
        """Attach a virtual device: its channels are added where they are not there yet, and it serves them.

        `run` goes on after what it does. It is part of the state: `load` wants the same devices attached. Raises
        ConfigError, ChannelError.
        """
        self.devices.add(device, self._open_channel)

    def drain(self) -> None:
        """Wait until the host has done what devices have on their way, and answer the guest: no byte moves later.

        Between runs. `save`, `reset`, `load`, `detach` and `remove_memory` do it themselves.
        """
        self.devices.drain()

    def detach(self, name: str) -> None:
        """Detach a device and remove its channels. Raises ConfigError where there is none of that name."""
        for number in self.devices.remove(name).channels:
            self.remove_channel(number)

    def _open_channel(self, number: int) -> Channel:
        try:
            return self.add_channel(number)
        except ChannelError:
            channel = self.channel(number)
            if not channel.info.host:
                raise
            return channel

    def add_channel(self, number: int) -> Channel:
        """A logical domain channel with the client at its other end, not up yet.

        Its number is below the limit of the platform (`emulator.mdesc.most_channels`), its devinos are 2 * number
        (transmit) and 2 * number + 1. Raises ChannelError where the number is taken.
        """
        self._core.ldc_add(number)
        return Channel(self._core, number)

    def channel(self, number: int) -> Channel:
        """A channel that is there already, as after `load`. Raises ChannelError."""
        self._core.ldc_info(number)
        return Channel(self._core, number)

    def connect_channels(self, one: int, other: int) -> None:
        """Two endpoints of the guest with each other at the other end. Raises ChannelError."""
        self._core.ldc_connect(one, other)

    def add_wire_channel(self, number: int) -> None:
        """An endpoint whose other end is another machine's: DOWN until a wire is plugged in on both sides.

        Raises ChannelError where the number is taken.
        """
        self._core.ldc_add_wire(number)

    def wire_channels(self, most: int) -> list[int]:
        """The numbers below `most` of such endpoints."""
        return self._core.ldc_wires(most)

    def plug_wire(self, number: int, wire: Wire, side: int) -> None:
        """Plug end 0 or 1 of a wire into an endpoint of `add_wire_channel`. Between runs of this machine; the other one
        may run. Raises ChannelError where the end or the endpoint is taken.
        """
        self._core.wire_plug(number, wire, side)

    def unplug_wire(self, number: int) -> None:
        """Take it out: the other end sees the channel DOWN. One that is out is fine. Raises ChannelError."""
        self._core.wire_unplug(number)

    def remove_channel(self, number: int) -> None:
        """Remove a channel; of a connected pair, both endpoints. Raises ChannelError."""
        self._core.ldc_remove(number)

    @property
    def machine_description(self) -> MachineDescription:
        """What MACH_DESC gives the guest; part of the state. Raises MdescError after a `load` of a damaged one."""
        blob = self._core.md()
        if self._described is None or self._described[0] != blob:
            self._described = blob, decode(blob)
        return self._described[1]

    @machine_description.setter
    def machine_description(self, md: MachineDescription) -> None:
        self._described = encode(md), md
        self._core.set_md(self._described[0])

    # -- state

    def save(self) -> bytes:
        """The state of strands, hypervisor, firmware and populated memory, for `load` in a machine made alike."""
        self.drain()
        self._store_client()
        return self._core.save()

    def _store_client(self) -> None:
        """Put what is Python's of the state into the core's image."""
        firmware = self.firmware.save() if self.firmware else b""
        devices = self.devices.save()
        client = len(firmware).to_bytes(4, "big") + firmware + devices
        self._core.set_client(client if firmware or devices else b"")

    def load(self, state: bytes) -> None:
        """Restore what `save` gave; execution goes on bit for bit. Raises StateError.

        Where the saved machine had firmware, this one needs it as well (`power_on` with the same program), and the same
        devices attached.
        """
        self.drain()
        try:
            self._core.load(state)
        finally:
            self._find_strands()
        client = self._core.client()
        size = int.from_bytes(client[:4], "big")
        firmware, devices = client[4 : 4 + size], client[4 + size :]
        if bool(firmware) != bool(self.firmware):
            raise StateError("of the two machines, the saved one and this one, one has firmware and the other has not")
        if self.firmware:
            self.firmware.load(firmware)
        self.devices.load(devices)

    def digest(self) -> bytes:
        """SHA-256 (32 bytes) over state and memory: equal digests, equal machines."""
        self.drain()
        self._store_client()
        return self._core.digest()

    # -- debugging

    def trace(self, on: bool = True) -> None:
        """Turn the instruction trace on or off; read it with `read_trace`."""
        self._core.trace_enable(on)

    def read_trace(self) -> str:
        """Trace lines since the last call, one per instruction."""
        return self._core.trace_read()

    def __repr__(self) -> str:
        if self._core.closed:
            return "<Machine closed>"
        size = format_size(self.memory.size_bytes)
        return f"<Machine {self.platform.name} {self.cpu.cpu_arch} {size} strands={len(self.strands)}>"


def argument_block(base: int, args: Sequence[str]) -> bytes:
    """Arguments as the guest finds them at real address `base`.

    ::

        base       argc                 8 bytes, big-endian
        base + 8   argv[0..argc-1]      real addresses, 8 bytes each
                   0                    8 bytes
                   the strings          NUL-terminated, in order

    Raises ConfigError where it does not fit one page or an argument holds a NUL.
    """
    texts = [arg.encode("utf-8", "surrogateescape") + b"\0" for arg in args]
    if any(b"\0" in text[:-1] for text in texts):
        raise ConfigError("an argument holds a NUL character")
    words = [len(texts)]
    place = base + 8 * (len(texts) + 2)
    for text in texts:
        words.append(place)
        place += len(text)
    if place > base + PAGE_BYTES:
        raise ConfigError(f"the arguments are larger than one page ({place - base} bytes)")
    return b"".join(word.to_bytes(8, "big") for word in [*words, 0]) + b"".join(texts)
