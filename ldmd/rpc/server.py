"""ldmd's end of the RPC: a unix socket, a thread that reads and one that writes for each connection.

A client can do no harm: frames are bounded, one that was begun must end in time, what is sent waits in a bounded queue
beside the operation (which never waits for a client), connections are counted. Who it is, the kernel says.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shutil
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from emulator.hvctl.wire import MAX_REQUEST, EndError, Receiver, WireError, encode
from emulator.places import check_socket_path
from ldmd.jobs import Caller, Outcome
from ldmd.manager import Manager
from ldmd.messages import RefusedError, message
from ldmd.operations.registry import OPERATIONS
from ldmd.rpc.access import Access
from ldmd.xmlif.interface import handle

CONNECTIONS = 128
CONNECTIONS_OF_ONE = 32
"""Of one user who is not ldmd's own."""
FRAME_SECONDS = 10.0
"""A frame that was begun is complete after so long, and one that is sent is taken."""
QUEUE_FRAMES = 4096
HANGUP_MS = 200
"""How often somebody looks whether the client of an operation that ends with it is there."""
_PEER = struct.Struct("3i")


class Server:
    """Listens on a path. `close` ends all connections; operations under way go on to their end."""

    def __init__(self, manager: Manager, path: Path, access: Access, *, frame_seconds: float = FRAME_SECONDS) -> None:
        self.manager, self.path, self.access, self.frame_seconds = manager, path, access, frame_seconds
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._count: Counter[int] = Counter()
        self._socket = _bound(path, access.group)
        self._thread = threading.Thread(target=self._accept, name="rpc", daemon=True)
        self._closing = False

    def start(self) -> None:
        """Begin to accept."""
        self._socket.listen(2 * CONNECTIONS)
        self._thread.start()

    def close(self) -> None:
        """No more clients."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        with self._lock:
            connections = list(self._connections)
        for each in connections:
            each.end()
        for each in connections:
            each.join()

    @property
    def clients(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                if self._closing:
                    return
                threading.Event().wait(0.05)  # no descriptors left: later
                continue
            try:
                self._welcome(sock)
            except (OSError, RuntimeError) as error:  # gone already, or no more threads
                self.manager.log.warning(f"rpc: {error}")
                sock.close()

    def _welcome(self, sock: socket.socket) -> None:
        pid, uid, gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        caller = self.access.caller(pid=pid, uid=uid, gid=gid)
        with self._lock:
            own = uid in (0, os.geteuid())
            full = len(self._connections) >= CONNECTIONS or (not own and self._count[uid] >= CONNECTIONS_OF_ONE)
        refused = None
        if full:
            refused = message("rpc.busy", most=CONNECTIONS)
        elif caller.role == "none":
            refused = message("access.none", user=caller.user, file="access.toml")
        if refused is not None:
            sock.settimeout(0)
            with contextlib.suppress(OSError):
                sock.send(encode(_failure(None, refused, 0)))
            sock.close()
            return
        connection = Connection(self, sock, caller, uid)
        with self._lock:
            self._connections.add(connection)
            self._count[uid] += 1
        connection.start()

    def forget(self, connection: Connection) -> None:
        """It ended."""
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)
                self._count[connection.uid] -= 1


def _bound(path: Path, group: str | None) -> socket.socket:
    check_socket_path(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)  # the lock on the process file says that nobody uses it
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    if group is not None:
        shutil.chown(path, group=group)
    path.chmod(0o660)
    return sock


class Connection:
    """One client."""

    def __init__(self, server: Server, sock: socket.socket, caller: Caller, uid: int) -> None:
        self._server, self._socket, self._caller, self.uid = server, sock, caller, uid
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE_FRAMES)
        self._threads = [threading.Thread(target=target, name=f"rpc-{name}-{caller.user}", daemon=True)
                         for target, name in ((self._write, "out"), (self._read, "in"))]
        self._unwatch: Callable[[], None] = _nothing
        self._ended = self._gone = False  # by whom ever; the client closed it

    def start(self) -> None:
        """Serve."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Close, at once; from any thread."""
        self._ended = True
        self._unwatch()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    def join(self) -> None:
        """Wait for its threads, but not for an operation that waits for something itself."""
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=2)

    # -- out

    def put(self, row: Mapping[str, Any]) -> None:
        """Queue a frame. A client that does not take what it asked for loses its connection."""
        try:
            self._queue.put_nowait(encode(row))
        except queue.Full:
            self._server.manager.log.notice(f"rpc: {self._caller.user} does not read; the connection was closed")
            self.end()

    def _write(self) -> None:
        try:
            while (frame := self._queue.get()) is not None:
                self._send(memoryview(frame))
        except TimeoutError:
            self.end()
        except OSError:
            self._gone = True
            self.end()

    def _send(self, data: memoryview) -> None:
        """All of it; the client must take something every `frame_seconds`."""
        while data:
            _, ready, _ = select.select([], [self._socket], [], self._server.frame_seconds)
            if not ready:
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                data = data[self._socket.send(data, socket.MSG_DONTWAIT) :]

    # -- in

    def _read(self) -> None:
        receiver = Receiver(self._socket, max_bytes=MAX_REQUEST)
        try:
            while not self._ended:
                self._socket.settimeout(None)
                if not self._socket.recv(1, socket.MSG_PEEK):
                    break
                self._socket.settimeout(self._server.frame_seconds)
                frame = receiver.receive()
                if frame is None:
                    break
                self._request(frame.message)
        except EndError:
            pass
        except (WireError, OSError, ValueError) as error:
            if not self._ended:
                self._server.manager.log.notice(f"rpc: {self._caller.user}: {error}; the connection was closed")
        finally:
            self._finish()

    def _finish(self) -> None:
        """What was queued goes out, then the socket is closed."""
        self._unwatch()
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._server.frame_seconds)
        self._threads[0].join()
        self._server.forget(self)
        self._socket.close()

    def _request(self, request: Mapping[str, Any]) -> None:
        number, command = request.get("id"), request.get("command")
        arguments, line = request.get("arguments", {}), request.get("line", "")
        if not isinstance(number, int) or not isinstance(command, str) or not isinstance(line, str) \
                or not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
            raise WireError("no request")
        own = {"watch": self._watch, "jobs": self._jobs, "cancel": self._cancel, "xml": self._xml}.get(command)
        try:
            if own is not None:
                self.put({"id": number, "status": 0, "result": own(arguments), "job": 0})
                return
            with self._tether(command) as begun:
                outcome = self._server.manager.execute(
                    command, arguments, caller=self._caller, line=line[:4096], begun=begun,
                    on_line=lambda kind, what: self.put({"id": number, kind: what}))
            self.put(_answer(number, outcome))
        except RefusedError as refused:
            self.put(_failure(number, refused, 0))
        except WireError as error:  # a result that cannot be sent
            self.put(_failure(number, message("internal", command=command, problem=str(error)), 0))

    @contextlib.contextmanager
    def _tether(self, command: str) -> Iterator[Callable[[int], None]]:
        """While an operation runs that ends with its client, somebody looks whether that is still there.

        Yields what is to be told the job's number. A client that is only slow, or stopped, is there.
        """
        found = OPERATIONS.get(command)
        if found is None or not found.tied:
            yield lambda job: None
            return
        over = threading.Event()

        def begun(job: int) -> None:
            thread = threading.Thread(target=self._cancel_when_gone, args=(job, over), name="rpc-tether", daemon=True)
            thread.start()

        try:
            yield begun
        finally:
            over.set()

    def _cancel_when_gone(self, job: int, over: threading.Event) -> None:
        poll = select.poll()
        poll.register(self._socket, 0)  # POLLHUP and POLLERR come unasked: both directions are closed
        while not over.is_set():
            if poll.poll(HANGUP_MS):
                if (self._gone or not self._ended) and not over.is_set():
                    self._server.manager.log.notice(f"rpc: the command of {self._caller.user} that began job {job} "
                                                    "ended; the job is cancelled")
                    self._server.manager.cancel(job)
                return

    def _watch(self, arguments: Mapping[str, Any]) -> None:
        self._unwatch()
        self._unwatch = self._server.manager.watch(self._event)

    def _event(self, row: Mapping[str, Any]) -> None:
        """Never raises: the one who caused the event has nothing to do with this client."""
        try:
            self.put(row)
        except WireError as error:
            self._server.manager.log.warning(f"rpc: event {row.get('event')}: {error}")

    def _jobs(self, arguments: Mapping[str, Any]) -> Any:
        return {"jobs": list(self._server.manager.book.all())}

    def _xml(self, arguments: Mapping[str, Any]) -> str:
        """A document of the XML interface, {"text"}; its response. Each action is a job of its own."""
        text = arguments.get("text")
        if not isinstance(text, str):
            raise message("usage.type", name="text")

        def execute(command: str, values: Mapping[str, Any]) -> Any:
            manager = self._server.manager
            return manager.execute(command, values, caller=self._caller, line=f"xml {command}").value()

        return handle(text, execute)

    def _cancel(self, arguments: Mapping[str, Any]) -> None:
        if self._caller.role != "write":
            raise message("access.write", user=self._caller.user, file="access.toml")
        job = arguments.get("job")
        if not isinstance(job, int) or not self._server.manager.cancel(job):
            raise message("job.not-found", job=job)


def _nothing() -> None:
    """Nobody watches."""


def _answer(number: int, outcome: Outcome) -> dict[str, Any]:
    if outcome.error is not None:
        return _failure(number, outcome.error, outcome.job)
    return {"id": number, "status": outcome.status, "result": outcome.result, "job": outcome.job}


def _failure(number: int | None, error: RefusedError, job: int) -> dict[str, Any]:
    return {"id": number, "status": 1, "job": job,
            "error": {"code": error.code, "text": error.text, "cause": error.cause, "remedy": error.remedy}}
