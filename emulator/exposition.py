"""Metrics as Prometheus reads them (text format, version 0.0.4), and an HTTP server for them.

A process has one table of metrics, from which its page and the reference are made (docs/reference/metrics.md).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

CONTENT = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[str, Mapping[str, str], float]
"""Name (of a summary with _sum or _count), labels, value."""


@dataclass(frozen=True)
class Metric:
    """`kind`: counter, gauge, summary. `labels`: their names, in this order."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()


def escape(text: str) -> str:
    """The value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render(metrics: Iterable[Metric], samples: Iterable[Sample]) -> str:
    """A whole scrape; metrics without a sample are left out."""
    found: dict[str, list[str]] = {}
    for name, labels, value in samples:
        words = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
        found.setdefault(name, []).append(f"{name}{{{words}}} {value}" if words else f"{name} {value}")
    out: list[str] = []
    for metric in metrics:
        names = [f"{metric.name}_sum", f"{metric.name}_count"] if metric.kind == "summary" else [metric.name]
        lines = [line for name in names for line in found.get(name, ())]
        if lines:
            out += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *lines]
    return "\n".join([*out, ""])


class MetricsPage:
    """http://ADDRESS:PORT/metrics, where `text` is asked for each scrape. Raises OSError where that cannot be had."""

    def __init__(self, address: str, port: int, text: Callable[[], str]) -> None:
        import http.server  # a hundred modules that nobody else needs

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            timeout = 10

            def do_GET(self) -> None:
                """The metrics, or nothing."""
                found = self.path == "/metrics"
                body = text().encode() if found else b"see /metrics\n"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", CONTENT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Scrapes are no news."""

        class Server(http.server.ThreadingHTTPServer):
            """IPv4 or IPv6."""

            address_family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
            daemon_threads = True

        self._http = Server((address, port), Handler)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more scrapes."""
        self._http.shutdown()
        self._http.server_close()
