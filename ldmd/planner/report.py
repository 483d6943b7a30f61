"""What the list commands show, as plain data: dicts, lists, numbers, strings. Text, -p and --json come from it alone.

Every function here is pure: (configuration, statuses of the guests, what is going on, now) -> document. Shapes:

``domains_report``: {"norm": bool, "domains": [domain]}; a domain has the keys of `summary` and, where they were asked
for, of `SECTIONS`. Sizes are bytes, times seconds, utilization percent; a MAC address is "00:14:4f:fb:54:f2"; what is
not there is None, "" or []. The lists of a section are in the order in which they are printed.
Sources: ldm(1M) and the Administration Guide, "Listing Domain Resources"; real outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldmd.model import Configuration, Domain, State
from ldmd.planner import report_guest, report_services
from ldmd.planner.hardware import hardware
from ldmd.planner.report_constraints import asked, constraint
from ldmd.planner.report_flags import flag_letters, flag_words, mean, vcpu_utils
from ldmd.planner.report_hardware import console_name, has_norm
from ldmd.planner.report_words import HEALTHY, device_options, hostid_text, mac_text

RUNNING = (State.ACTIVE, State.STOPPING, State.SUSPENDED)


@dataclass(frozen=True, kw_only=True)
class Going:
    """An operation that goes on in a domain. `role`: "source" or "target" of a migration, else ""."""

    operation: str  # "migration", "memdr"
    progress_percent: int = 0
    role: str = ""
    peer: str = ""  # the other server
    error: bool = False
    problem: str = ""  # why a person has to see to it


@dataclass(frozen=True, kw_only=True)
class View:
    """All that a report is made from. `statuses`: of `guest.list`, by the guest's number."""

    configuration: Configuration
    statuses: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    going: Mapping[str, Going] = field(default_factory=dict)
    now: float = 0.0

    def status(self, domain: Domain) -> Mapping[str, Any]:
        """The machine's word on a domain; {} where it has none."""
        return self.statuses.get(domain.binding.id, {}) if domain.binding is not None else {}


