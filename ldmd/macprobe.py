"""Duplicate MAC addresses between machines, and discovery of managers: the multicast messages both are made of.

UDP to group 239.129.9.27, port 64535, one C structure in big-endian (Administration Guide, "Duplicate MAC Address
Detection" and "Discovering Systems Running Logical Domains Manager")::

      0 version_no   4 magic_no   8 msg_type   12 resv
     16 union   lookup     mac_addr (8), source_ip (16)
                discovery  ldmd_version (32), hostname (256), ip_address (4), port_no (4)
    312 end

A manager that wants an address asks for it and waits one second; one that has it for a device of its own answers, and
so does one that is asking for the same at that moment. Answers go to the group, as the questions do.
`Conversation` knows neither sockets nor time; `Neighbours` puts it on a transport with a clock. By default nothing
leaves this host: loopback interface, hop limit 0.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

GROUP = "239.129.9.27"
PORT = 64535
MAGIC = 92792004
VERSION = 1
WAIT_SECONDS = 1.0
LATE_LIMIT = 256

_HEAD = struct.Struct(">IIII")
_LOOKUP = struct.Struct(">Q16s")
_DISCOVERY = struct.Struct(">32s256s4si")
MESSAGE_BYTES = _HEAD.size + _DISCOVERY.size
Address = tuple[str, int]


class Kind(IntEnum):
    """msg_type."""

    SEND = 0
    RESPONSE = 1
    DISCOVER = 2
    DISCOVERED = 3


@dataclass(frozen=True)
class Lookup:
    """A question for an address, or the answer that it is taken."""

    kind: Kind  # SEND or RESPONSE
    mac: int
    source_ip: str


@dataclass(frozen=True)
class Discovery:
    """A question who is there, or an answer: version of the manager, host, where its XML interface listens."""

    kind: Kind  # DISCOVER or DISCOVERED
    version: str = ""
    hostname: str = ""
    ip: str = "0.0.0.0"
    port: int = 0


def pack(message: Lookup | Discovery) -> bytes:
    """The 312 bytes of a message. Text that is too long is cut; each text ends with a zero byte."""
    head = _HEAD.pack(VERSION, MAGIC, message.kind, 0)
    if isinstance(message, Lookup):
        body = _LOOKUP.pack(message.mac, _text(message.source_ip, 16))
    else:
        body = _DISCOVERY.pack(_text(message.version, 32), _text(message.hostname, 256),
                               ipaddress.IPv4Address(message.ip).packed, message.port)  # fmt: skip
    return (head + body).ljust(MESSAGE_BYTES, b"\0")


def unpack(data: bytes) -> Lookup | Discovery | None:
    """The message of a datagram; None for anything that is none. What follows the part in use is ignored."""
    if len(data) < _HEAD.size:
        return None
    version, magic, kind, _ = _HEAD.unpack_from(data)
    if version != VERSION or magic != MAGIC or kind not in iter(Kind):
        return None
    if kind in (Kind.SEND, Kind.RESPONSE):
        if len(data) < _HEAD.size + _LOOKUP.size:
            return None
        mac, source = _LOOKUP.unpack_from(data, _HEAD.size)
        return Lookup(Kind(kind), mac, _untext(source)) if mac < 1 << 48 else None
    if len(data) < MESSAGE_BYTES:
        return None
    version_text, hostname, ip, port = _DISCOVERY.unpack_from(data, _HEAD.size)
    return Discovery(Kind(kind), _untext(version_text), _untext(hostname), str(ipaddress.IPv4Address(ip)), port)


def _text(text: str, size: int) -> bytes:
    return text.encode("ascii", "replace")[: size - 1].ljust(size, b"\0")


def _untext(data: bytes) -> str:
    text = data.split(b"\0", 1)[0].decode("ascii", "replace")
    return "".join(each if each.isprintable() else "?" for each in text)


class Conversation:
    """What one manager says and hears. `owned`: the addresses of its server's domains and devices, at the moment."""

    def __init__(self, owned: Callable[[], Collection[int]], identity: Discovery) -> None:
        self._owned = owned
        self._identity = identity
        self._asked: frozenset[int] = frozenset()
        self._taken: set[int] = set()
        self.found: dict[Address, Discovery] = {}

    def ask(self, macs: Iterable[int]) -> list[bytes]:
        """Begin to ask for addresses; the datagrams to send."""
        self._asked = frozenset(macs)
        self._taken = set()
        return [pack(Lookup(Kind.SEND, mac, self._identity.ip)) for mac in sorted(self._asked)]

    @property
    def decided(self) -> bool:
        """True when waiting longer changes nothing: all that were asked for are taken."""
        return self._taken == self._asked

    def end(self) -> frozenset[int]:
        """Stop asking; those that others have."""
        taken, self._asked, self._taken = frozenset(self._taken), frozenset(), set()
        return taken

    def discover(self) -> bytes:
        """Begin to ask who is there; the datagram to send. Answers gather in `found`, by their sender."""
        self.found = {}
        return pack(Discovery(Kind.DISCOVER))

    def received(self, data: bytes, source: Address) -> bytes | None:
        """A datagram of another manager; the answer to send to the group, if there is one."""
        message = unpack(data)
        if isinstance(message, Lookup):
            return self._lookup(message)
        if isinstance(message, Discovery):
            if message.kind is Kind.DISCOVER:
                return pack(self._identity)
            if len(self.found) < 4096:
                self.found[source] = message
        return None

    def _lookup(self, message: Lookup) -> bytes | None:
        if message.kind is Kind.RESPONSE:
            if message.mac in self._asked:
                self._taken.add(message.mac)
            return None
        if message.mac in self._asked or message.mac in self._owned():
            return pack(Lookup(Kind.RESPONSE, message.mac, self._identity.ip))
        return None


