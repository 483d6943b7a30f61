"""The manager's metrics: off as they come, what they count, and their text against the grammar of the format."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from front_support import LABOS

from emulator.exposition import Metric, MetricsPage, escape, render
from emulator.server.metrics import METRICS as MACHINE
from emulator.server.metrics import Metrics
from ldmd.messages import RefusedError
from ldmd.metrics import METRICS, Metering, MetricsSettings, open_metrics, read_metrics
from ldmd.testing.domain import DomainSetup
from ldmd.testing.room import Room

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
Values = dict[tuple[str, tuple[str, ...]], float]


def strict(text: str, metrics: tuple[Metric, ...]) -> Values:
    """Values by name and labels without the machine's. The format, version 0.0.4: HELP and TYPE once and before all
    samples of a metric, which stand together; no sample twice; the last line ends. And the table says the same.
    """
    table = {metric.name: metric for metric in metrics}
    found: Values = {}
    current, seen = "", set()
    assert text.endswith("\n") and "\n\n" not in text
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in seen
            seen.add(current)
            assert line == f"# HELP {current} {table[current].help}"
            assert lines[number + 1] == f"# TYPE {current} {table[current].kind}"
        elif not line.startswith("# TYPE "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            ends = ("_sum", "_count") if table[current].kind == "summary" else ("",)
            assert match[1] in {current + end for end in ends}
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")
            assert tuple(name for name, _ in pairs) == table[current].labels
            key = match[1], tuple(value for name, value in pairs if name != "machine")
            assert key not in found
            found[key] = float(match[3])
    return found


def test_the_text_of_any_label() -> None:
    metric = Metric("a_total", "counter", "Text.", ("machine", "b"))
    text = render([metric], [("a_total", {"machine": "m", "b": 'x"\\\ny'}, 1)])
    assert strict(text, (metric,)) == {("a_total", ('x\\"\\\\\\ny',)): 1}
    assert escape("plain") == "plain"
    assert render([metric], []) == ""


@pytest.mark.parametrize("metric", [*METRICS, *MACHINE], ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: Metric) -> None:
    assert re.fullmatch(NAME, metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind in ("counter", "gauge", "summary")
    assert metric.labels[0] == "machine" and metric.help.endswith(".")


def test_what_a_manager_counts() -> None:
    """Commands by result, errors by code, a migration with its bytes and its pause; scraped over HTTP."""
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        metering = Metering(alpha.manager, "alpha", clients=lambda: 2)
        there = Metering(beta.manager, "beta")
        domain = alpha.make_domain(DomainSetup(image=LABOS, memory="32M", ready="# "))
        assert alpha.ldm("start-domain nobody", check=False).status == 1
        room.move(domain, beta, dry_run=True)
        before = strict(metering.text(), METRICS)
        assert not any(name.startswith("ldmd_migration") for name, _ in before)
        assert before["ldmd_domains", ("active",)] == 2
        room.move(domain, beta)
        page = MetricsPage("127.0.0.1", 0, metering.text)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics", timeout=60) as answer:
                now = strict(answer.read().decode(), METRICS)
        finally:
            page.close()
        assert now["ldmd_jobs_total", ("start-domain", "failed")] == 1
        assert now["ldmd_jobs_total", ("start-domain", "done")] == 1
        assert now["ldmd_job_seconds_count", ("migrate-domain",)] == 2
        assert sum(value for (name, _), value in now.items() if name == "ldmd_errors_total") == 1
        assert now["ldmd_migrations_total", ("live", "done")] == 1
        assert now["ldmd_migration_memory_bytes_total", ()] > 100_000
        assert now["ldmd_migration_wire_bytes_total", ()] > 0
        assert now["ldmd_migration_pause_seconds_count", ()] == 1
        assert now["ldmd_domains", ("active",)] == 1
        assert now["ldmd_rpc_clients", ()] == 2
        assert strict(there.text(), METRICS)["ldmd_domains", ("active",)] == 2
        assert strict(Metrics(alpha.server).text(), MACHINE)


def test_it_is_off_and_of_this_host_unless_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ldmd.toml"
    assert read_metrics(file) == MetricsSettings()
    with Room(seed=1) as room:
        assert open_metrics(MetricsSettings(), Metering(room.add("alpha").manager, "alpha")) is None
    for text, wanted in (('port = 1\nlisten = "0.0.0.0"', "remote = true"), ('listen = "here"', "metrics.listen"),
                         ("port = 65536", "not from 0 to 65535"), ("ports = 1", "only port, listen, remote"),
                         ('port = "1"', "is no int")):  # fmt: skip
        file.write_text(f"[metrics]\n{text}\n")
        with pytest.raises(RefusedError, match=wanted):
            read_metrics(file)
    file.write_text('[metrics]\nport = 5030\nlisten = "0.0.0.0"\nremote = true\n')
    assert read_metrics(file) == MetricsSettings(port=5030, listen="0.0.0.0", remote=True)
