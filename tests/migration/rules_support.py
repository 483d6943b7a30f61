"""Two servers with managers, a domain on one of them, and what the rules say of its move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from domain_support import Room, guest, ready
from manager_support import commit

from ldmd.migration.facts import GuestFacts, Known, MemoryPiece, TargetFacts, guest_facts, target_facts
from ldmd.migration.plan import plan_move
from ldmd.migration.rule import Options, Report, Severity
from ldmd.migration.rules import RULES, preflight
from ldmd.model import (
    Configuration,
    DiskServer,
    Domain,
    MemoryAmount,
    MemoryBlock,
    Vdisk,
    Vhba,
    Vnet,
    Volume,
    Vsan,
    Vsw,
)
from ldmd.model.plain import from_plain, to_plain
from ldmd.planner.channels import settle
from ldmd.planner.invariants import problems

GIB = 1 << 30
SWITCH_MACS = {"alpha": 0x00144FFC0A01, "beta": 0x00144FFC0B01}


class Move:
    """Servers `alpha` and `beta`, domain ldg1 on alpha."""

    def __init__(self, here: str = "t5-2", there: str = "t5-2", *, upto: str = "booted", vcpus: int = 8,
                 size: str = "2G", memory: str = "64G", arch: str = "native") -> None:
        self.source: Room = ready(here, memory, name="alpha", seed=1)
        self.target: Room = ready(there, memory, name="beta", seed=2)
        self.options = Options()
        self.here, self.there = Known(), Known()
        self.os: dict[str, Any] = {}
        for room, name in ((self.source, "alpha"), (self.target, "beta")):
            self._serve(room, name)
        guest(self.source, "ldg1", vcpus=vcpus, size=size)
        if arch != "native":
            self.source.ok("set-domain", domain="ldg1", **{"cpu-arch": arch})
        self.upto = upto
        self.up(upto)

    def _serve(self, room: Room, name: str) -> None:
        """A disk server with a volume, a switch, a virtual SAN on the control domain."""
        primary = room.domain("primary")
        commit(room.manager, settle(room.manager.configuration.with_domain(primary.but(
            disk_servers=(DiskServer(name="primary-vds0", volumes=(Volume(name="vol1", backend=f"/{name}/1"),)),),
            switches=(Vsw(name="primary-vsw0", mac=SWITCH_MACS[name], automatic_mac=False),),
            vsans=(Vsan(name="san1", iport=f"/SYS/MB/{name}"),)))))

    def up(self, upto: str) -> None:
        if upto != "inactive":
            self.source.ok("bind-domain", domain="ldg1")
        if upto in ("active", "booted"):
            self.source.ok("start-domain", domains=["ldg1"])
        if upto == "booted":
            self.source.machine.boot_os(self.source.number("ldg1"))

    # -- what is different

    def on_source(self, **changes: Any) -> Move:
        """Change the domain as it stands, past the commands' own checks."""
        domain = self.domain.but(**changes)
        self._replace(self.source, self.source.manager.configuration.with_domain(domain))
        return self

    def with_devices(self, *, disk: bool = False, net: bool = False, adapter: int | None = None) -> Move:
        """A disk, a network device, a vHBA with a timeout."""
        return self.on_source(
            vdisks=(Vdisk(name="vdisk0", volume="vol1", service="primary-vds0"),) if disk else (),
            vnets=(Vnet(name="vnet0", service="primary-vsw0", mac=0x00144FF90001),) if net else (),
            vhbas=() if adapter is None else (Vhba(name="vh0", vsan="san1", timeout=adapter),))

    def target_primary(self, **changes: Any) -> Move:
        primary = self.target.domain("primary").but(**changes)
        self._replace(self.target, self.target.manager.configuration.with_domain(primary))
        return self

    def _replace(self, room: Room, configuration: Configuration) -> None:
        commit(room.manager, settle(configuration))

    def with_memory(self, *blocks: tuple[int, int, int]) -> Move:
        """(real address, physical address, MiB) of each block."""
        self.memory = tuple(MemoryBlock(ra, pa, size << 20) for ra, pa, size in blocks)
        return self

    def with_free(self, *runs: tuple[int, int]) -> Move:
        """The target has no other memory than these free runs: (physical address, MiB)."""
        self.edit_target = lambda facts: replace(facts, memory=tuple(
            MemoryPiece(pa=pa, size_bytes=size << 20, node=node) for node, (pa, size) in enumerate(runs)))
        return self

    memory: tuple[MemoryBlock, ...] = ()
    edit_guest: Callable[[GuestFacts], GuestFacts] = staticmethod(lambda facts: facts)
    edit_target: Callable[[TargetFacts], TargetFacts] = staticmethod(lambda facts: facts)

    # -- what is looked at

    @property
    def domain(self) -> Domain:
        return self.source.domain("ldg1")

    def guest(self) -> GuestFacts:
        """Through plain data, as it travels."""
        domain = self.domain
        status = {} if domain.binding is None else self.source.machine.status(domain.binding.id)
        facts = guest_facts(self.source.manager.configuration, domain, status={**status, "os": self.os},
                            known=self.here)
        if self.memory and facts.domain.binding is not None:
            facts = replace(facts, domain=facts.domain.but(
                memory=MemoryAmount(size_bytes=sum(block.size_bytes for block in self.memory)),
                binding=facts.domain.binding.but(memory=self.memory)))
        return from_plain(GuestFacts, to_plain(self.edit_guest(facts)))

    def facts(self) -> TargetFacts:
        facts = target_facts(self.target.manager.configuration, self.there)
        return from_plain(TargetFacts, to_plain(self.edit_target(facts)))

    def report(self) -> Report:
        return preflight(self.guest(), self.facts(), self.options)

    def plan(self) -> Configuration:
        new = plan_move(self.target.manager.configuration, self.guest(), self.options, known=self.there)
        assert problems(new) == ()
        return new

    def planned(self) -> Domain:
        found = self.plan().find(self.options.new_name or "ldg1")
        assert found is not None
        return found


def allowed(move: Move) -> None:
    """Nothing is found, and the plan of the move is a sound configuration."""
    assert move.report().findings == ()
    move.plan()


def refused(move: Move, rule: str, *texts: str, warning: bool = False, also: tuple[str, ...] = ()) -> None:
    """That rule finds exactly these texts, other rules nothing; and without that rule nothing is found at all."""
    report = move.report()
    mine = [each for each in report.findings if each.rule == rule]
    assert {each.rule for each in report.findings} == {rule, *also}, report.findings
    assert [each.text for each in mine] == list(texts)
    assert all(each.severity is (Severity.WARNING if warning else Severity.ERROR) for each in mine)
    assert report.ok is (warning and not also)
    rest = tuple(each for each in RULES if each.id not in (rule, *also))
    assert preflight(move.guest(), move.facts(), move.options, rules=rest).findings == ()
    dry = preflight(move.guest(), move.facts(), replace(move.options, dry_run=True))
    assert dry.findings == report.findings
    if not report.ok:
        assert report.lines()[-1] == "Domain Migration of LDom ldg1 failed"
        assert dry.lines()[-1] == "Domain Migration of LDom ldg1 would fail if attempted"
