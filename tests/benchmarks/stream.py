"""How fast memory moves: workers of two processes beside a bare socket copy, in one interleaved run.

::

    python tests/benchmarks/stream.py [--mib 1024] [--cycles 3] [--out FILE.json]

Every cycle runs all cases; printed are medians, and the ratios of the targets. CPU seconds are of both processes
together. Memory is random bytes (nothing to compress), in a memfd with pages of 4 KiB; `cold`: the target's memory has
never been touched, otherwise it has been populated with zeros before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import multiprocessing
import os
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "stream"), str(Path(__file__).resolve().parents[2])]

from stream_support import Memory, Proxy, make_certificate, sealed  # noqa: E402

from emulator.hvctl import wire  # noqa: E402

PIECE = 1 << 18
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """One run: seconds from request to last answer, CPU seconds of both sides, bytes of memory that moved."""

    seconds: float
    cpu: float
    moved: int
    more: dict[str, object]

    @property
    def rate(self) -> float:
        return self.moved / self.seconds / 1e9

    @property
    def cpu_per_gb(self) -> float:
        return self.cpu / self.moved * 1e9


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


# -- bare copies


def _context(identity: tuple[str, str], *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(identity[0] + identity[1])
        file.flush()
        if server:
            context.load_cert_chain(file.name)
    return context


def _bare_target(fd: int, size: int, listener: socket.socket, identity: tuple[str, str] | None, out: object) -> None:
    sock, _ = listener.accept()
    if identity:
        sock = _context(identity, server=True).wrap_socket(sock, server_side=True)
    with mmap.mmap(fd, size) as memory:
        view = memoryview(memory)
        before, at = time.process_time(), 0
        while at < size:
            at += sock.recv_into(view[at : at + PIECE])
        sock.sendall(b"k")
        out.send(time.process_time() - before)  # type: ignore[attr-defined]
        view.release()


def bare(source: Memory, target: Memory, identity: tuple[str, str] | None) -> Measured:
    """Memory of one process through a loopback socket into that of another, 256 KiB a write."""
    listener = socket.create_server(("127.0.0.1", 0))
    near, far = multiprocessing.Pipe()
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=_bare_target, args=(target.fd, target.size, listener, identity, far))
    child.start()
    sock = socket.create_connection(listener.getsockname())
    if identity:
        sock = _context(identity, server=False).wrap_socket(sock)
    view = memoryview(source.bytes)
    begun, before = time.perf_counter(), time.process_time()
    for at in range(0, source.size, PIECE):
        sock.sendall(view[at : at + PIECE])
    assert sock.recv(1) == b"k"
    seconds, cpu = time.perf_counter() - begun, time.process_time() - before
    cpu += near.recv()
    child.join()
    sock.close()
    listener.close()
    view.release()
    return Measured(seconds, cpu, source.size, {})


# -- workers


class Worker:
    """A worker process and its events, read in the caller's time."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        environment = dict(os.environ, S4V_STREAM_PLAIN="1")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emulator.stream.worker", str(theirs.fileno())], pass_fds=[theirs.fileno()],
            env=environment, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
        theirs.close()
        self._receiver = wire.Receiver(self.sock)
        self.wait("hello")

    def ask(self, op: str, fds: tuple[int, ...] = (), **fields: object) -> None:
        wire.send(self.sock, {"op": op, **fields}, fds)

    def wait(self, name: str) -> dict[str, object]:
        while True:
            frame = self._receiver.receive()
            assert frame is not None
            event = frame.message
            if event["event"] == "barrier":
                self.ask("barrier", n=event["n"])
            if event["event"] == "state_wanted":
                fd = sealed(int(str(event["bytes"])))
                self.ask("state", (fd,))
                os.close(fd)
            if event["event"] == "failed":
                raise SystemExit(f"failed: {event}")
            if event["event"] == name:
                return event

    def end(self) -> None:
        self.ask("stop")
        self.process.wait()
        self.sock.close()


def moved(source: Memory, target: Memory, identities: list[tuple[str, str]], *, channels: int = 1,
          port_of: object = None, moved_bytes: int = 0, **options: object) -> Measured:  # fmt: skip
    """The same by workers, every check on."""
    one, other = Worker(), Worker()
    secret = hashlib.sha256(os.urandom(16)).digest()

    def who(side: int) -> dict[str, object]:
        return {"certificate": identities[side][0], "key": identities[side][1],
                "peer_certificate": identities[1 - side][0], "secret": secret, "mid": 1}  # fmt: skip

    other.ask("receive", (target.fd, target.map_fd), blocks=target.blocks(), host="127.0.0.1",
              options={"plain": bool(options.get("plain"))}, **who(1))  # fmt: skip
    port = other.wait("listening")["port"]
    if port_of is not None:
        port = port_of(port)  # type: ignore[operator]
    begun = time.perf_counter()
    before = cpu_of(one.process.pid) + cpu_of(other.process.pid)
    one.ask("begin", (source.fd, source.map_fd), blocks=source.blocks(), host="127.0.0.1", port=port, channels=channels,
            options=options, **who(0))  # fmt: skip
    reader = threading.Thread(target=other.wait, args=("received",))
    reader.start()
    one.wait("converged")
    fd = sealed(4096)
    digest = hashlib.sha256(bytes(4096)).digest()
    paused = time.perf_counter()
    one.ask("final", (fd,), bytes=4096, sha256=digest)
    final = one.wait("final")
    seconds, pause = time.perf_counter() - begun, time.perf_counter() - paused
    cpu = cpu_of(one.process.pid) + cpu_of(other.process.pid) - before
    reader.join()
    os.close(fd)
    one.end()
    other.end()
    return Measured(seconds, cpu, moved_bytes or source.size, {**final, "pause_ms": round(pause * 1000, 2)})


