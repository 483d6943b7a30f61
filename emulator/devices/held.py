"""A server that goes away and comes back without its client's noticing: what it says meanwhile waits here.

A channel that goes down, or is reset, while Linux 6.1 has requests on their way makes its disk driver fail them
(`ldc_abort` in a send, then EIO), where an administrator is promised that they wait. So the session of a client that
waits for ever is kept: its messages are taken, or it would run out of queue, and are answered when the service is back.
"""

from __future__ import annotations

from emulator.devices import vio
from emulator.devices.state import Fields, Json
from emulator.errors import StateError

MAX_HELD = 2048
"""Messages that wait; a client that says more than it has descriptors loses its session."""


class HeldServer(vio.VioServer):
    """`holds`: sessions outlast the service. Else the channel is down while it is away, as for all other servers."""

    def __init__(self, name: str, number: int) -> None:
        self.holds = True
        self._held: list[bytes] | None = None
        self._was: object = None
        super().__init__(name, number)

    def identity(self) -> object:
        """What the client was told of the device: where this has changed, a session cannot go on."""
        raise NotImplementedError

    def set_online(self, online: bool) -> None:
        """The service goes, or comes back."""
        if not online and self.online and self.holds and self.running:
            self.online, self._held, self._was = False, [], self.identity()
        elif online and not self.online and self._held is not None and not (
            self.holds and self.identity() == self._was
        ):
            self._let_go("the device is another one")
            super().set_online(True)
        elif online and not self.online and self._held is not None:
            self.online = True
            self.service(self.number)
        else:
            super().set_online(online)

    def service(self, number: int) -> None:
        """While the service is away messages are kept; when it is back they come first."""
        if self._held is None:
            super().service(number)
        elif self.online:
            held, self._held = self._held, None
            for data in held:
                self.message(data)
            super().service(number)
        else:
            self._hold()

    def _hold(self) -> None:
        self.flush()
        if self.channel.info.resets != self._resets:
            self._let_go("the peer has started anew")
            return
        for packet in self.channel.receive(MAX_HELD):
            self._dispatch(self.link.receive(packet), tell=False)
            if self._held is None or not self.running or len(self._held) > MAX_HELD:
                self._let_go("the peer does not wait")
                return

    def _let_go(self, why: str) -> None:
        """No session any more: the channel is down, and the client begins anew when the service is back."""
        self._held = None
        self._dispatch(self.link.fail(why), tell=False)
        self.channel.up = False

    def message(self, data: bytes) -> None:
        """A message of the guest, now or later."""
        if self._held is None:
            super().message(data)
        else:
            self._held.append(data)

    def save_session(self) -> dict[str, Json]:
        """With what waits."""
        held: list[Json] = [data.hex() for data in self._held or ()]
        return super().save_session() | ({} if self._held is None else {"held": held})

    def load_session(self, fields: Fields) -> None:
        """Take over what `save_session` gave."""
        super().load_session(fields)
        self._held, self._was = None, self.identity()
        if "held" in fields:
            try:
                self._held = [bytes.fromhex(str(data)) for data in fields.items("held", MAX_HELD)]
            except ValueError:
                raise StateError("the state of a device is damaged: held") from None
