"""Wires that leave the process: stream sockets with QEMU's framing, and TAP devices. None of them ever waits.

What a peer does not take in time is lost, as on a real wire: a wire holds QUEUE_BYTES and no more. What a peer sends is
checked where it is taken apart; a peer that breaks the framing is disconnected.

Sources: tun(4) documentation of Linux, networking/tuntap.rst; socket(7).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable

from emulator.devices.framing import LENGTH, Deframer
from emulator.devices.segment import Member

QUEUE_BYTES = 4 << 20
"""Frames that wait for a peer that does not take them."""
SOCKET_BUFFER = 1 << 20
READ_BYTES = 256 << 10
FRAMES_A_TURN = 64
"""Frames taken from a TAP device before others have their turn."""
BUFFERS_A_CALL = 128
TUN_PATH = "/dev/net/tun"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_LOST = (errno.EAGAIN, errno.ENOBUFS, errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENETDOWN)


class StreamWire(Member):
    """A connected stream socket. `stalled` is called, from any thread, when something waits for the socket to take it.

    `received` has frames: by default they go to the segment.
    """

    def __init__(self, name: str, sock: socket.socket, *, stalled: Callable[[StreamWire], None]) -> None:
        super().__init__(name)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        self._socket, self._stalled = sock, stalled
        self._lock = threading.Lock()
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._deframer = Deframer()
        self.closed = False
        self.received: Callable[[bytes], None] = self.receive

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    @property
    def queued_bytes(self) -> int:
        """What waits for the peer."""
        return self._waiting_bytes

    @property
    def writing(self) -> bool:
        """Does something wait?"""
        return bool(self._waiting)

    def transmit(self, frame: bytes) -> None:
        """Send a frame, or let it wait; one that finds no room is lost."""
        counters = self.counters
        with self._lock:
            if self.closed or self._waiting_bytes > QUEUE_BYTES:
                counters.dropped += 1
                return
            counters.out_frames += 1
            counters.out_bytes += len(frame)
            head = LENGTH.pack(len(frame))
            sent = 0
            if not self._waiting:
                try:
                    sent = self._socket.sendmsg((head, frame), (), socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self.closed = True  # the reader sees it too, and takes the wire away
                    return
                if sent == len(head) + len(frame):
                    return
            rest: bytes | memoryview = head + frame
            self._waiting.append(memoryview(rest)[sent:] if sent else rest)
            self._waiting_bytes += len(rest) - sent
        self._stalled(self)

    def write(self) -> None:
        """The socket takes something again. Raises OSError at the connection's end."""
        with self._lock:
            while self._waiting:
                some = [self._waiting[n] for n in range(min(len(self._waiting), BUFFERS_A_CALL))]
                try:
                    sent = self._socket.sendmsg(some, (), socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    return
                self._waiting_bytes -= sent
                while sent:
                    first = self._waiting[0]
                    if sent < len(first):
                        self._waiting[0] = memoryview(first)[sent:]
                        break
                    sent -= len(first)
                    self._waiting.popleft()

    def read(self) -> None:
        """Take what has come. Raises EOFError, OSError, FramingError at the connection's end."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise EOFError("the peer has closed the connection")
        for frame in self._deframer.feed(data):
            self.received(frame)

    def close(self) -> None:
        """Twice is fine."""
        with self._lock:
            self.closed = True
            self._waiting.clear()
            self._waiting_bytes = 0
            self._socket.close()


class TapWire(Member):
    """A TAP device of the host: made if there is none of that name, which takes root. Raises OSError."""

    def __init__(self, name: str, *, path: str = TUN_PATH) -> None:
        super().__init__(f"tap:{name}")
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()
        try:
            request = struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
        except OSError:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Of the device."""
        return self._fd

    @property
    def queued_bytes(self) -> int:
        """The device has a queue of its own."""
        return 0

    @property
    def writing(self) -> bool:
        """A device that is full loses frames."""
        return False

    def transmit(self, frame: bytes) -> None:
        """Hand a frame to the host; one that it does not take (it is down, or full) is lost."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                os.write(self._fd, frame)
            except OSError as error:
                if error.errno not in _LOST:
                    raise
                self.counters.dropped += 1
                return
        self.counters.out_frames += 1
        self.counters.out_bytes += len(frame)

    def write(self) -> None:
        """Nothing ever waits."""

    def read(self) -> None:
        """Take what has come. Raises OSError when the device is gone."""
        for _ in range(FRAMES_A_TURN):
            try:
                frame = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return
            if frame:
                self.receive(frame)

    def close(self) -> None:
        """Twice is fine."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


Wire = StreamWire | TapWire
