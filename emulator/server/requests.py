"""Requests to a guest's operating system through domain services, and their answers as events."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any, TypeVar

from emulator.devices.ds import CpuAction, DomainServices, MemoryAction, Reply, ServiceError, VioAction
from emulator.errors import EmulatorError
from emulator.machine import Machine
from emulator.server.errors import ArgumentError, NoServiceError
from emulator.server.plugs import SERVICES
from emulator.server.spec import GuestSpec
from emulator.server.steady import Steady

A = TypeVar("A", bound=IntEnum)
ACTIONS = {action.name.lower(): action for action in CpuAction}
MAX_DELAY_MS = (1 << 32) - 1
ROUNDING_SECONDS = 0.001
SHUTDOWN, SUSPEND, MD_UPDATE = "domain-shutdown", "domain-suspend", "md-update"
UNANSWERED_SECONDS = 900.0
"""After which a request that the guest has not answered ends: longer than a manager waits for anything."""


class Requests:
    """The manager's end of one guest's domain services, over all its power-ons. For the guest's turn only.

    `emit` takes the kind of an event and its members; `ticks` gives seconds that only grow; `hindered` says why the
    guest cannot answer now ("": it can).
    """

    def __init__(
        self, emit: Callable[..., None], numbers: Iterator[int], ticks: Callable[[], float],
        hindered: Callable[[], str],
    ) -> None:  # fmt: skip
        self._emit, self._ticks, self._hindered = emit, ticks, hindered
        self.said = Steady(emit, ticks)
        """What the guest may say as often as it likes."""
        self._numbers = numbers  # of the whole machine: a manager tells answers apart by them
        self._device: DomainServices | None = None
        self._asked: dict[int, tuple[int, Reply]] = {}  # id of the reply -> number of the request
        self._reboot = False

    @property
    def services(self) -> tuple[str, ...]:
        """Services the guest has registered."""
        return self._device.services if self._device else ()

    def connect(
        self, machine: Machine, spec: GuestSpec, *, on_variable: Callable[[str, str | None], None]
    ) -> None:
        """A machine that is being made."""
        device = DomainServices(SERVICES, spec.services_channel, on_variable=on_variable, clock=self._ticks)
        device.on_services = self._changed
        device.on_reply = self._answered
        self._device = device
        machine.attach(device)

    def abandon(self, why: str) -> None:
        """The guest is no more, or begins anew: no answer will come."""
        asked, self._asked = self._asked, {}
        for number, reply in asked.values():
            self._tell(number, reply, why)
        self._reboot = False
        if why != "the guest was reset":
            self._device = None
            self.said.flush(everything=True)  # its number may be another's soon

    def take_reboot(self) -> bool:
        """Was the guest asked to shut down in order to start again?"""
        wanted, self._reboot = self._reboot, False
        return wanted

    @property
    def reboots(self) -> bool:
        """Is the guest to start again when it has shut down?"""
        return self._reboot

    def continue_(self, *, reboot: bool) -> None:
        """A guest has come from another server, and its session with it."""
        self._reboot = reboot
        self._changed(self.services)

    def tell_description(self) -> None:
        """Tell a guest that has come of its new machine description, where its system knows that it may be moved.

        Linux does not; it would find no device or CPU changed, and 6.1 crashes on its first md-update where no process
        keeps /dev/mdesc open (docs/internals/virtual-devices.md). A manager may tell it all the same.
        """
        if self._device is not None and self._device.reads_descriptions:
            self._device.md_update()

    def suspend(self) -> dict[str, Any]:
        """domain-suspend: the guest makes itself ready and calls MACH_SUSPEND."""
        return self._ask(lambda device: device.suspend())

    def expire(self) -> None:
        """End requests that the guest has left unanswered for too long; tell of what it has said meanwhile."""
        self.said.flush()
        if self._asked and self._device is not None:
            for reply in self._device.expire(UNANSWERED_SECONDS):
                self._reboot = self._reboot and reply.service != SHUTDOWN

    def patience(self) -> float | None:
        """Seconds until the next request ends unanswered, or something is to be told; None: never."""
        oldest = min((reply.asked_at for _, reply in self._asked.values() if not reply.done), default=None)
        said = self.said.patience()
        if oldest is None:
            return said
        left = max(0.0, oldest + UNANSWERED_SECONDS - self._ticks()) + ROUNDING_SECONDS
        return left if said is None else min(left, said)

    def _changed(self, services: tuple[str, ...]) -> None:
        self.said.say("guest.services", "", services=list(services))

    def _answered(self, reply: Reply) -> None:
        if reply.service == SHUTDOWN and reply.result not in (0, None):
            self._reboot = False  # it goes on: what ends it later is not this request
        number, _ = self._asked.get(id(reply), (0, reply))
        if not reply.more_follows:
            self._asked.pop(id(reply), None)
        if number or reply.service == SUSPEND:  # that of a guest that has come: it was asked on another server
            self._tell(number, reply, reply.reason)

    def _tell(self, number: int, reply: Reply, reason: str) -> None:
        answer = dataclasses.asdict(reply.answer)
        del answer["done"]
        self._emit("guest.reply", request=number, service=reply.service, **(answer | {"reason": reason}))

    # -- requests

    def _ask(self, ask: Callable[[DomainServices], Reply]) -> dict[str, Any]:
        if self._device is None:
            raise NoServiceError("the guest is not on")
        if why := self._hindered():
            raise NoServiceError(f"the guest is {why} and would not answer")
        try:
            reply = ask(self._device)
        except ServiceError as error:
            raise NoServiceError(str(error)) from None
        number = next(self._numbers)
        if reply.done:  # the channel went down under it
            self._tell(number, reply, reply.reason)
        else:
            self._asked[id(reply)] = number, reply
        return {"request": number}

    def shutdown(self, delay_ms: int, *, reboot: bool) -> dict[str, Any]:
        """Ask for a shutdown; with `reboot` the guest starts again when it has ended."""
        result = self._ask(lambda device: device.shutdown(delay_ms))
        self._reboot = reboot
        return result

    def panic(self) -> dict[str, Any]:
        """Ask for a panic."""
        return self._ask(lambda device: device.panic())

    def md_update(self) -> dict[str, Any]:
        """Tell of a new machine description."""
        return self._ask(lambda device: device.md_update())

    def cpu(self, action: str, cpus: Sequence[int]) -> dict[str, Any]:
        """dr-cpu."""
        return self._ask(lambda device: device.cpu(_action(action), cpus))

    def crypto(self, kind: str, action: str, cpus: Sequence[int]) -> dict[str, Any]:
        """dr-crypto-mau or dr-crypto-cwq."""
        if kind not in ("mau", "cwq"):
            raise ArgumentError(f"kind: mau or cwq is wanted, not {kind[:40]!r}")
        return self._ask(lambda device: device.crypto(kind, _action(action), cpus))

    def memory(self, action: str, blocks: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """dr-mem: (real address, bytes) of each block."""
        wanted = _named(MemoryAction, action)
        return self._ask(lambda device: device.memory(wanted, blocks))

    def vio(self, action: str, kind: str, number: int) -> dict[str, Any]:
        """dr-vio: a device by the name of its node in the machine description, such as disk, and its number."""
        wanted = _named(VioAction, action)
        return self._ask(lambda device: device.vio(wanted, kind, number))

    def system_info(self, names: Sequence[str]) -> dict[str, Any]:
        """system-info: facts that the operating system tells of itself."""
        return self._ask(lambda device: device.system_info(names))


def _named(actions: type[A], name: str) -> A:
    try:
        return actions[name.upper()]
    except KeyError:
        words = ", ".join(each.name.lower() for each in actions)
        raise ArgumentError(f"action: one of {words} is wanted, not {name[:40]!r}") from None


def _action(name: str) -> CpuAction:
    try:
        return ACTIONS[name]
    except KeyError:
        raise ArgumentError(f"action: one of {', '.join(ACTIONS)} is wanted, not {name[:40]!r}") from None


__all__ = ["ACTIONS", "MAX_DELAY_MS", "EmulatorError", "Requests"]
