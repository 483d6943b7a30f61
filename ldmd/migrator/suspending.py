"""How a domain comes to stand still, and is heard of again.

A system that has the domain service `domain-suspend` (Solaris, labos) is asked: it says whether it will, makes itself
ready and calls MACH_SUSPEND; on the target it reads its new machine description and says that it is back. One that has
not (Linux) is stopped by the hypervisor where it is, and notices nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

from ldmd.messages import refuse
from ldmd.migrator.guestops import status_of
from ldmd.operations.context import HypervisorError

if TYPE_CHECKING:
    from ldmd.manager import Manager

SERVICE = "domain-suspend"


class Word(IntEnum):
    """What a system says of a suspend (emulator/hvctl/protocol.md, `guest.suspend_request`)."""

    WILL = 0
    WILL_NOT = 1
    NOT_UNDERSTOOD = 2
    COULD_NOT = 4
    BACK = 5
    BACK_BADLY = 6


REFUSALS = (Word.WILL_NOT, Word.NOT_UNDERSTOOD, Word.COULD_NOT)
RETURNS = (Word.COULD_NOT, Word.BACK, Word.BACK_BADLY)
BACK_SECONDS = 120.0
"""How long a system that runs again may take to say so; Solaris itself tries for 60 s."""
REASON_LETTERS = 512


def stands_by_itself(manager: Manager, uuid: str, *, name: str, seconds: float, wanted: Callable[[], bool]) -> bool:
    """Ask the domain's system to suspend itself, and wait until it stands.

    False: it has no such service, or nobody wants that any more (`wanted`). What it does later then is not this
    function's: a guest that suspends itself while no migration holds it is resumed (`ldmd.events`). Raises RefusedError
    migration.suspend-refused, migration.suspend-silent (`seconds` is the time for its answer, and again for standing
    still after a good one), and HypervisorError.
    """
    status = status_of(manager, uuid)
    if stands(status):
        return True
    if SERVICE not in status.get("services", ()):
        return False
    try:
        request = manager.hypervisor.call("guest.suspend_request", guest=status["guest"])["request"]
    except HypervisorError as error:
        if error.code == "no-service":  # it has just gone: the session ended
            return False
        raise

    def settled() -> bool:
        return not wanted() or _answered(manager, request) or stands(status_of(manager, uuid))

    def over() -> bool:
        return not wanted() or _refused(manager, request) or stands(status_of(manager, uuid))

    with manager.turn():
        in_time = manager.wait(None, settled, seconds) and manager.wait(None, over, seconds)
    if not wanted():
        return False
    if stands(status_of(manager, uuid)):
        return True
    if not in_time:
        said = _phases(manager, request)
        refuse("migration.suspend-silent", name=name, seconds=f"{seconds:g}",
               what="said that it would, and did not" if said else "did not answer")
    _tell_refusal(manager.replies.get(request, {}), name)


def stands(status: Mapping[str, Any]) -> bool:
    """Does a guest stand still?"""
    return status.get("state") == "suspended"


def _phases(manager: Manager, request: int) -> tuple[int, ...]:
    """What it said so far, as `Word`."""
    phases = manager.replies.get(request, {}).get("phases")
    return tuple(each for each in phases if isinstance(each, int)) if isinstance(phases, list | tuple) else ()


def _answered(manager: Manager, request: int) -> bool:
    return request in manager.replies


def _refused(manager: Manager, request: int) -> bool:
    reply = manager.replies.get(request)
    return reply is not None and (reply.get("result") is None or reply["result"] in REFUSALS)


def _tell_refusal(reply: Mapping[str, Any], name: str) -> NoReturn:
    reason = " ".join(str(reply.get("reason") or "").split())[:REASON_LETTERS]
    refuse("migration.suspend-refused", name=name, reason=reason or "it gave no reason")


class Return:
    """On the target: wait in the background for the word of a system that suspended itself on the source."""

    def __init__(self, manager: Manager, uuid: str, name: str) -> None:
        self._manager, self._uuid, self._name = manager, uuid, name
        self._guest = -1  # nothing will be said

    def before_resume(self) -> None:
        """What an earlier guest of this number said does not count."""
        status = status_of(self._manager, self._uuid)
        self._guest = int(status.get("guest", -1)) if SERVICE in status.get("services", ()) else -1
        said = self._manager.replies.get(0)
        if said is not None and said.get("guest") == self._guest:
            self._manager.replies.pop(0, None)

    def listen(self, then: Callable[[], None]) -> None:
        """It runs. `then`: what wants a system that has come back; at once where no word will come."""
        if self._guest < 0:
            then()
            return
        threading.Thread(target=self._listen, args=(then,), name="migration-return", daemon=True).start()

    def _word(self) -> int | None:
        reply = self._manager.replies.get(0, {})
        result = reply.get("result")
        return result if reply.get("guest") == self._guest and result in RETURNS else None

    def _listen(self, then: Callable[[], None]) -> None:
        manager = self._manager
        with manager.turn():
            manager.wait(None, lambda: self._word() is not None, BACK_SECONDS)
        word = self._word()
        if word == Word.BACK:
            manager.log.notice(f"{self._name}: its operating system has resumed")
        else:
            what = "has not said that it resumed" if word is None else "says that it did not resume well"
            manager.log.warning(f"{self._name}: its operating system {what}")
        manager.publish("migration-resumed", domain=self._name, uuid=self._uuid, result=word)
        then()