# -- the run


def random_memory(size: int) -> Memory:
    memory = Memory([(0, size)])
    rng = random.Random(1)
    for at in range(0, size, 1 << 20):
        os.pwrite(memory.fd, rng.randbytes(1 << 20), at)
    return memory


def fresh(size: int, *, warm: bool) -> Memory:
    memory = Memory([(0, size)])
    if warm:
        for at in range(0, size, 1 << 20):
            os.pwrite(memory.fd, bytes(1 << 20), at)
    return memory


def sparse_memory(source: Memory, size: int) -> Memory:
    """A terabyte with as much in it, in 64 places."""
    memory = Memory.__new__(Memory)
    Memory.__init__(memory, [(0, size)])
    piece = source.size // 64
    for n in range(64):
        os.pwrite(memory.fd, source.bytes[n * piece : (n + 1) * piece], n * (size // 64))
    return memory


def cycle(source: Memory, identities: list[tuple[str, str]]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}

    def run(name: str, *, warm: bool = True, tls: bool = False, is_bare: bool = False, channels: int = 1) -> None:
        target = fresh(source.size, warm=warm)
        if is_bare:
            found[name] = bare(source, target, identities[0] if tls else None)
        else:
            found[name] = moved(source, target, identities, channels=channels, plain=not tls, verify="background")
        assert target.digest() == source.digest(), name
        target.close()

    run("bare", is_bare=True)
    run("plain")
    run("plain cold", warm=False)
    run("bare tls", is_bare=True, tls=True)
    run("tls", tls=True)
    run("plain 2 channels", channels=2)
    run("tls 2 channels", tls=True, channels=2)
    return found


def sparse_case(source: Memory, identities: list[tuple[str, str]]) -> dict[str, Measured]:
    """T10: a terabyte with the same memory in it, beside the memory alone; both into fresh memory."""
    found = {}
    target = fresh(source.size, warm=False)
    found["alone"] = moved(source, target, identities, plain=True, verify="background")
    target.close()
    big = sparse_memory(source, 1 << 40)
    target = Memory([(0, 1 << 40)])
    found["sparse"] = moved(big, target, identities, plain=True, verify="background", moved_bytes=source.size)
    found["sparse"].more["allocated"] = [big.populated_bytes() / source.size, target.populated_bytes() / source.size]
    big.close()
    target.close()
    return found


class Cutter:
    """T12: cuts the link once, halfway."""

    def __init__(self, at: int) -> None:
        self.at, self.passed, self.cut_at, self.back_after = at, 0, 0.0, 0.0

    def __call__(self, direction: int, data: bytes) -> bytes | None:
        if direction:
            return data
        self.passed += len(data)
        if not self.cut_at and self.passed > self.at:
            self.cut_at = time.perf_counter()
            return None
        if self.cut_at and not self.back_after:
            self.back_after = time.perf_counter() - self.cut_at
        return data


def cut_case(source: Memory, identities: list[tuple[str, str]]) -> dict[str, object]:
    cutter, proxies = Cutter(source.size // 2), list[Proxy]()

    def through(port: int) -> int:
        proxies.append(Proxy(port, cutter))
        return proxies[0].port

    target = fresh(source.size, warm=True)
    found = moved(source, target, identities, plain=True, verify="background", port_of=through)
    assert target.digest() == source.digest()
    target.close()
    proxies[0].close()
    return {"resent_bytes": found.more["resent_bytes"], "first_byte_ms": round(cutter.back_after * 1000, 1)}


def median(cycles: list[dict[str, Measured]], name: str, what: str) -> float:
    return statistics.median(getattr(each[name], what) for each in cycles)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    identities = [make_certificate("one"), make_certificate("two")]
    source = random_memory(arguments.mib << 20)
    cycles = [cycle(source, identities) for _ in range(arguments.cycles)]
    rows = {name: (median(cycles, name, "rate"), median(cycles, name, "cpu_per_gb")) for name in cycles[0]}
    for name, (rate, cpu) in rows.items():
        pause = [each[name].more.get("pause_ms") for each in cycles]
        print(f"{name:20} {rate:6.2f} GB/s   {cpu:6.2f} CPU s/GB   pause ms {pause if pause[0] else ''}")
    sparse = [sparse_case(source, identities) for _ in range(arguments.cycles)]
    cut = cut_case(source, identities)

    def ratio(name: str, base: str) -> list[float]:
        pairs = [(each[name], each[base]) for each in cycles]
        return [round(statistics.median(a.rate / b.rate for a, b in pairs), 2),
                round(statistics.median(a.cpu_per_gb / b.cpu_per_gb for a, b in pairs), 2)]  # fmt: skip

    longer = statistics.median(each["sparse"].seconds / each["alone"].seconds for each in sparse)
    targets = {
        "T1 plain / bare: throughput >= 0.95, CPU <= 1.4": ratio("plain", "bare"),
        "T2 TLS / bare TLS: throughput >= 0.95, CPU <= 1.2": ratio("tls", "bare tls"),
        "T3 cold / bare: CPU <= 3.0 (4 KiB pages)": ratio("plain cold", "bare"),
        "T10 sparse TB / alone: time <= 1.15, allocated <= 1.02": [
            round(longer, 2),
            sparse[0]["sparse"].more["allocated"],
        ],
        "T12 cut link: sent again <= 8 MiB, first byte <= 200 ms": cut,
    }
    for name, value in targets.items():
        print(f"{name}: {value}")
    if arguments.out:
        arguments.out.write_text(json.dumps({"rows": rows, "targets": targets}, indent=2) + "\n")


if __name__ == "__main__":
    main()
