"""Frames of the target that are no messages, as the source reads them: checked, whatever they say."""

from __future__ import annotations

from typing import Any

from ldmd.migration import records as rec
from ldmd.migration.rule import Finding, Report
from ldmd.model.plain import PlainError, from_plain

SECRET_BYTES = 32
LOCAL_MAX = 100
"""Letters of a socket's name on this host."""
FINDINGS = 1000


def findings_of(frame: dict[str, Any]) -> tuple[Finding, ...]:
    """Of `report`. Raises RecordError."""
    try:
        report: Report = from_plain(Report, frame.get("report"))
    except (PlainError, TypeError) as error:
        raise rec.RecordError(f"report: {error!s:.200}") from None
    if len(report.findings) > FINDINGS:
        raise rec.RecordError("report: too many findings")
    return report.findings


def data_of(frame: dict[str, Any]) -> dict[str, Any]:
    """Of `data`: port, secret, cpus, local. Raises RecordError."""
    port, secret, cpus, local = frame.get("port"), frame.get("secret"), frame.get("cpus", 0), frame.get("local", "")
    if type(port) is not int or not 0 < port < 65536:
        raise rec.RecordError("data: a port expected")
    if not isinstance(secret, bytes) or len(secret) != SECRET_BYTES:
        raise rec.RecordError("data: a secret expected")
    if type(cpus) is not int or cpus < 0:
        raise rec.RecordError("data: a number of CPUs expected")
    if not isinstance(local, str) or len(local) > LOCAL_MAX:
        raise rec.RecordError("data: a name expected")
    return {"port": port, "secret": secret, "cpus": cpus, "local": local}
