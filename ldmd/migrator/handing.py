"""What each side of an attempt does where the memory is handed over on one host (`samehost` has the connection)."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from emulator.hvctl.wire import WireError, close_all
from ldmd.migrator import samehost
from ldmd.migrator.guestops import call_fds
from ldmd.migrator.looking import Looking
from ldmd.migrator.means import Means
from ldmd.migrator.samehost import HandedState, HandError, Handing, Taking, Waiting
from ldmd.operations.context import HypervisorError


class TakesDescriptors(Protocol):
    """A hypervisor whose requests may bring descriptors."""

    def call_with(self, op: str, with_fds: Sequence[int], /, **arguments: Any) -> tuple[Any, list[int]]:
        """One request; the descriptors stay the caller's. Raises HypervisorError."""


class SourceHand:
    """The source's: from its jobs, one after the other; `close` from any thread."""

    def __init__(self, means: Means, guest: int, *, mid: int, data: Mapping[str, Any]) -> None:
        self._means, self._guest, self._mid = means, guest, mid
        self._secret, self._name = data["secret"], data["local"]
        self._looking: Looking | None = None
        self._handing: Handing | None = None
        self.populated_bytes = 0
        self.verify = False

    def offer(self) -> None:
        """The target adopts the memory. Raises HandError, WireError, OSError, HypervisorError: then it is copied."""
        result, fds = call_fds(self._means.manager, "memory.lend", guest=self._guest)
        wish = self._means.settings.handover_verify
        try:
            if wish != "never":
                self._looking = Looking(self._means, result["blocks"], fds, mid=self._mid, secret=self._secret)
                self.populated_bytes = self._looking.populated_bytes
                self.verify = wish == "always" or self.populated_bytes <= samehost.VERIFY_BYTES
            self._handing = Handing.begin(self._name, mid=self._mid, secret=self._secret, blocks=result["blocks"],
                                          fds=fds, verify=self.verify)
        except BaseException:
            self.close()
            raise
        finally:
            close_all(fds)

    def send(self, fd: int, *, size: int, sha256: bytes) -> dict[str, Any]:
        """The state of the suspended guest; what a worker would say in the end. Raises OSError."""
        begun = time.monotonic()
        looking, handing = self._looking, self._handing
        if handing is None:
            raise OSError("the hand-over was stopped")
        pages = looking.digest() if looking is not None and self.verify else secrets.token_hex(samehost.DIGEST_HEX // 2)
        looked = time.monotonic()
        handing.send_state(fd, size=size, sha256=sha256, digest=pages)
        parts = {"verify": round((looked - begun) * 1000, 2), "state": round((time.monotonic() - looked) * 1000, 2)}
        return {"event": "final", "digest": pages, "pages": 0, "bytes": size, "raw_bytes": 0, "state_bytes": size,
                "rounds": 0, "strict": self.verify, "handover": True, "parts": parts}

    def progress(self) -> dict[str, Any]:
        """As a worker tells it: nothing is to be sent."""
        total = self.populated_bytes if self.verify else 0
        return {"phase": "handover", "round": 0, "pages": 0, "bytes": 0, "total_bytes": total, "remaining": 0,
                "dirty_rate": 0, "wire_rate": 0, "ratio": 1.0, "predicted_downtime_ms": 0.0, "percent": 99.0,
                "limited_by": "nothing"}

    def close(self) -> None:
        """End it."""
        handing, self._handing = self._handing, None
        looking, self._looking = self._looking, None
        if handing is not None:
            handing.close()
        if looking is not None:
            looking.stop()


class TargetHand(Taking):
    """The target's. `adopted`, `received`, `failed`: told from a thread of its own; `guest`: number of the guest."""

    def __init__(self, means: Means, guest: int, *, mid: int, secret: bytes, current: Callable[[], bool],
                 adopted: Callable[[], None], received: Callable[[dict[str, Any]], None],
                 failed: Callable[[str], None], log: Callable[[str], None]) -> None:
        """Raises OSError."""
        self._means, self._guest, self._mid, self._secret = means, guest, mid, secret
        self._current, self._adopted, self._received, self._failed = current, adopted, received, failed
        self._looking: Looking | None = None
        self._waiting = Waiting(mid, secret, self, log)

    @property
    def name(self) -> str:
        """Where the source connects."""
        return self._waiting.name

    def adopt(self, blocks: list[Any], fds: Sequence[int], *, verify: bool) -> None:
        """See `Taking`."""
        if not self._current():
            raise HandError("the migration was given up")
        machine = cast(TakesDescriptors, self._means.manager.hypervisor)
        machine.call_with("memory.adopt", fds, guest=self._guest, blocks=blocks)
        self._adopted()
        if verify:
            result, mine = call_fds(self._means.manager, "memory.descriptors", guest=self._guest)
            try:
                self._looking = Looking(self._means, result["blocks"], mine, mid=self._mid, secret=self._secret)
            finally:
                close_all(mine)

    def take_state(self, state: HandedState) -> None:
        """See `Taking`."""
        manager = self._means.manager
        if not self._current():
            raise HandError("the migration was given up")
        _, fds = call_fds(manager, "guest.state_buffer", guest=self._guest, bytes=state.size)
        try:
            data = os.pread(state.fd, state.size, 0)
            if len(data) != state.size or os.pwrite(fds[0], data, 0) != state.size:
                raise HandError("the state is shorter than it was said to be")
        finally:
            close_all(fds)
        self._received({"digest": state.digest, "sha256": state.sha256, "state_bytes": state.size, "pages": 0,
                        "strict": self._looking is not None})

    def lost(self, why: str) -> None:
        """See `Taking`."""
        self._failed(f"the hand-over ended: {why}")

    def compare(self, digest: str) -> None:
        """After the state was loaded: the memory is what the source had. Raises OSError where it is not."""
        looking = self._looking
        if looking is not None and looking.digest() != digest:
            raise OSError("the memory is not what the source had (digests differ)")

    def close(self) -> None:
        """End it."""
        self._waiting.close()
        looking, self._looking = self._looking, None
        if looking is not None:  # the domain may be waiting for this to be over
            threading.Thread(target=looking.stop, name="migration-looking-end", daemon=True).start()


UNFIT = (HandError, HypervisorError, WireError, OSError)
"""Why memory must be copied after all."""
