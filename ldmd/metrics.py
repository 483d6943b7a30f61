"""What a manager counts of itself, for Prometheus: table [metrics] of ldmd.toml says where. It is off as it comes.

    [metrics]
    port = 5030                # 0: off
    listen = "127.0.0.1"       # another address of this host only with remote = true: whoever reaches it reads
    remote = false
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.exposition import Metric, MetricsPage, Sample, render
from ldmd.messages import refuse
from ldmd.migrator.settings import read_table
from ldmd.operations.migrations import Records

if TYPE_CHECKING:
    from ldmd.jobs import Job
    from ldmd.manager import Manager

METRICS: tuple[Metric, ...] = (
    Metric("ldmd_up_seconds", "gauge", "Seconds since this process began to serve.", ("machine",)),
    Metric("ldmd_domains", "gauge", "Domains by state.", ("machine", "state")),
    Metric("ldmd_jobs_running", "gauge", "Commands that are being carried out.", ("machine",)),
    Metric("ldmd_jobs_total", "counter", "Commands that have ended, by their result.",
           ("machine", "command", "result")),
    Metric("ldmd_job_seconds", "summary", "How long commands took.", ("machine", "command")),
    Metric("ldmd_errors_total", "counter", "Commands that were refused or failed, by the code of the message.",
           ("machine", "code")),
    Metric("ldmd_rpc_clients", "gauge", "Connections of clients.", ("machine",)),
    Metric("ldmd_migrations_total", "counter", "Migrations from this machine that have ended.",
           ("machine", "kind", "result")),
    Metric("ldmd_migration_seconds", "summary", "How long they took, from the command to its end.",
           ("machine", "kind", "result")),
    Metric("ldmd_migration_pause_seconds", "summary", "How long domains stood still in live ones.", ("machine",)),
    Metric("ldmd_migration_wire_bytes_total", "counter", "Bytes on the wire, of live ones.", ("machine",)),
    Metric("ldmd_migration_memory_bytes_total", "counter", "Bytes of memory that these carried.", ("machine",)),
    Metric("ldmd_migration_rounds_total", "counter", "Rounds of copying.", ("machine",)),
)  # fmt: skip
"""The one table."""
KINDS: Mapping[str, type] = {"port": int, "listen": str, "remote": bool}


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """Table [metrics]; `port` 0: off."""

    port: int = 0
    listen: str = "127.0.0.1"
    remote: bool = False


def read_metrics(path: Path) -> MetricsSettings:
    """Of ldmd.toml. Raises RefusedError settings.file."""
    found = MetricsSettings(**read_table(path, "metrics", MetricsSettings))
    try:
        address = ipaddress.ip_address(found.listen)
    except ValueError as error:
        refuse("settings.file", path=path, problem=f"metrics.listen: {error}")
    if not 0 <= found.port <= 65535:
        refuse("settings.file", path=path, problem=f"metrics.port: {found.port} is not from 0 to 65535")
    if not address.is_loopback and not found.remote:
        refuse("settings.file", path=path,
               problem=f"metrics.listen: {address} is not of this host alone, and whoever reaches it may read; "
               "say remote = true if that is meant")
    return found


class _Counted:
    """Records of migrations on their way to where they are kept."""

    def __init__(self, inner: Records, count: Metering) -> None:
        self._inner, self._count = inner, count

    def add(self, record: Mapping[str, Any]) -> None:
        """Another one."""
        self._count.migrated(record)
        self._inner.add(record)


class Metering:
    """Counts from now on; `text` is a whole scrape. From any thread."""

    def __init__(self, manager: Manager, machine: str, *, clients: Any = lambda: 0) -> None:
        """`clients`: how many connections there are."""
        self._manager, self._machine, self._clients = manager, machine, clients
        self._begun = manager.clock.monotonic()
        self._lock = threading.Lock()
        self._values: dict[tuple[str, tuple[str, ...]], float] = {}
        manager.book.on_end = self._ended
        manager.records = _Counted(manager.records, self)

    def _add(self, name: str, *labels: str, value: float = 1) -> None:
        self._values[name, labels] = self._values.get((name, labels), 0) + value

    def _ended(self, job: Job, code: str) -> None:
        """A job has. `code`: of its error, "" where all is well."""
        took = max(0.0, self._manager.clock.now() - job.started_at)
        with self._lock:
            self._add("ldmd_jobs_total", job.command, "failed" if code else "done")
            self._add("ldmd_job_seconds_sum", job.command, value=took)
            self._add("ldmd_job_seconds_count", job.command)
            if code:
                self._add("ldmd_errors_total", code)

    def migrated(self, record: Mapping[str, Any]) -> None:
        """A migration has ended (docs/reference/migration-record.md); dry runs are none."""
        if record.get("dry_run"):
            return
        kind, result = str(record.get("kind", "")), str(record.get("result", ""))
        summary = record.get("summary") or {}
        took = max(0.0, float(record.get("ended_at") or 0) - float(record.get("started_at") or 0))
        with self._lock:
            self._add("ldmd_migrations_total", kind, result)
            self._add("ldmd_migration_seconds_sum", kind, result, value=took)
            self._add("ldmd_migration_seconds_count", kind, result)
            for name, member in (("wire_bytes", "bytes"), ("memory_bytes", "raw_bytes"), ("rounds", "rounds")):
                self._add(f"ldmd_migration_{name}_total", value=summary.get(member) or 0)
            if summary.get("downtime_ms") is not None:
                self._add("ldmd_migration_pause_seconds_sum", value=summary["downtime_ms"] / 1000)
                self._add("ldmd_migration_pause_seconds_count")

    def text(self) -> str:
        """All of it."""
        return render(METRICS, self._samples())

    def _samples(self) -> Iterator[Sample]:
        machine = {"machine": self._machine}
        yield "ldmd_up_seconds", machine, round(self._manager.clock.monotonic() - self._begun, 3)
        states: dict[str, int] = {}
        for domain in self._manager.configuration.domains:
            states[str(domain.state)] = states.get(str(domain.state), 0) + 1
        for state, count in sorted(states.items()):
            yield "ldmd_domains", machine | {"state": state}, count
        yield "ldmd_jobs_running", machine, len(self._manager.book.running())
        yield "ldmd_rpc_clients", machine, self._clients()
        names = {name: metric.labels[1:] for metric in METRICS
                 for name in (metric.name, f"{metric.name}_sum", f"{metric.name}_count")}
        with self._lock:
            values = sorted(self._values.items())
        for (name, labels), value in values:
            yield name, machine | dict(zip(names[name], labels, strict=True)), value


def open_metrics(settings: MetricsSettings, metering: Metering) -> MetricsPage | None:
    """The page, where it is wanted. Raises OSError."""
    return MetricsPage(settings.listen, settings.port, metering.text) if settings.port else None
