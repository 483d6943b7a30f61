"""Metrics and traces: what they say is what the machine did, in formats that tools of others read."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from front_support import LABOS, ROOT

from emulator import Machine
from emulator.faults.rules import parse_plan
from emulator.server.metrics import METRICS, MetricsServer
from emulator.trace import Trace
from ldmd.testing.domain import DomainSetup
from ldmd.testing.room import Room

PHASES = {"X": {"dur"}, "i": {"s"}, "C": set(), "M": set()}


def scrape(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


def families(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By the parser of the Prometheus project."""
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    out: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "machine"))
            assert labels not in out.setdefault(sample.name, {})
            out[sample.name][labels] = sample.value
    return out


def test_metrics_are_what_the_machine_did() -> None:
    with Room(seed=1) as room:
        alpha, beta = room.add("alpha"), room.add("beta")
        server, there = MetricsServer(alpha.server, 0), MetricsServer(beta.server, 0)
        domain = alpha.make_domain(DomainSetup(
            image=LABOS, memory="32M", ready="# ", disks=(1 << 20,), nets=1, vcpus=2))
        before = families(scrape(server.port))
        alpha.arm(parse_plan({"fault": [{"point": "disk.write", "action": "error", "disk": "vdisk1", "after": 8}]}))
        domain.console.do("write c0d1 0 pattern 8")
        domain.console.do("write c0d1 8 pattern 8")
        domain.console.do("write c0d1 16 pattern 8")
        after = families(scrape(server.port))
        assert set(after) == {metric.name for metric in METRICS}
        disk = (("disk", "vdisk1"), ("domain", "ldg1"), ("path", str(domain.guest.spec.disks[1].paths[0].channel)))

        def grew(name: str, *more: tuple[str, str]) -> float:
            key = tuple(sorted((*disk, *more)))
            return after[name][key] - before[name][key]

        written = grew("sun4v_disk_bytes_total", ("direction", "written"))
        assert written == int(written) > 0
        assert grew("sun4v_disk_requests_total", ("operation", "writes")) >= 2
        assert after["sun4v_domain_memory_bytes"][(("domain", "ldg1"),)] == 32 << 20
        insns = [after["sun4v_domain_insns_total"][(("cpu", str(n)), ("domain", "ldg1"))] for n in (0, 1)]
        assert sum(insns) == domain.guest.powered().insns
        for name in ("traps", "tlb_misses", "hypercalls"):
            assert after[f"sun4v_domain_{name}_total"][(("cpu", "0"), ("domain", "ldg1"))] > 0
        traps = after["sun4v_domain_traps_total"][(("cpu", "0"), ("domain", "ldg1"))]
        assert after["sun4v_domain_tlb_misses_total"][(("cpu", "0"), ("domain", "ldg1"))] <= traps
        assert after["sun4v_domain_dirty_pages"][(("domain", "ldg1"),)] > 100
        digest = domain.digest()
        scrape(server.port)
        assert domain.digest() == digest  # a look changes nothing
        room.move(domain, beta)
        assert families(scrape(server.port))["sun4v_migrations_total"] == {
            (("direction", "in"),): 0, (("direction", "out"),): 1}
        assert families(scrape(there.port))["sun4v_migrations_total"][(("direction", "in"),)] == 1
        with pytest.raises(urllib.error.HTTPError):
            scrape(server.port, "/other")
        for each in (server, there):
            each.close()


