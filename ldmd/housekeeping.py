"""What ldmd does by itself, about once a second: resource policies, and answers to other managers (MAC addresses).

Both are started by the daemon and end with it; a fault in one is a line in the log, never the end of ldmd.
"""

from __future__ import annotations

import ipaddress
import select
import threading
import time
import tomllib
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.version import __version__
from ldmd.jobs import Caller
from ldmd.macprobe import Address, Conversation, Discovery, Kind, Multicast, Neighbours
from ldmd.manager import Manager
from ldmd.messages import refuse
from ldmd.policyengine import PolicyEngine

TICK_SECONDS = 1.0
POLICY = Caller("policy", "write")
FILE = "ldmd.toml"


@dataclass(frozen=True)
class Detection:
    """Detection of duplicate MAC addresses. As it is nothing leaves the host: loopback, no hops."""

    enabled: bool = True
    interface: str = "127.0.0.1"
    hops: int = 0


def read_detection(path: Path) -> Detection:
    """Table [mac-detection] of ldmd.toml: enabled, interface (an IPv4 address), hops. Raises RefusedError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Detection()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        refuse("settings.file", path=path, problem=error)
    table = data.get("mac-detection", {})
    kinds = {"enabled": bool, "interface": str, "hops": int}
    if set(data) - {"mac-detection", "migration", "metrics"} or not isinstance(table, dict) or set(table) - set(kinds):
        refuse("settings.file", path=path,
               problem="only [mac-detection] with enabled, interface, hops, [migration] and [metrics] are known")
    for name, value in table.items():
        if type(value) is not kinds[name]:
            refuse("settings.file", path=path, problem=f"{name}: {value!r} is no {kinds[name].__name__}")
    found = Detection(**table)
    try:
        ipaddress.IPv4Address(found.interface)
    except ValueError as error:
        refuse("settings.file", path=path, problem=f"interface: {error}")
    if not 0 <= found.hops <= 255:
        refuse("settings.file", path=path, problem=f"hops: {found.hops} is not from 0 to 255")
    return found


class SharedNeighbours(Neighbours):
    """The other machines, asked by operations and served by a thread: one at a time.

    `alone` says that there is nobody to ask: then there is no second to wait for answers.
    """

    def __init__(self, conversation: Conversation, transport: Multicast, alone: Callable[[], bool]) -> None:
        super().__init__(conversation, transport, time.monotonic)
        self._turn = threading.Lock()
        self._alone = alone

    def taken(self, macs: Collection[int]) -> frozenset[int]:
        """Those of the addresses that other machines have."""
        if self._alone():
            return frozenset()
        with self._turn:
            return super().taken(macs)

    def discover(self) -> dict[Address, Discovery]:
        """The managers that answer."""
        with self._turn:
            return super().discover()

    def serve(self) -> None:
        """Answer what has come, unless an operation asks right now: it answers as well."""
        if self._turn.acquire(blocking=False):
            try:
                super().serve()
            finally:
                self._turn.release()


class Housekeeping:
    """The thread. `start` and `close`, once each."""

    def __init__(self, manager: Manager, detection: Detection, *, alone: Callable[[], bool] = lambda: False) -> None:
        """`alone`: no other machine of this host is on; asked only where questions do not leave it."""
        self._manager = manager
        self._ended = threading.Event()
        self._alone = alone if ipaddress.IPv4Address(detection.interface).is_loopback else lambda: False
        self._transport = self._opened(detection)
        self._policies = PolicyEngine(lambda: manager.configuration, self._statuses, self._execute, zone_seconds=_zone)
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def _opened(self, detection: Detection) -> Multicast | None:
        """The sockets; without them nobody is asked, which the log says."""
        if not detection.enabled:
            return None
        try:
            transport = Multicast(detection.interface, detection.hops)
        except OSError as error:
            self._manager.log.warning(f"duplicate MAC addresses are not looked for: {error}")
            return None
        identity = Discovery(Kind.DISCOVERED, version=__version__, hostname=self._manager.configuration.server.name,
                             ip=detection.interface)
        self._manager.neighbours = SharedNeighbours(
            Conversation(self._owned, identity), transport, self._alone)
        return transport

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._manager.neighbours = None
        if self._transport is not None:
            self._transport.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._once()
            except Exception:
                self._manager.log.warning(f"housekeeping: {traceback.format_exc()}")
                self._ended.wait(TICK_SECONDS)

    def _once(self) -> None:
        """A second: datagrams as they come, then the policies."""
        until = time.monotonic() + TICK_SECONDS
        neighbours = self._manager.neighbours
        while (left := until - time.monotonic()) > 0 and not self._ended.is_set():
            if self._transport is None or neighbours is None:
                self._ended.wait(left)
            elif select.select([self._transport], [], [], min(left, 0.5))[0]:
                neighbours.serve()
                self._ended.wait(0.01)  # a flood takes no more than a share of the processor
        self._policies.tick(time.time())

    def _statuses(self) -> Sequence[Mapping[str, Any]]:
        statuses: Sequence[Mapping[str, Any]] = self._manager.hypervisor.call("guest.list")
        return statuses

    def _execute(self, command: str, arguments: Mapping[str, Any]) -> Any:
        return self._manager.execute(command, arguments, caller=POLICY, line=_typed(command, arguments))

    def _owned(self) -> frozenset[int]:
        """Every MAC address of this server's domains and devices."""
        found: set[int] = set()
        for domain in self._manager.configuration.domains:
            found |= {domain.mac, *(switch.mac for switch in domain.switches)}
            for net in domain.vnets:
                found |= {net.mac, *net.alt_macs}
        return frozenset(found)


def _typed(command: str, arguments: Mapping[str, Any]) -> str:
    return " ".join(["ldm", command, *(str(value) for value in arguments.values())])


def _zone(now: float) -> int:
    return time.localtime(now).tm_gmtoff
