"""What the tests of the transfer share: memory without a machine, managers without ldmd, links that fail."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from emulator.hvctl import wire
from emulator.stream import worker

PAGE = 8192
REGION = 2 << 20
DEADLINE = 60.0
"""Seconds after which something that must happen is said not to: a busy host is slow, a defect waits for ever."""
_F_ADD_SEALS, _SEALS = 1033, 1 | 2 | 4


def sealed(size: int) -> int:
    """A memfd of a size that stays."""
    fd = os.memfd_create("stream-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd


class Memory:
    """Memory of a guest in one memfd, cut into blocks, with its dirty map; written by the dirty rule."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        """`ranges`: (real address, bytes), ascending; they follow each other in the memfd."""
        self.ranges = ranges
        self.size = sum(size for _, size in ranges)
        self.pages = self.size // PAGE
        self.fd = sealed(self.size)
        self.regions_at = (self.pages + PAGE - 1) // PAGE * PAGE
        self.map_fd = sealed(self.regions_at + PAGE * (1 + self.size // REGION // PAGE))
        self.bytes = mmap.mmap(self.fd, self.size)
        self.map = mmap.mmap(self.map_fd, 0)
        self.lock = threading.Lock()

    def close(self) -> None:
        """Give it back."""
        self.bytes.close()
        self.map.close()
        os.close(self.fd)
        os.close(self.map_fd)

    def blocks(self) -> list[dict[str, object]]:
        """As `memory.descriptors` would say it."""
        found: list[dict[str, object]] = []
        offset = 0
        for ra, size in self.ranges:
            found.append({"ra": ra, "pa": ra, "size": size, "memory": 0, "map": 1, "memory_offset": offset,
                          "page_map_offset": offset // PAGE, "region_map_offset": self.regions_at})  # fmt: skip
            offset += size
        return found

    def mark(self, page: int) -> None:
        """Page first, then its region; check, then set."""
        if not self.map[page]:
            self.map[page] = 1
            self.map[self.regions_at + page * PAGE // REGION] = 1

    def write(self, at: int, data: bytes, *, mark: bool = True) -> None:
        """Store, then mark; the lock is what a barrier waits for."""
        with self.lock:
            self.bytes[at : at + len(data)] = data
            if mark:
                for page in range(at // PAGE, (at + len(data) - 1) // PAGE + 1):
                    self.mark(page)

    def barrier(self) -> None:
        """Every writer has come out of its store and mark."""
        with self.lock:
            pass

    def populated_bytes(self) -> int:
        """What the host has given."""
        return os.fstat(self.fd).st_blocks * 512

    def content(self) -> bytes:
        """All of it."""
        return os.pread(self.fd, self.size, 0)

    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        digest = hashlib.sha256()
        for at in range(0, self.size, 1 << 20):
            digest.update(os.pread(self.fd, 1 << 20, at))
        return digest.digest()


def fill(memory: Memory, rng: random.Random, *, populated: float = 0.5) -> None:
    """Random, text-like, doubled and zero pages, and holes."""
    same = rng.randbytes(PAGE)
    for page in range(memory.pages):
        if rng.random() >= populated:
            continue
        kind = rng.randrange(4)
        word = rng.randbytes(8)
        data = (rng.randbytes(PAGE), word * (PAGE // 8), same, bytes(PAGE))[kind]
        memory.write(page * PAGE, data)


class Manager:
    """A manager of one worker, in a thread: answers what a machine would, and keeps the events."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.events: list[dict[str, object]] = []
        self.changed = threading.Condition()
        self.limit: object = None
        self.state_fd: int | None = None
        self.sock, theirs = socket.socketpair()
        self.ended = False
        self._worker = threading.Thread(target=worker.serve, args=(theirs,), daemon=True)
        self._worker.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, op: str, fds: tuple[int, ...] = (), **fields: object) -> None:
        """Send a request."""
        wire.send(self.sock, {"op": op, **fields}, fds)

    def _read(self) -> None:
        receiver = wire.Receiver(self.sock)
        try:
            while True:
                frame = receiver.receive()
                assert frame is not None
                self._event(frame.message)
        except (wire.WireError, OSError):
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def _event(self, event: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # a worker that has ended meanwhile wants no answer
            self._answer(event)
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def _answer(self, event: dict[str, object]) -> None:
        match event["event"]:
            case "barrier":
                self.memory.barrier()
                self.ask("barrier", n=event["n"])
            case "limit":
                self.limit = event["pages_per_second"]
            case "state_wanted":
                size = event["bytes"]
                assert isinstance(size, int)
                self.state_fd = sealed(size)
                self.ask("state", (self.state_fd,))

    def seen(self, *names: str) -> list[dict[str, object]]:
        """Events of these names so far."""
        with self.changed:
            return [event for event in self.events if event["event"] in names]

    def wait(self, *names: str, count: int = 1) -> dict[str, object]:
        """The count-th event of one of these names; an end of the worker or `failed` instead is an error."""

        def ready() -> bool:
            wanted = [event for event in self.events if event["event"] in names]
            return len(wanted) >= count or self.ended or any(event["event"] == "failed" for event in self.events)

        with self.changed:
            if not self.changed.wait_for(ready, DEADLINE):
                raise AssertionError(f"no {names} of {[event['event'] for event in self.events][-20:]}")
            wanted = [event for event in self.events if event["event"] in names]
            if len(wanted) < count:
                raise AssertionError(f"no {names}: {[e for e in self.events if e['event'] != 'progress'][-5:]}")
            return wanted[count - 1]

    def stop(self) -> None:
        """End the worker."""
        with contextlib.suppress(OSError):
            self.ask("stop")
        self._worker.join(DEADLINE)
        assert not self._worker.is_alive(), "the worker does not end"
        self._reader.join(DEADLINE)
        self.sock.close()
        if self.state_fd is not None:
            os.close(self.state_fd)


def make_certificate(name: str) -> tuple[str, str]:
    """(certificate, key), PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


class Pair:
    """Source and target of one migration."""

    def __init__(self, source: Memory, target: Memory, certificates: tuple[tuple[str, str], tuple[str, str]],
                 **options: object) -> None:  # fmt: skip
        self.source, self.target = Manager(source), Manager(target)
        self.options = options
        self.secret = hashlib.sha256(b"secret").digest()
        self.mid = 7
        self.certificates = certificates

    def identity(self, side: int) -> dict[str, object]:
        """Fields of `begin` and `receive` that say who is who."""
        mine, other = self.certificates[side], self.certificates[1 - side]
        return {"certificate": mine[0], "key": mine[1], "peer_certificate": other[0], "secret": self.secret,
                "mid": self.mid}  # fmt: skip

    def listen(self) -> int:
        """The target's port."""
        memory = self.target.memory
        few = {name: value for name, value in self.options.items() if name in ("plain", "reconnect_seconds")}
        self.target.ask("receive", (memory.fd, memory.map_fd), blocks=memory.blocks(), host="127.0.0.1", options=few,
                        **self.identity(1))  # fmt: skip
        port = self.target.wait("listening")["port"]
        assert isinstance(port, int)
        return port

    def begin(self, port: int, *, channels: int = 1) -> None:
        """Let the source connect to a port."""
        memory = self.source.memory
        self.source.ask("begin", (memory.fd, memory.map_fd), blocks=memory.blocks(), host="127.0.0.1", port=port,
                        channels=channels, options=self.options, **self.identity(0))  # fmt: skip

    def final(self, state: bytes) -> None:
        """The guest stands: send the rest and its state."""
        fd = sealed(max(1, len(state)))
        os.pwrite(fd, state, 0)
        self.source.ask("final", (fd,), bytes=len(state), sha256=hashlib.sha256(state).digest())
        os.close(fd)

    def stop(self) -> None:
        """End both."""
        self.source.stop()
        self.target.stop()


class Proxy:
    """Stands between source and target. `mischief(direction, data)` gives what goes on, or None to cut the link.

    Directions: 0 to the target, 1 back. It is called for every piece that comes, by several threads, one after another.
    """

    def __init__(self, port: int, mischief: Callable[[int, bytes], bytes | None]) -> None:
        self._port, self._mischief = port, mischief
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.links = 0
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                near.close()
                continue
            self.links += 1
            self._sockets += [near, far]
            self._start(self._pump, near, far, 0)
            self._start(self._pump, far, near, 1)

    def _pump(self, near: socket.socket, far: socket.socket, direction: int) -> None:
        try:
            while data := near.recv(1 << 16):
                with self._lock:
                    passed = self._mischief(direction, data)
                if passed is None:
                    break
                far.sendall(passed)
        except OSError:
            pass
        for sock in (near, far):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        """End it, and its threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(DEADLINE)
        for sock in self._sockets:
            sock.close()


@contextmanager
def writing(memory: Memory, rng: random.Random, *, working_set: float = 1.0) -> Iterator[Callable[[], None]]:
    """A guest that writes all the time, until the function it gives is called: it stands then."""
    stop = threading.Event()
    pages = max(1, int(memory.pages * working_set))

    def run() -> None:
        while not stop.is_set():
            at = rng.randrange(pages * PAGE - 64)
            memory.write(at, rng.randbytes(rng.choice((1, 8, 64))))
            if rng.random() < 0.02:
                memory.write(at // PAGE * PAGE, bytes(PAGE))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def stand() -> None:
        stop.set()
        thread.join(DEADLINE)

    try:
        yield stand
    finally:
        stand()