def check_trace(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Against the description of the Trace Event Format: members of each phase, names of all processes and threads.

    Returns the events by the name of their thread.
    """
    names: dict[tuple[int, int], str] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    threads: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for event in document["traceEvents"]:
        assert isinstance(event["name"], str)
        assert event["ph"] in PHASES
        assert all(type(event[key]) is int for key in ("pid", "tid"))
        assert PHASES[event["ph"]] <= set(event)
        if event["ph"] == "M":
            names[event["pid"], event["tid"]] = event["args"]["name"]
            continue
        assert event["ts"] >= 0
        assert event.get("dur", 0) >= 0
        assert (event["pid"], 0) in names
        found.setdefault(names[event["pid"], event["tid"]], []).append(event)
        threads.setdefault((event["pid"], event["tid"]), []).append(event)
    for events in threads.values():
        nested([event for event in events if event["ph"] == "X"])
    return found


def nested(spans: list[dict[str, Any]]) -> None:
    """Spans of one thread lie in one another or apart ("Complete Events"); what is half over another is shown wrong."""
    open_: list[float] = []
    for span in sorted(spans, key=lambda each: (each["ts"], -each["dur"])):
        while open_ and open_[-1] <= span["ts"] + 1e-3:
            open_.pop()
        assert not open_ or span["ts"] + span["dur"] <= open_[-1] + 1e-3, span
        open_.append(span["ts"] + span["dur"])


def test_a_trace_has_strands_traps_hypercalls_disks_console_and_events(tmp_path: Path) -> None:
    with Room(seed=1) as room:
        alpha = room.add("alpha")
        domain = alpha.make_domain(DomainSetup(image=LABOS, memory="32M", ready="# ", disks=(1 << 20,), vcpus=2))
        machine = domain.guest.powered()
        before = machine.insns, [machine.strand_counts(n) for n in (0, 1)]
        alpha.server.tracing.start()
        domain.console.do("write c0d1 0 pattern 8")
        alpha.arm(parse_plan({"fault": [{"point": "domain", "action": "reset", "at-ms": 1e9}]}))
        now = [machine.strand_counts(n) for n in (0, 1)]
        assert alpha.server.tracing.stop(str(tmp_path / "t.json"))["events"] > 10
        found = check_trace(json.loads((tmp_path / "t.json").read_text()))
        runs = [event for strand in ("strand 0", "strand 1") for event in found[strand] if event["ph"] == "X"]
        assert sum(event["args"]["insns"] for event in runs) == machine.insns - before[0]
        for number, counts in enumerate(now):
            instants = [event for event in found[f"strand {number}"] if event["ph"] == "i"]
            traps = [event for event in instants if "tt" in event["args"]]
            assert len(traps) == counts.traps - before[1][number].traps
            calls = [event for event in instants if "trap" in event["args"]]
            assert len(calls) == counts.calls - before[1][number].calls
        assert {"CONS_WRITE"} & {event["name"] for event in found["strand 0"]}
        assert any("8 blocks" in event["args"]["text"] for event in found["console"])
        assert found[next(name for name in found if name.startswith("disk vdisk1"))][-1]["args"]["value"] > 0
        assert [event["name"] for event in found["events"]] == ["faults.armed"]


def test_looking_changes_nothing() -> None:
    """Same digest with and without, and no events where nobody looks."""
    digests = []
    for entries in (0, 100, 1 << 16):
        with Machine("32M", deterministic=True) as machine:
            machine.boot(ROOT / "images" / "prebuilt" / "bench-traps.elf")
            machine.observe(entries)
            machine.run(300_000)
            events, lost = machine.read_events()
            assert (len(events) == 0) == (entries == 0)
            assert (lost > 0) == (entries == 100)
            assert len(events) + lost == 0 or machine.strand_counts(0).traps <= len(events) + lost
            digests.append(machine.digest())
    assert len(set(digests)) == 1


def test_a_run_is_traced_into_a_file(tmp_path: Path) -> None:
    words = ["run", "--deterministic", f"--trace={tmp_path / 'run.json'}", "--max-insns", "200K",
             str(ROOT / "images" / "prebuilt" / "bench-traps.elf")]  # fmt: skip
    command = [sys.executable, "-m", "emulator.cli", *words]
    assert subprocess.run(command, capture_output=True, cwd=ROOT, timeout=120, check=False).returncode == 124
    found = check_trace(json.loads((tmp_path / "run.json").read_text()))
    assert sum(event["args"]["insns"] for event in found["strand 0"] if event["ph"] == "X") == 200_000
    assert any("tt" in event["args"] for event in found["strand 0"])


def test_a_trace_is_bounded_and_says_what_is_lost() -> None:
    trace = Trace(most=10, host_ns=lambda: 0)
    for number in range(25):
        trace.counter(("m", "t"), "n", number, at_ns=number)
    document = trace.document()
    assert document["otherData"]["events_lost"] == "15"
    assert [event["args"]["value"] for event in document["traceEvents"] if event["ph"] == "C"] == list(range(15, 25))
