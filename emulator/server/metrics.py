"""Metrics of a server in the text format of Prometheus (version 0.0.4), and an HTTP server for them on the loopback.

Samples are taken in the guests' turns; a guest that does not come to rest in time is left out of that scrape.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from emulator.errors import EmulatorError
from emulator.exposition import Metric, MetricsPage, render
from emulator.server.events import Event

if TYPE_CHECKING:
    from emulator.server.guest import Guest
    from emulator.server.server import Server

SAMPLE_SECONDS = 5.0
ADDRESS = "127.0.0.1"
Labels = dict[str, str]

METRICS: tuple[Metric, ...] = (
    Metric("sun4v_up_seconds", "gauge", "Seconds since the machine was powered on, virtual where its time is.",
           ("machine",)),
    Metric("sun4v_domains", "gauge", "Domains by state.", ("machine", "state")),
    Metric("sun4v_events_total", "counter", "Events of the machine, by kind.", ("machine", "kind")),
    Metric("sun4v_faults_total", "counter", "Faults that have been injected.", ("machine",)),
    Metric("sun4v_migrations_total", "counter", "Domains that have come and gone, by direction.",
           ("machine", "direction")),
    Metric("sun4v_domain_insns_total", "counter", "Instructions completed, by virtual CPU.",
           ("machine", "domain", "cpu")),
    Metric("sun4v_domain_traps_total", "counter", "Traps taken, by virtual CPU.", ("machine", "domain", "cpu")),
    Metric("sun4v_domain_tlb_misses_total", "counter", "MMU misses that became traps, by virtual CPU.",
           ("machine", "domain", "cpu")),
    Metric("sun4v_domain_hypercalls_total", "counter", "Hypercalls, by virtual CPU.", ("machine", "domain", "cpu")),
    Metric("sun4v_domain_dirty_pages", "gauge", "Pages of 8 KiB that are marked as written.", ("machine", "domain")),
    Metric("sun4v_domain_memory_bytes", "gauge", "Memory of the domain.", ("machine", "domain")),
    Metric("sun4v_disk_requests_total", "counter", "Requests to a virtual disk, by operation.",
           ("machine", "domain", "disk", "path", "operation")),
    Metric("sun4v_disk_bytes_total", "counter", "Bytes read from and written to a virtual disk.",
           ("machine", "domain", "disk", "path", "direction")),
    Metric("sun4v_disk_errors_total", "counter", "Requests to a virtual disk that failed.",
           ("machine", "domain", "disk", "path")),
    Metric("sun4v_net_frames_total", "counter", "Frames of a virtual network, by direction of the domain.",
           ("machine", "domain", "net", "direction")),
    Metric("sun4v_net_bytes_total", "counter", "Bytes of a virtual network, by direction of the domain.",
           ("machine", "domain", "net", "direction")),
    Metric("sun4v_net_dropped_total", "counter", "Frames that a port has dropped.", ("machine", "domain", "net")),
    Metric("sun4v_ldc_resets_total", "counter", "Times that channels were reset by the domain.", ("machine", "domain")),
)  # fmt: skip
"""The one table."""


class Metrics:
    """Counts events from now on; `text` is a whole scrape. From any thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._events: dict[str, int] = {}
        self._moves = {"in": 0, "out": 0}
        server.events.subscribe(self._heard)

    def _heard(self, event: Event) -> None:
        with self._lock:
            self._events[event["event"]] = self._events.get(event["event"], 0) + 1
            if event["event"] == "guest.state" and event["why"] in ("received", "taken"):
                self._moves["in" if event["why"] == "received" else "out"] += 1

    def text(self) -> str:
        """All of it."""
        return render(METRICS, (*self._machine(), *self._guests()))

    def _machine(self) -> Iterator[tuple[str, Labels, float]]:
        server = self._server
        name = {"machine": server.name}
        yield "sun4v_up_seconds", name, server.info()["time_ns"] / 1e9
        states: dict[str, int] = {}
        for guest in server.guests:
            state = "control" if guest.spec.control else guest.state
            states[state] = states.get(state, 0) + 1
        for state, count in sorted(states.items()):
            yield "sun4v_domains", name | {"state": state}, count
        with self._lock:
            events, moves = dict(self._events), dict(self._moves)
        for kind, count in sorted(events.items()):
            yield "sun4v_events_total", name | {"kind": kind}, count
        yield "sun4v_faults_total", name, server.faults.injector.status()["count"]
        for direction, count in moves.items():
            yield "sun4v_migrations_total", name | {"direction": direction}, count

    def _guests(self) -> Iterator[tuple[str, Labels, float]]:
        asked: list[tuple[Guest, Future[list[tuple[str, Labels, float]]]]] = [
            (guest, guest.post(guest.sample)) for guest in self._server.guests if not guest.spec.control]
        for guest, future in asked:
            try:
                rows = future.result(SAMPLE_SECONDS)
            except (EmulatorError, LateError):
                continue
            for name, labels, value in rows:
                yield name, {"machine": self._server.name, "domain": guest.spec.name} | labels, value


def sample(machine: Any) -> list[tuple[str, Labels, float]]:
    """Of a domain's machine at rest."""
    rows: list[tuple[str, Labels, float]] = []
    for strand in machine.strands:
        counts, cpu = machine.strand_counts(strand.number), {"cpu": str(strand.number)}
        rows += [("sun4v_domain_insns_total", cpu, counts.insns), ("sun4v_domain_traps_total", cpu, counts.traps),
                 ("sun4v_domain_tlb_misses_total", cpu, counts.misses),
                 ("sun4v_domain_hypercalls_total", cpu, counts.calls)]
    rows.append(("sun4v_domain_dirty_pages", {}, machine.dirty_pages))
    rows.append(("sun4v_domain_memory_bytes", {}, machine.memory.size_bytes))
    resets = 0
    for device in machine.devices:
        resets += sum(machine.channel(number).info.resets for number in device.channels)
        rows += _device(device)
    rows.append(("sun4v_ldc_resets_total", {}, resets))
    return rows


def _device(device: Any) -> Iterator[tuple[str, Labels, float]]:
    kind, _, name = device.name.partition(" ")
    if kind == "disk":
        counters, disk = asdict(device.counters), {"disk": name.partition(":")[0], "path": name.partition(":")[2]}
        for operation in ("reads", "writes", "flushes"):
            yield "sun4v_disk_requests_total", disk | {"operation": operation}, counters[operation]
        for direction, member in (("read", "read_bytes"), ("written", "written_bytes")):
            yield "sun4v_disk_bytes_total", disk | {"direction": direction}, counters[member]
        yield "sun4v_disk_errors_total", disk, counters["errors"]
    elif kind == "net" and hasattr(device, "port"):
        counters, net = device.port.counters, {"net": name}
        for direction, frames, count in (("sent", "received", "received_bytes"), ("received", "sent", "sent_bytes")):
            yield "sun4v_net_frames_total", net | {"direction": direction}, getattr(counters, frames)
            yield "sun4v_net_bytes_total", net | {"direction": direction}, getattr(counters, count)
        yield "sun4v_net_dropped_total", net, counters.dropped


class MetricsServer:
    """http://127.0.0.1:PORT/metrics. Raises OSError where the port cannot be had."""

    def __init__(self, server: Server, port: int) -> None:
        self._page = MetricsPage(ADDRESS, port, Metrics(server).text)
        self.port = self._page.port

    def close(self) -> None:
        """No more scrapes."""
        self._page.close()
