"""The picture of a migration: rates, what is left, rounds, and the pause. Needs matplotlib (extra `plot`)."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from typing import Any

from ldmd.messages import refuse
from ldmd.migration.phases import Phase
from ldmd.report.text import downtime_of, duration, seconds_of, spans

MIB = 1 << 20
SHADES = ("#eeeeee", "#e3ecf7", "#ffffff", "#fbe3d6", "#e2f0d9")


NARROW = 0.03
"""A phase that takes less than this part of the whole has no room for its name."""


def png(name: str, record: Mapping[str, Any]) -> bytes:
    """The picture as PNG. Raises RefusedError migration.plot without matplotlib."""
    out = io.BytesIO()
    draw(name, record).savefig(out, format="png")
    return out.getvalue()


def draw(name: str, record: Mapping[str, Any]) -> Any:
    """The picture as matplotlib's Figure. Raises RefusedError migration.plot without it."""
    try:
        backend = importlib.import_module("matplotlib.backends.backend_agg")
        figures = importlib.import_module("matplotlib.figure")
    except ImportError:
        refuse("migration.plot")
    figure = figures.Figure(figsize=(10, 9), dpi=110, layout="constrained")
    backend.FigureCanvasAgg(figure)
    rates, rounds, pause = figure.subplots(3, 1, height_ratios=(3, 2, 1))
    figure.suptitle(f"{name}: {record['domain']}, {record['source']} to {record['target']}: {record['result']} after "
                    f"{duration(seconds_of(record))}, pause {duration(downtime_of(record))}")
    _rates(rates, record)
    _rounds(rounds, record)
    _pause(pause, record)
    return figure


def _rates(axes: Any, record: Mapping[str, Any]) -> None:
    rows, whole = record["samples"], seconds_of(record)
    for row, end in spans(record["phases"], whole):
        number = row.get("phase", 0)
        if isinstance(number, int) and 1 <= number <= len(SHADES):
            axes.axvspan(row["at"], end, color=SHADES[number - 1], zorder=0)
            if end - row["at"] < NARROW * whole:
                continue
            axes.text(row["at"], 1.0, f" {Phase(number).name.lower()}", transform=axes.get_xaxis_transform(), va="top",
                      fontsize=7, rotation=90)
    for key, label, style in (("wire_rate", "on the wire", "-"), ("dirty_rate", "dirtied", "--")):
        known = [(row["at"], row[key] / MIB) for row in rows if isinstance(row.get(key), int | float)]
        if known:
            axes.plot(*zip(*known, strict=True), style, label=label, drawstyle="steps-post")
    left = [(row["at"], row["remaining"] / MIB) for row in rows if row.get("phase") in (Phase.COPY, Phase.SUSPEND)]
    other = axes.twinx()
    if left:
        other.plot(*zip(*left, strict=True), ":", color="gray", label="left (right axis)")
    other.set_ylabel("MiB")
    other.set_ylim(bottom=0)
    axes.set(xlabel="seconds", ylabel="MiB/s", title="rates", xlim=(0, whole or 1))
    lines = [*axes.get_lines(), *other.get_lines()]
    if lines:
        axes.legend(lines, [line.get_label() for line in lines], fontsize=8, ncols=3, frameon=False,
                    loc="lower right", bbox_to_anchor=(1, 1))


def _rounds(axes: Any, record: Mapping[str, Any]) -> None:
    before, numbers, sent = 0, [], []
    for place, row in enumerate(record["rounds"]):
        numbers.append(row.get("round", place))
        sent.append((row.get("bytes", 0) - before) / MIB)
        before = row.get("bytes", 0)
    axes.bar(numbers, sent)
    if sent and max(sent) > 20 * max(min(sent), 0.01):
        axes.set_yscale("log")
    axes.set(xlabel="round", ylabel="MiB sent", title="rounds")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _pause(axes: Any, record: Mapping[str, Any]) -> None:
    parts = record["summary"].get("parts")
    rows = [(str(name), float(ms)) for name, ms in parts.items() if isinstance(ms, int | float)] \
        if isinstance(parts, Mapping) else []
    whole = downtime_of(record)
    rest = 1000 * whole - sum(ms for _, ms in rows) if whole is not None else 0.0
    begin = 0.0
    for name, ms in [*rows, ("suspend, hand-over, resume", rest)] if rest > 0 else rows:
        axes.barh(["pause"], [ms], left=begin, label=f"{name} {ms:.1f} ms")
        begin += ms
    axes.set(xlabel="milliseconds", title="the pause")
    if not begin:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "the domain never stood still", ha="center", va="center", transform=axes.transAxes)
    else:
        axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.6))
