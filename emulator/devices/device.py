"""What a virtual device is to a machine, and the devices attached to one.

A device serves channels. The machine calls `service` when the guest has done something with one of them, at the very
instruction where it did, and `poll` before a run, for what came from outside. The guest stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from emulator.channel import PACKET_BYTES, Channel
from emulator.devices.ldc_link import Event, Link, LinkState, Message, Up, starts_handshake
from emulator.devices.state import Fields, Json, pack, unpack
from emulator.errors import ChannelError, ConfigError, StateError

BATCH = 128
"""Packets that are taken from the link at once."""
BURST = 16
"""Packets of the guest that are served in a row; between two bursts the machine looks whether it was kicked."""
_COUNT = (1 << 64) - 1


class Device(Protocol):
    """A virtual device, as `Machine.attach` takes it."""

    name: str
    """Unique on the machine; the key of its state in a saved machine."""

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels it serves."""

    def connect(self, open_channel: Callable[[int], Channel]) -> None:
        """It is attached: take hold of the channels, and show them up."""

    def service(self, number: int) -> None:
        """The guest has sent on a channel, configured a queue of it, or made room there."""

    def poll(self) -> None:
        """Deliver what has come from outside since."""

    def drain(self) -> None:
        """Bring to an end, and tell the guest, what is on its way: nothing of it comes later."""

    def save(self) -> bytes:
        """Protocol state, for `load` in a device made alike."""

    def load(self, state: bytes) -> None:
        """Take over what `save` gave. Raises StateError."""


