"""Memory handed over by descriptor, where both managers are on one host: no page is copied (docs/internals/moving.md).

The target listens at a name of the host's abstract socket namespace, which it tells over the link of the managers with
the secret of this attempt. A source that can connect there is on the same host; both prove that they know the secret,
both are of one user (SO_PEERCRED). Then, each frame as `emulator.hvctl.wire` has it:

    source                                              target
    hello {mid, proof}          ---------------------->
                                <----------------------  welcome {proof}
    memory {blocks, verify}     -- descriptors -------->
                                <----------------------  adopted {} or refused {why}: then it is copied
    state {bytes, sha256, digest}  -- descriptor ------>
                                <----------------------  here {}

Until the target owns the domain it writes nothing to the memory: it stays the source's, which can take it back as if it
had been copied. Who speaks when it is not its turn is disconnected.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.hvctl.wire import MAX_FDS, MAX_REQUEST, Frame, Receiver, WireError, send
from ldmd.operations.context import HypervisorError

AUTO, OFF = "auto", "off"
HANDOVERS = (OFF, AUTO)
VERIFY = (AUTO, "always", "never")
VERIFY_BYTES = 256 << 20
"""`auto` hashes the memory before and after where so much of it is populated, or less: 30 ms of the pause."""
ANSWER_SECONDS = 20.0
PROOF_BYTES, DIGEST_HEX = 32, 32
STATE_BYTES = 64 << 20
_CREDENTIALS = struct.Struct("iII")


class HandError(Exception):
    """It cannot be handed over like this: what is wrong."""


@dataclass(frozen=True)
class HandedState:
    """What the source says of the guest's state; `digest`: of its memory, 32 hexadecimal digits."""

    fd: int
    size: int
    sha256: bytes
    digest: str


class Taking:
    """What the target does with what comes; from the thread of `Waiting`. Each may raise HypervisorError, OSError."""

    def adopt(self, blocks: list[Any], fds: Sequence[int], *, verify: bool) -> None:
        """The memory; the descriptors are the caller's."""
        raise NotImplementedError

    def take_state(self, state: HandedState) -> None:
        """The state; its descriptor is the caller's."""
        raise NotImplementedError

    def lost(self, why: str) -> None:
        """The source is gone, or broke the rules, after memory was adopted."""
        raise NotImplementedError


def proof(secret: bytes, side: str, mid: int) -> bytes:
    """That a side knows the secret of an attempt."""
    return hmac.digest(secret, f"sun4v hand-over {side} {mid}".encode(), "sha256")


def same_user(sock: socket.socket) -> bool:
    """Is the peer a process of this one's user, or root?"""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid in (0, os.geteuid())