class Transport(Protocol):
    """Sends to the group and hears what others send to it, never what it sent itself."""

    def send(self, data: bytes) -> None:
        """One datagram to the group. Raises OSError."""

    def receive(self, seconds: float) -> tuple[bytes, Address] | None:
        """The next datagram, waiting so long for it; None also for one of our own. Raises OSError."""


class Neighbours:
    """The other machines, as an operation asks them. A network that cannot be used is as one that nobody is on."""

    def __init__(self, conversation: Conversation, transport: Transport, clock: Callable[[], float]) -> None:
        self._conversation, self._transport, self._clock = conversation, transport, clock
        self.fault = ""
        """Why the network cannot be used; "" where it can."""

    def taken(self, macs: Collection[int]) -> frozenset[int]:
        """Those of the addresses that other machines have. Takes one second, however many there are."""
        if macs:
            self._exchange(self._conversation.ask(macs), lambda: self._conversation.decided)
        return self._conversation.end()

    def discover(self) -> dict[Address, Discovery]:
        """The managers that answer within a second, by the address of the answer."""
        self._exchange([self._conversation.discover()], lambda: False)
        return self._conversation.found

    def serve(self) -> None:
        """Answer all that has come; for a loop that waits for the transport's descriptor."""
        self._exchange([], lambda: False, seconds=0.0)

    def _exchange(self, datagrams: list[bytes], done: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
        try:
            for data in datagrams:
                self._transport.send(data)
            self._listen(done, seconds)
            self.fault = ""
        except OSError as error:
            self.fault = error.strerror or str(error)

    def _listen(self, done: Callable[[], bool], seconds: float) -> None:
        end = self._clock() + seconds
        late = 0  # what is there already when the time is over is still heard, but a flood does not hold us
        while not done() and late < LATE_LIMIT:
            left = max(0.0, end - self._clock())
            late += left <= 0
            heard = self._transport.receive(left)
            if heard is None and left <= 0:
                return
            answer = self._conversation.received(*heard) if heard else None
            if answer is not None:
                self._transport.send(answer)


class Multicast:
    """The transport on UDP sockets: one in the group for hearing, one that sends, whose port tells ours from others'.

    `interface`: the IPv4 address of the interface to use; `hops`: 0 stays on this host, 1 (the product's default) on
    the network behind the interface.
    """

    def __init__(self, interface: str = "127.0.0.1", hops: int = 0) -> None:
        with contextlib.ExitStack() as opened:
            self._sender = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            self._sender.bind((interface, 0))
            self._hearer = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self._hearer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._hearer.bind((GROUP, PORT))
            self._hearer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                    socket.inet_aton(GROUP) + socket.inet_aton(interface))  # fmt: skip
            opened.pop_all()

    def fileno(self) -> int:
        """Readable when a datagram has come."""
        return self._hearer.fileno()

    def send(self, data: bytes) -> None:
        """One datagram to the group. Raises OSError."""
        self._sender.sendto(data, (GROUP, PORT))

    def receive(self, seconds: float) -> tuple[bytes, Address] | None:
        """The next datagram of somebody else, or None. Raises OSError."""
        self._hearer.settimeout(max(0.0, seconds))
        try:
            data, source = self._hearer.recvfrom(2048)
        except (TimeoutError, BlockingIOError):
            return None
        return None if source == self._sender.getsockname() else (data, source)

    def close(self) -> None:
        """Leave the group."""
        self._sender.close()
        self._hearer.close()