def by_guest(statuses: Iterable[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """Statuses of `guest.list` by guest."""
    return {status["guest"]: status for status in statuses}


def domains_report(view: View, names: Sequence[str] = (), sections: Sequence[str] | None = None) -> dict[str, Any]:
    """The domains of these names, or all. `sections`: which of SECTIONS; None: all."""
    configuration = view.configuration
    chosen = [domain for domain in configuration.domains if not names or domain.name in names]
    if names:
        chosen.sort(key=lambda domain: names.index(domain.name))
    wanted = SECTIONS if sections is None else {name: SECTIONS[name] for name in sections}
    return {
        "norm": has_norm(configuration),
        "domains": [{**summary(view, domain), **{name: make(view, domain) for name, make in wanted.items()}}
                    for domain in chosen],
    }  # fmt: skip


def summary(view: View, domain: Domain) -> dict[str, Any]:
    """The line of `ldm list`."""
    status, going = view.status(domain), view.going.get(domain.name)
    pending = view.configuration.pending_for(domain.name) is not None
    words = flag_words(domain, status, pending=pending, operation=going.operation if going else "",
                       role="error" if going and going.error else going.role if going else "")  # fmt: skip
    running = domain.state in RUNNING
    util = mean(vcpu_utils(domain, status)) if running else None
    return {
        "name": domain.name,
        "state": domain.state.value,
        "flags": words,
        "flag_letters": flag_letters(words),
        "console": _console(view.configuration, domain),
        "vcpus": vcpu_count(view.configuration, domain),
        "memory_bytes": domain.binding.memory_bytes if domain.binding else asked_memory(domain),
        "util_percent": util,
        "norm_util_percent": util,
        "uptime_seconds": _uptime(domain, view.now) if running else None,
        "soft_state": soft_state(domain, status),
    }


def vcpu_count(configuration: Configuration, domain: Domain) -> int:
    """Virtual CPUs: those it has, or those it asks for."""
    if domain.binding is not None:
        return len(domain.binding.vcpus)
    if domain.cpus.whole_core:
        return max(domain.cpus.cores, len(domain.cpus.cids)) * hardware(configuration).strands_per_core
    return domain.cpus.vcpus


def asked_memory(domain: Domain) -> int:
    """Bytes of memory a domain asks for."""
    return sum(size for _, size in domain.memory.mblocks) or domain.memory.size_bytes


def soft_state(domain: Domain, status: Mapping[str, Any]) -> str:
    """The guest's word about how it fares. The control domain's own program is the manager's host."""
    text = str(status.get("soft_state", {}).get("text", ""))
    if domain.state not in RUNNING:
        return ""
    return text or ("Solaris running" if domain.control else "")


def _console(configuration: Configuration, domain: Domain) -> str:
    if domain.control:
        return console_name(configuration)
    port = domain.binding.console_port if domain.binding else None
    return "" if port is None else str(port)


def _uptime(domain: Domain, now: float) -> int | None:
    return None if domain.started_at is None else max(0, int(now - domain.started_at))


# -- sections


def _control(_view: View, domain: Domain) -> dict[str, str]:
    rows = {
        "failure-policy": domain.failure_policy.value,
        "extended-mapin-space": "on" if domain.extended_mapin_space else "off",
        "cpu-arch": domain.cpu_arch,
        "rc-add-policy": domain.rc_add_policy,
        "shutdown-group": str(domain.shutdown_group),
        "perf-counters": ",".join(domain.perf_counters),
    }
    if domain.boot_policy.value != "warning":  # 3.4; not shown by 3.3, so only where somebody set it
        rows["boot-policy"] = domain.boot_policy.value
    return rows


def _cores(view: View, domain: Domain) -> list[dict[str, Any]]:
    if domain.binding is None:
        return []
    server = hardware(view.configuration)
    by_core: dict[int, list[int]] = {}
    for _, strand in domain.binding.vcpus:
        by_core.setdefault(server.core_of(strand), []).append(strand)
    return [{"cid": core, "strands": sorted(strands), "health": HEALTHY} for core, strands in sorted(by_core.items())]


def _vcpus(view: View, domain: Domain) -> list[dict[str, Any]]:
    if domain.binding is None:
        return []
    server, running = hardware(view.configuration), domain.state in RUNNING
    utils = dict(zip((vid for vid, _ in domain.binding.vcpus), vcpu_utils(domain, view.status(domain)), strict=True))
    return [
        {
            "vid": vid, "pid": pid, "cid": server.core_of(pid),
            "util_percent": utils[vid] if running else None,
            "norm_util_percent": utils[vid] if running else None,
            "strand_percent": 100, "health": HEALTHY,
        }
        for vid, pid in domain.binding.vcpus
    ]  # fmt: skip


def _crypto(view: View, domain: Domain) -> list[dict[str, Any]]:
    server = hardware(view.configuration)
    cores = domain.binding.crypto if domain.binding else ()
    return [{"core": core, "strands": list(server.strands_of(core))} for core in cores]


def _memory(_view: View, domain: Domain) -> list[dict[str, Any]]:
    blocks = domain.binding.memory if domain.binding else ()
    return [{"ra": block.ra, "pa": block.pa, "size_bytes": block.size_bytes, "health": HEALTHY} for block in blocks]


def _io(view: View, domain: Domain) -> list[dict[str, str]]:
    roots = {root.name: root.device for root in hardware(view.configuration).platform.roots}
    return [{"device": roots.get(name, name), "pseudonym": name, "options": device_options(view.configuration, name)}
            for name in domain.io]  # fmt: skip


def _status(view: View, domain: Domain) -> list[dict[str, Any]]:
    going = view.going.get(domain.name)
    if going is None:
        return []
    return [{"operation": going.operation, "progress_percent": going.progress_percent, "role": going.role,
             "peer": going.peer}]  # fmt: skip


_CLOCK = "{:02d}:{:02d}:{:02d}"


def _policies(_view: View, domain: Domain) -> list[dict[str, Any]]:
    def clock(seconds: int) -> str:
        return _CLOCK.format(seconds // 3600, seconds // 60 % 60, seconds % 60)

    return [
        {
            "name": policy.name, "enable": policy.enable, "priority": policy.priority, "vcpu_min": policy.vcpu_min,
            "vcpu_max": policy.vcpu_max, "util_lower": policy.util_lower, "util_upper": policy.util_upper,
            "tod_begin": clock(policy.tod_begin), "tod_end": clock(policy.tod_end),
            "sample_rate": policy.sample_rate, "elastic_margin": policy.elastic_margin, "attack": policy.attack,
            "decay": policy.decay,
        }
        for policy in domain.policies
    ]  # fmt: skip


Section = Callable[[View, Domain], Any]

SECTIONS: Mapping[str, Section] = {
    "uuid": lambda _, domain: domain.uuid,
    "mac": lambda _, domain: mac_text(domain.mac),
    "hostid": lambda _, domain: hostid_text(domain.hostid),
    "control": _control,
    "masters": lambda _, domain: list(domain.masters),
    "cores": _cores,
    "vcpu": _vcpus,
    "crypto": _crypto,
    "memory": _memory,
    "constraint": lambda _, domain: constraint(domain),
    "variables": lambda _, domain: [{"name": name, "value": value} for name, value in sorted(domain.variables)],
    "policies": _policies,
    "io": _io,
    "vldc": lambda view, domain: report_services.channel_services(view.configuration, domain),
    "vldcc": lambda view, domain: report_services.channel_clients(view.configuration, domain),
    "vcc": lambda view, domain: report_services.vccs(view.configuration, domain),
    "vsw": lambda view, domain: report_services.switches(view.configuration, domain),
    "vds": lambda view, domain: report_services.disk_servers(view.configuration, domain),
    "vsan": lambda view, domain: report_services.vsans(view.configuration, domain),
    "vdpcs": lambda view, domain: report_services.vdpcss(view.configuration, domain),
    "vnet": lambda view, domain: report_guest.networks(view.configuration, domain),
    "vdisk": lambda view, domain: report_guest.disks(view.configuration, domain, view.status(domain)),
    "vhba": lambda view, domain: report_guest.vhbas(view.configuration, domain),
    "vdpcc": lambda view, domain: report_guest.vdpccs(view.configuration, domain),
    "vcons": lambda view, domain: report_guest.console(view.configuration, domain),
    "status": _status,
    "asked": lambda view, domain: asked(view.configuration, domain),
}
