"""Dynamic reconfiguration: what a running domain's operating system is asked for, and what it answers.

Order (domain services specification): more: the machine gives it, new machine description, md-update, configure. Less:
unconfigure, the machine takes it, new machine description, md-update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ldmd.messages import refuse
from ldmd.model import Configuration, Domain, State
from ldmd.operations.context import Context, HypervisorError
from ldmd.planner.reconfiguration import find

CPU_SECONDS = 60.0
"""How long a guest may take to answer a request about CPUs or crypto units."""
MEMORY_SECONDS = 600.0
MD_SECONDS = 30.0
UNITS_AT_ONCE = 32
"""CPUs or crypto units of one request."""
DYNAMIC = frozenset(f"{verb}-{noun}" for verb in ("add", "set", "remove")
                    for noun in ("vcpu", "core", "memory", "crypto"))


@dataclass(frozen=True)
class Answer:
    """What a guest said. `ok`: the request as a whole went well; `complete`: it answered at all.

    `good`: units of which it said that it did them; `failed`: for each that it did not do, why.
    """

    complete: bool
    ok: bool
    reason: str = ""
    good: frozenset[int] = frozenset()
    failed: Mapping[int, str] = field(default_factory=dict)

    def done(self, units: Iterable[int]) -> tuple[int, ...]:
        """Those of the units that it did. Of a request that failed, only those that it names."""
        return tuple(unit for unit in units if unit not in self.failed and (self.ok or unit in self.good))

    @property
    def reasons(self) -> str:
        """Why not, for people."""
        words = sorted({text for text in self.failed.values() if text})
        return "; ".join([*([self.reason] if self.reason and self.reason not in words else []), *words])


def guest_id(configuration: Configuration, name: str) -> int:
    """The number of a domain in the hypervisor. Refuses where it was stopped and unbound meanwhile."""
    domain = find(configuration, name)
    if domain.binding is None:
        refuse("dr.ended", name=name)
    return domain.binding.id


def still_runs(context: Context, name: str) -> bool:
    """True while the domain is there and active."""
    domain = context.configuration.find(name)
    return domain is not None and domain.binding is not None and domain.state in (State.ACTIVE, State.STOPPING)


def check_alone(context: Context, name: str) -> None:
    """Refuse while another dynamic reconfiguration of the domain waits for its guest."""
    others = [job for job in context.jobs()
              if job["command"] in DYNAMIC and job["arguments"].get("domain") == name]
    if len(others) > 1:  # one of them is this job
        refuse("dr.busy", name=name, command=others[0]["command"])


def require_service(context: Context, domain: Domain, service: str, *, what: str, kind: str) -> None:
    """Refuse where the guest has not registered a service, before anything is changed."""
    status = context.hypervisor.call("guest.status", guest=guest_id(context.configuration, domain.name))
    if service in status.get("services", ()):
        return
    where = "it is in OpenBoot" if status.get("firmware") else f"its operating system has no service {service}"
    refuse("dr.no-service", name=domain.name, what=what, kind=kind, why=where)


def ask(context: Context, name: str, op: str, *, seconds: float, **arguments: Any) -> Answer:
    """One request of domain services, and the guest's answer to it. Never raises for what the guest does."""
    try:
        request = context.hypervisor.call(op, guest=guest_id(context.configuration, name), **arguments)["request"]
    except HypervisorError as error:
        if error.code in ("unreachable", "timeout"):
            raise
        return Answer(complete=False, ok=False, reason=error.text)
    context.wait(lambda: context.replies(request) is not None or not still_runs(context, name), seconds=seconds)
    reply = context.replies(request)
    if reply is None:
        ended = "" if still_runs(context, name) else "the domain was stopped"
        return Answer(complete=False, ok=False, reason=ended or f"no answer came in {seconds:.0f} seconds")
    return read_reply(reply)


def read_reply(reply: Mapping[str, Any]) -> Answer:
    """An answer as the machine passes it on. Whatever is odd in it counts as a failure."""
    reason = str(reply.get("reason") or "")[:1024]
    result = reply.get("result")
    units = tuple(_units(reply))
    return Answer(complete=result is not None, ok=_good(result), reason=reason,
                  good=frozenset(unit for unit, good, _ in units if good),
                  failed={unit: text for unit, good, text in units if not good})


def _good(result: object) -> bool:
    return result == "ok" or (type(result) is int and result == 0)


def _units(reply: Mapping[str, Any]) -> Iterator[tuple[int, bool, str]]:
    """(CPU or real address, done, words) of each part of an answer."""
    for key, number in (("units", "unit"), ("blocks", "address")):
        rows = reply.get(key)
        for row in rows if isinstance(rows, list | tuple) else ():
            unit = row.get(number, row.get("unit")) if isinstance(row, Mapping) else None
            if isinstance(unit, int):
                yield unit, _good(row.get("result")), str(row.get("text") or "")[:256]


def ask_each(context: Context, name: str, op: str, *, units: tuple[int, ...], **arguments: Any) -> Answer:
    """The same for many CPUs or crypto units, some at a time; ends with the first group that fails wholly."""
    failed: dict[int, str] = {}
    reason = ""
    for start in range(0, len(units), UNITS_AT_ONCE):
        some = units[start : start + UNITS_AT_ONCE]
        answer = ask(context, name, op, seconds=CPU_SECONDS, cpus=list(some), **arguments)
        failed.update({unit: answer.failed.get(unit, answer.reason) for unit in some if unit not in answer.done(some)})
        reason = reason or answer.reason
        if not answer.done(some):
            failed.update(dict.fromkeys(units[start + len(some):], answer.reason))
            break
    return Answer(complete=True, ok=True, reason=reason, failed=failed)


def md_update(context: Context, name: str) -> None:
    """Have the guest read its machine description anew; a guest that does not is warned of, no more."""
    if not still_runs(context, name):
        return
    answer = ask(context, name, "guest.md_update", seconds=MD_SECONDS)
    if not answer.ok and still_runs(context, name):
        context.warn(f"Warning: LDom {name} did not read its new machine description: {answer.reason}")