class _Line:
    """One end of the connection: a frame at a time, each of the kind that is wanted."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._receiver = Receiver(sock, max_bytes=MAX_REQUEST, max_fds=MAX_FDS)

    def say(self, kind: str, fds: Sequence[int] = (), /, **members: Any) -> None:
        send(self.sock, {"type": kind, **members}, fds)

    def hear(self, *kinds: str, fds: range, seconds: float | None) -> Frame:
        """The next frame. Raises HandError, WireError, OSError."""
        self.sock.settimeout(seconds)
        frame = self._receiver.receive()
        if frame is None:
            raise HandError("no frame in time")
        if frame.message.get("type") not in kinds or len(frame.fds) not in fds:
            frame.close()
            raise HandError(f"{' or '.join(kinds)} expected")
        return frame

    def close(self) -> None:
        self._receiver.close()
        self.sock.close()


class Waiting:
    """The target's end: waits for the source of one attempt. `close` from any thread."""

    def __init__(self, mid: int, secret: bytes, taking: Taking, log: Callable[[str], None]) -> None:
        """Raises OSError."""
        self._mid, self._secret, self._taking, self._log = mid, secret, taking, log
        self.name = f"sun4v-hand-over-{secrets.token_hex(16)}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{self.name}")
        self._listener.listen(4)
        self._closed = False
        self._line: _Line | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="migration-hand-over", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more of it: who is connected is disconnected."""
        with self._guard:
            self._closed = True
            ends = [self._listener, *([self._line.sock] if self._line else [])]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if self._thread is not threading.current_thread():
            self._thread.join(ANSWER_SECONDS)

    def _run(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    sock, _ = self._listener.accept()
                except OSError:
                    return
                self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        line = _Line(sock)
        with self._guard:
            self._line = line
        adopted = False
        try:
            if same_user(sock) and not self._closed and self._is_source(line):
                adopted = self._adopt(line)
                if adopted:
                    self._state(line)
                    line.hear("end", fds=range(1), seconds=None)  # nothing more comes: until it is closed
        except (HandError, HypervisorError, WireError, OSError) as error:
            if adopted and not self._closed:
                self._taking.lost(str(getattr(error, "text", "")) or str(error))
        finally:
            with self._guard:
                self._line = None
            line.close()

    def _is_source(self, line: _Line) -> bool:
        said = line.hear("hello", fds=range(1), seconds=ANSWER_SECONDS).message
        wanted, given = proof(self._secret, "source", self._mid), said.get("proof")
        if said.get("mid") != self._mid or not isinstance(given, bytes) or not hmac.compare_digest(wanted, given):
            return False
        line.say("welcome", proof=proof(self._secret, "target", self._mid))
        return True

    def _adopt(self, line: _Line) -> bool:
        frame = line.hear("memory", fds=range(1, MAX_FDS + 1), seconds=ANSWER_SECONDS)
        blocks, verify = frame.message.get("blocks"), frame.message.get("verify")
        try:
            if not isinstance(blocks, list) or not isinstance(verify, bool):
                raise HandError("blocks expected")
            self._taking.adopt(blocks, frame.fds, verify=verify)
        except (HandError, HypervisorError, OSError) as error:
            why = str(getattr(error, "text", "")) or str(error)
            self._log(f"the memory is copied, since it cannot be taken over: {why}")
            line.say("refused", why=why[:200])
            return False
        finally:
            frame.close()
        line.say("adopted")
        return True

    def _state(self, line: _Line) -> None:
        frame = line.hear("state", fds=range(1, 2), seconds=None)
        try:
            self._taking.take_state(_state_of(frame))
        finally:
            frame.close()
        line.say("here")


def _state_of(frame: Frame) -> HandedState:
    size, sha256, digest = (frame.message.get(name) for name in ("bytes", "sha256", "digest"))
    if type(size) is not int or not 0 < size <= STATE_BYTES:
        raise HandError("the state is too large")
    if not isinstance(sha256, bytes) or len(sha256) != PROOF_BYTES:
        raise HandError("a SHA-256 expected")
    if not isinstance(digest, str) or len(digest) != DIGEST_HEX or set(digest) - set("0123456789abcdef"):
        raise HandError("a digest expected")
    return HandedState(frame.fds[0], size, sha256, digest)


class Handing:
    """The source's end, once the target has adopted the memory."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    @classmethod
    def begin(cls, name: str, *, mid: int, secret: bytes, blocks: Sequence[Mapping[str, Any]], fds: Sequence[int],
              verify: bool) -> Handing:
        """Offer the memory. Raises HandError, WireError, OSError where it must be copied."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line = _Line(sock)
        try:
            sock.settimeout(ANSWER_SECONDS)
            sock.connect(f"\0{name}")
            if not same_user(sock):
                raise HandError("another user's process")
            line.say("hello", mid=mid, proof=proof(secret, "source", mid))
            given = line.hear("welcome", fds=range(1), seconds=ANSWER_SECONDS).message.get("proof")
            if not isinstance(given, bytes) or not hmac.compare_digest(given, proof(secret, "target", mid)):
                raise HandError("it is not the target")
            line.say("memory", fds, blocks=list(blocks), verify=verify)
            answer = line.hear("adopted", "refused", fds=range(1), seconds=ANSWER_SECONDS).message
            if answer["type"] != "adopted":
                raise HandError(str(answer.get("why", ""))[:200])
        except BaseException:
            line.close()
            raise
        return cls(line)

    def send_state(self, fd: int, *, size: int, sha256: bytes, digest: str) -> None:
        """The state of the suspended guest; the descriptor stays the caller's. Raises OSError."""
        try:
            self._line.say("state", [fd], bytes=size, sha256=sha256, digest=digest)
            self._line.hear("here", fds=range(1), seconds=ANSWER_SECONDS)
        except (HandError, WireError) as error:
            raise OSError(f"the target does not take the domain's state: {error}") from None

    def close(self) -> None:
        """The target is told so, where it has not all of it yet."""
        with contextlib.suppress(OSError):
            self._line.sock.shutdown(socket.SHUT_RDWR)
        self._line.close()
