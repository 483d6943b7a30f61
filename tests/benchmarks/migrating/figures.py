"""What one migration cost, of whichever engine; tables of them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the matrix. MiB, MiB a second; `cap`: bytes a second of the link, 0: none."""

    fill: int
    rate: int = 0
    region: int = 64
    cap: int = 0

    @property
    def memory(self) -> int:
        """Of a guest: beside what the program fills, what Linux needs for itself and its page cache.

        It grows with the memory; in steps of 128 MiB.
        """
        return (self.fill + 256 + self.fill // 16 + 127) // 128 * 128

    def __str__(self) -> str:
        cap = f", link {self.cap / 1e6:.0f} MB/s" if self.cap else ""
        load = f"{self.rate} MiB/s over {self.region} MiB" if self.rate else "idle"
        return f"{self.fill} MiB, {load}{cap}"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one migration. `total_ms`: until it runs there. `alive`: its program went on there, with its memory as it was.

    `cpu_seconds`: of all processes, without what the guest took at its pace of before.
    """

    total_ms: float
    downtime_ms: float
    cpu_seconds: float
    wire_bytes: int
    rounds: int
    alive: bool
    converged: bool = True
    waits: str = ""
    """How often, and how long, the guest waited for pages that followed it."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Of processes and of their children that have ended."""
    found = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found += sum(map(int, fields[11:15])) / TICKS
    return found


class CpuMeter:
    """CPU that processes take beyond what they took in the second before."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        at, used = time.monotonic(), cpu_seconds(self._pids)
        time.sleep(1.0)
        self._begun, self._used = time.monotonic(), cpu_seconds(self._pids)
        self._pace = (self._used - used) / (self._begun - at)

    def read(self) -> float:
        """Seconds so far."""
        took = time.monotonic() - self._begun
        return max(0.0, cpu_seconds(self._pids) - self._used - self._pace * took)


def share(values: list[float], part: float) -> float:
    """The value below which that part of them is."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def table(rows: dict[tuple[str, str], list[Figures]], limits: dict[str, float]) -> str:
    """Text; throughput beside the measured limit of a bare connection in the same run (GB/s)."""
    lines = [f"{'guest':44} {'engine':22} {'total s':>8} {'GB/s':>6} {'/limit':>6} {'down p50':>9} {'p99 ms':>7} "
             f"{'CPU s':>6} {'MB sent':>8} {'rounds':>6} {'lives':>6}"]
    for (cell, engine), runs in rows.items():
        good = [each for each in runs if each.converged]
        if not good:
            lines.append(f"{cell:44} {engine:22} did not converge ({len(runs)} runs)")
            continue
        seconds = statistics.median(each.total_ms for each in good) / 1000
        downs = [each.downtime_ms for each in good]
        sent = statistics.median(each.wire_bytes for each in good)
        limit = limits["tls" if "tls" in engine else "tcp"]
        rate = sent / seconds / 1e9
        lines.append(
            f"{cell:44} {engine:22} {seconds:8.2f} {rate:6.2f} {rate / limit:6.2f} {statistics.median(downs):9.0f} "
            f"{share(downs, 0.99):7.0f} {statistics.median(each.cpu_seconds for each in good):6.2f} {sent / 1e6:8.0f} "
            f"{statistics.median(each.rounds for each in good):6.0f} {sum(each.alive for each in runs):3d}/{len(runs)}")
    return "\n".join(lines)
