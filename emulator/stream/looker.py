"""A worker that moves nothing: it hashes memory that is handed over by its descriptors, on either side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from emulator._core_stream import Image
from emulator.stream import chunks
from emulator.stream.requests import PAGE_BYTES, Final, Look, RequestError

Tell = Callable[..., None]


class Looker:
    """`tell(event, **fields)` is the way to the manager."""

    def __init__(self, request: Look, tell: Tell) -> None:
        """Raises EmulatorError. The request's descriptors stay the caller's."""
        self._image = Image(request.blocks, chunks.hash_key(request.secret, request.mid), marks=False)
        self._tell = tell
        self._over = threading.Event()
        self._failed = False

    def start(self) -> None:
        """Say how much there is."""
        at = populated = 0
        while at < self._image.pages:
            at, found = self._image.populated(at)
            populated += found
        self._tell("looking", bytes=populated * PAGE_BYTES)

    def audit(self) -> None:
        """Hash all of it."""
        pages = self._image.look(self._over.is_set)
        self._tell("digest", digest=self._image.digest().hex(), pages=pages)

    def fail(self, code: str, why: str) -> None:
        """Give up, once."""
        if not self._failed and not self._over.is_set():
            self._failed = True
            self._tell("failed", code=code, why=why[:1000])

    def end(self) -> None:
        """What is under way ends soon."""
        self._over.set()

    def stop(self) -> None:
        """Nothing is under way any more."""
        self._over.set()
        self._image.close()

    def barrier(self, number: int) -> None:
        """It has none."""
        raise RequestError(f"barrier {number}: nothing is moved here")

    def stands(self) -> None:
        """It has none."""
        raise RequestError("stands: nothing is moved here")

    def final(self, request: Final) -> None:
        """It has none."""
        os.close(request.fd)
        raise RequestError("final: nothing is moved here")

    def presence(self, fd: int, bell: int) -> None:
        """It has none."""
        os.close(fd)
        os.close(bell)
        raise RequestError("presence: nothing is moved here")

    def state(self, fd: int) -> None:
        """It has none."""
        os.close(fd)
        raise RequestError("state: nothing is moved here")
