"""Migration workers of tests: threads that copy one memfd to another (protocol: emulator/stream/worker.md)."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from moving_machine import PAGE, WORK_PAGES, digest_of, pieces
from presence_file import HEADER

from emulator.hvctl.wire import Frame, Receiver, WireError, send

FOLLOWING = frozenset(range(2, 2 + WORK_PAGES, 5))
"""Pages that follow a domain which runs already: those it works with."""


class Worker:
    """One of them; a `Life` for who started it."""

    def __init__(self, workers: FakeWorkers, end: socket.socket) -> None:
        self.workers, self.end = workers, end
        self.receiver = Receiver(end, max_fds=16)
        self.side = "?"
        self.task: dict[str, Any] = {}
        self.fds: list[int] = []
        self.state_place: int | None = None
        self.answered = threading.Condition()
        self.barriers = 0
        self.has_presence = self.serving = False
        self.place = -1  # of the presence file
        self.stopped = False
        self.sending = threading.Lock()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def kill(self) -> None:
        self.stopped = True
        with contextlib.suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> None:
        self.thread.join(timeout)
        if self.thread.is_alive():
            raise subprocess.TimeoutExpired("worker", timeout or 0)

    def tell(self, event: str, **members: Any) -> None:
        with contextlib.suppress(OSError, WireError), self.sending:
            send(self.end, {"event": event, **members})

    def at(self, where: str) -> None:
        self.workers.at(f"{self.side}.{where}", self)
        if self.stopped:
            raise EOFError

    # -- requests

    def _serve(self) -> None:
        self.tell("hello", version=[1, 0], pid=0, algorithms=["zlib"])
        with contextlib.suppress(WireError, OSError, EOFError):
            while (frame := self.receiver.receive()) is not None:
                if frame.message["op"] == "stop":
                    self.tell("stopped")
                    break
                self._take(frame)
        self.stopped = True
        with self.answered:
            self.answered.notify_all()
        peer = self.workers.find(self.task.get("port", 0)) if self.serving else None
        if peer is not None:
            peer.tell("failed", why="no link from the source for too long", code="link")
        self.receiver.close()
        self.end.close()
        with self.workers.lock:
            for fd in self.fds:
                os.close(fd)
        self.workers.gone(self)

    def _take(self, frame: Frame) -> None:
        message: dict[str, Any] = dict(frame.message)
        self.fds += frame.fds
        op = message["op"]
        if op == "begin":
            self.side, self.task = "source", message
            threading.Thread(target=self._quiet, args=(self._copy,), daemon=True).start()
        elif op == "look":
            self.side = "look"
            self.tell("looking", bytes=8192)
        elif op == "digest":
            self.tell("digest", digest=digest_of(self.fds[0]), pages=1)
        elif op == "receive":
            self.side, self.task = "target", message
            self.tell("listening", port=self.workers.listen(self))
        elif op == "final":
            threading.Thread(target=self._quiet, args=(self._final, message, frame.fds[0]), daemon=True).start()
        elif op == "audit":
            self.workers.audits += 1
            self.tell("audited", mismatches=self.workers.mismatches, pages=1, examples=[0x2000])
        elif op in ("barrier", "state", "presence"):
            with self.answered:
                if op == "presence":
                    self.has_presence, self.place = True, frame.fds[0]
                elif op == "state":
                    self.state_place = frame.fds[0]
                else:
                    self.barriers += 1
                self.answered.notify_all()

    def _quiet(self, work: Callable[..., None], *given: Any) -> None:
        with contextlib.suppress(EOFError, OSError):
            work(*given)

    def _until(self, condition: Callable[[], bool]) -> None:
        with self.answered:
            self.answered.wait_for(lambda: condition() or self.stopped)
        if self.stopped:
            raise EOFError

    # -- the source

    def _peer(self) -> Worker:
        peer = self.workers.find(self.task["port"])
        if peer is None or peer.stopped or peer.task["secret"] != self.task["secret"]:
            self.tell("failed", why="no link to the target's worker", code="link")
            raise EOFError
        return peer

    def _copy(self) -> None:
        self._peer()
        self.tell("connected")
        self.at("connected")
        self.tell("barrier", n=1)
        self._until(lambda: self.barriers > 0)
        self._round(1)
        self.at("copied")
        self.tell("converged", predicted_downtime_ms=1, round=1, partial=self.workers.partial)

    def _round(self, number: int, without: frozenset[int] = frozenset()) -> None:
        peer = self._peer()
        count = 0
        for at, data in pieces(self.fds[0]):
            if at // PAGE not in without:
                os.pwrite(peer.fds[0], data, at)
                count += 1
        row = {"phase": "copy", "round": number, "pages": count, "bytes": count * 8192, "total_bytes": count * 8192,
               "remaining": 0, "dirty_rate": 0, "wire_rate": 1, "ratio": 1.0, "predicted_downtime_ms": 1,
               "percent": 50 * number, "limited_by": "nothing"}
        self.tell("progress", **row)
        peer.tell("progress", **row | {"percent": 0.0})  # the receiver does not know how much will come

    def _final(self, message: dict[str, Any], fd: int) -> None:
        peer = self._peer()
        self.at("final")
        late = FOLLOWING if self.workers.partial else frozenset[int]()
        self._round(2, late)
        image = os.pread(fd, message["bytes"], 0)
        if self.workers.partial:
            peer.tell("presence_wanted")
            peer._until(lambda: peer.has_presence)
            for page in late:
                os.pwrite(peer.place, b"\1", HEADER + page)
        peer.tell("state_wanted", bytes=len(image))
        peer._until(lambda: peer.state_place is not None)
        assert peer.state_place is not None
        os.pwrite(peer.state_place, image, 0)
        peer.tell("state", sha256=hashlib.sha256(image).digest())
        self.at("sent")
        digest = digest_of(self.fds[0], late)
        there = digest_of(peer.fds[0], late)
        if digest != there:
            peer.tell("failed", why="digests differ", code="integrity")
            self.tell("failed", why="digests differ", code="integrity")
            return
        received = partial(peer.tell, "received", digest=there, sha256=hashlib.sha256(image).digest(),
                           state_bytes=len(image), pages=1, strict=True, missing=len(late))
        if not self.workers.late:
            received()
        self.serving = self.workers.partial
        self.tell("final", digest=digest, pages=1, bytes=1, raw_bytes=1, state_bytes=len(image), rounds=2, strict=False,
                  parts={}, missing=len(late))
        if self.workers.late:
            self.at("told")
            received()
        if self.workers.partial:
            self._serve_pages(peer, sorted(late))

    def _serve_pages(self, peer: Worker, pages: list[int]) -> None:
        """One after the other: bytes, then the page's mark; the last one is told."""
        for page in pages:
            self.at("serving")
            data = os.pread(self.fds[0], PAGE, page * PAGE)
            with self.workers.lock:
                if peer.stopped:
                    raise EOFError
                os.pwrite(peer.fds[0], data, page * PAGE)
                os.pwrite(peer.place, b"\0", HEADER + page)
        self.serving = False
        peer.tell("whole", pages=len(pages))
        self.tell("whole", pages=len(pages), bytes=2, asked=1)


class FakeWorkers:
    """`start` is what `Means.start_worker` wants. `on` is called at points of the copying, and may kill."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ports = itertools.count(40000)
        self.listening: dict[int, Worker] = {}
        self.alive: list[Worker] = []
        self.audits = self.mismatches = 0
        self.partial = False  # pages follow a domain that runs already
        self.late = False  # the target's manager hears that all is here after FINAL has come
        self.on: Callable[[str, Worker], None] = lambda where, worker: None

    def start(self, end: socket.socket) -> Worker:
        worker = Worker(self, end.dup())
        with self.lock:
            self.alive.append(worker)
        return worker

    def listen(self, worker: Worker) -> int:
        with self.lock:
            port = next(self.ports)
            self.listening[port] = worker
            return port

    def find(self, port: int) -> Worker | None:
        with self.lock:
            return self.listening.get(port)

    def at(self, where: str, worker: Worker) -> None:
        self.on(where, worker)

    def gone(self, worker: Worker) -> None:
        with self.lock:
            if worker in self.alive:
                self.alive.remove(worker)