class ChannelDevice:
    """A device that speaks the link protocol on one channel."""

    def __init__(self, name: str, number: int, link: Link) -> None:
        self.name = name
        self.number = number
        self.link = link
        self._channel: Channel | None = None
        self.online = True
        self.unfinished = False
        """The guest has sent more than was served so far."""
        self._resets = 0
        self._pending = b""  # packets that found no room yet

    @property
    def channels(self) -> tuple[int, ...]:
        """The one channel."""
        return (self.number,)

    @property
    def channel(self) -> Channel:
        """The channel. Raises ChannelError before the device is attached."""
        if self._channel is None:
            raise ChannelError(f"{self.name} is not attached to a machine")
        return self._channel

    def connect(self, open_channel: Callable[[int], Channel]) -> None:
        """Take hold of the channel; a guest sees it up from now on."""
        self._channel = open_channel(self.number)
        self._channel.up = self.online
        self._resets = self._channel.info.resets
        self.service(self.number)

    # -- what happens on the channel

    def service(self, number: int) -> None:
        """Notice a reset, send what waits, and take packets as long as the answers find room: a burst of them."""
        self.unfinished = False
        if not self.online:
            return  # what the guest does meanwhile is seen when the service is back
        info = self.channel.info
        if info.resets != self._resets:
            self._resets = info.resets
            self._pending = b""
            self._dispatch(self.link.start(present=info.rx_entries > 0))
        self.flush()
        for _ in range(BURST):
            if self.blocked or not (packets := self._receive()):
                return
            self._dispatch(self.link.receive(packets[0]))
            self.flush()
        self.unfinished = True

    def set_online(self, online: bool) -> None:
        """The service behind the channel goes, or comes back.

        While it is gone the guest sees the channel down, and nothing is answered: drivers wait. A guest that has not
        started anew by itself meanwhile is made to by a reset.
        """
        if online == self.online:
            return
        self.online = online
        if not online:
            self._dispatch(self.link.fail("the service is gone"), tell=False)
            self.channel.up = False
            return
        self.channel.up = True
        info = self.channel.info
        if info.rx_entries and info.resets == self._resets:
            self.channel.reset()
        self.service(self.number)

    def _receive(self) -> list[bytes]:
        """The next packet; while the link is down the last one that starts a handshake, and all others are dropped.

        Linux 6.1 (`ldc_disconnect`) configures its queue anew and goes on writing where it was: what it sent before
        the reset comes once more in front of the new handshake, and must not be taken for one.
        """
        if self.link.state is not LinkState.DOWN:
            return self.channel.receive(1)
        packets = self.channel.receive(max(1, self.channel.info.tx_packets))
        return [packet for packet in packets if starts_handshake(packet)][-1:]

    def poll(self) -> None:
        """Nothing comes from outside, unless a device says otherwise."""

    def drain(self) -> None:
        """Nothing is on its way, unless a device says otherwise."""

    @property
    def blocked(self) -> bool:
        """True while packets wait for room in the guest's queue, or for its acknowledgements."""
        return bool(self._pending) or self.link.backlog > 0

    def flush(self) -> None:
        """Move packets from the link to the guest's queue, as many as it takes."""
        while True:
            self._pending = self._pending or self.link.take(BATCH)
            if not self._pending:
                return
            count = self.channel.send(self._pending)
            self._pending = self._pending[count * PACKET_BYTES :]
            if self._pending:
                return

    def drop_link(self, why: str) -> None:
        """The guest broke the protocol of a higher layer: forget the session and let it see a reset."""
        self._dispatch(self.link.fail(why))

    def _dispatch(self, events: list[Event], *, tell: bool = True) -> None:
        for event in events:
            if isinstance(event, Message):
                self.message(event.data)
            elif isinstance(event, Up):
                self.link_up()
            else:
                self._pending = b""
                self.link_lost(event.why)
                if event.mistake and tell:
                    self.channel.reset()

    # -- for subclasses

    def message(self, data: bytes) -> None:
        """A message of the guest."""
        raise NotImplementedError

    def link_up(self) -> None:
        """The link is up."""

    def link_lost(self, why: str) -> None:
        """The link is down: a session is over."""

    # -- state

    def save(self) -> bytes:
        """State of link and session."""
        return pack({
            "link": self.link.save(), "pending": self._pending.hex(), "resets": self._resets,
            "session": self.save_session(),
        })  # fmt: skip

    def load(self, state: bytes) -> None:
        """Take over what `save` gave. Raises StateError."""
        fields = unpack(state)
        self.link.load(fields.fields("link"))
        self._pending = fields.data("pending")
        if len(self._pending) % PACKET_BYTES:
            raise StateError("the state of a device is damaged: pending")
        self._resets = fields.number("resets", _COUNT)
        self.unfinished = True  # perhaps
        self.load_session(fields.fields("session"))

    def save_session(self) -> dict[str, Json]:
        """State above the link."""
        return {}

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave. Raises StateError."""


class Devices:
    """The devices of a machine."""

    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._by_channel: dict[int, Device] = {}

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def __len__(self) -> int:
        return len(self._devices)

    def __getitem__(self, name: str) -> Device:
        try:
            return self._devices[name]
        except KeyError:
            raise ConfigError(f"no device {name!r}") from None

    def add(self, device: Device, open_channel: Callable[[int], Channel]) -> None:
        """Attach a device. Raises ConfigError where its name or a channel of it is taken."""
        if device.name in self._devices:
            raise ConfigError(f"a device {device.name!r} is attached already")
        for number in device.channels:
            if number in self._by_channel:
                raise ConfigError(f"channel {number} is served by {self._by_channel[number].name!r} already")
        device.connect(open_channel)
        self._devices[device.name] = device
        self._by_channel.update(dict.fromkeys(device.channels, device))

    def remove(self, name: str) -> Device:
        """Detach a device; its channels stay, and are for the caller to remove."""
        device = self[name]
        device.drain()
        del self._devices[name]
        for number in device.channels:
            del self._by_channel[number]
        return device

    def service(self, channel: int | None) -> bool:
        """Let a channel's device act. False: no device serves it."""
        device = None if channel is None else self._by_channel.get(channel)
        if device is None or channel is None:
            return False
        device.service(channel)
        self.poll()  # what one device passes on to another of this machine
        return True

    def go_on(self) -> bool:
        """Let devices serve more of what the guest has sent; False: all is served."""
        some = [each for each in self._devices.values() if isinstance(each, ChannelDevice) and each.unfinished]
        for device in some:
            device.service(device.number)
        return bool(some)

    def poll(self) -> None:
        """Let every device deliver what has come from outside."""
        for device in self._devices.values():
            device.poll()

    def drain(self) -> None:
        """Nothing is on its way any more: before a state is saved, a guest is reset, suspended or stopped."""
        for device in self._devices.values():
            device.drain()

    def guest_reset(self) -> None:
        """The domain was reset, and its queues with it: sessions are over."""
        for number, device in self._by_channel.items():
            device.service(number)

    def save(self) -> bytes:
        """State of all devices; empty where there are none."""
        if not self._devices:
            return b""
        return pack({"devices": {name: device.save().decode("ascii") for name, device in self._devices.items()}})

    def load(self, state: bytes) -> None:
        """Give every device its state. Raises StateError where the state is of other devices, or damaged."""
        states = unpack(state).texts("devices") if state else {}
        if states.keys() != self._devices.keys():
            raise StateError(
                f"the state is of a machine with the devices {sorted(states)}, not {sorted(self._devices)}"
            )
        for name, device in self._devices.items():
            device.load(states[name].encode("ascii", "replace"))
