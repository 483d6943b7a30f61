"""The plan of a move: what the target makes of the domain, what the source keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from domain_support import guest
from rules_support import GIB, Move, allowed

from ldmd.messages import RefusedError
from ldmd.migration.facts import GuestFacts, Known, check_facts
from ldmd.migration.plan import abandoned, handed_over, plan_move, resumed, suspended, taken_over, with_crypto
from ldmd.migration.rules import preflight
from ldmd.model import MemoryBlock, Policy, State, Vcc, Vnet, Vsw
from ldmd.model.plain import from_plain, to_plain
from ldmd.planner.invariants import problems

GUIDE = ((0x8000_0000, 0x4_0000_0000, 2048), (0x4_0000_0000, 0x8_8000_0000, 6144))


@pytest.mark.parametrize("upto", ["booted", "bound", "inactive"])
def test_m32_identity_travels(upto: str) -> None:
    move = Move("t5-2", "t5-2", upto=upto, arch="generic")
    move.with_devices(disk=True, net=True, adapter=0)
    move.source.ok("set-variable", assignments=["auto-boot?=false"], domain="ldg1")
    move.source.manager.commit(move.source.manager.configuration.with_domain(
        move.domain.but(shutdown_group=3, extended_mapin_space=False)))
    here, there = move.domain, move.planned()
    assert there.state is (State.INACTIVE if upto == "inactive" else State.BOUND)
    for field in ("uuid", "hostid", "mac", "automatic_mac", "vdisks", "vnets", "vhbas", "variables", "policies",
                  "shutdown_group", "extended_mapin_space", "cpu_arch", "boot_policy", "cpus", "memory"):
        assert getattr(there, field) == getattr(here, field), field
    if upto == "booted":
        assert there.binding is not None
        assert here.binding is not None
        assert there.binding.devices == here.binding.devices
        assert [vid for vid, _ in there.binding.vcpus] == [vid for vid, _ in here.binding.vcpus]
        assert [(b.ra, b.size_bytes) for b in there.binding.memory] == \
            [(b.ra, b.size_bytes) for b in here.binding.memory]


def test_a_running_domain_keeps_the_numbers_of_its_devices_and_virtual_cpus() -> None:
    """Numbers that a new binding would not give: a disk and virtual CPUs before them were removed."""
    move = Move(vcpus=4).with_devices(disk=True, net=True)
    binding = move.domain.binding
    assert binding is not None
    strand = dict(binding.vcpus)
    odd = binding.but(vcpus=((1, strand[0]), (5, strand[1]), (6, strand[2]), (9, strand[3])), devices=tuple(
        replace(device, number=7, channels=(40 + place,)) for place, device in enumerate(binding.devices)))
    move.edit_guest = lambda facts: replace(facts, domain=facts.domain.but(binding=odd))
    there = move.planned().binding
    assert there is not None
    assert [vid for vid, _ in there.vcpus] == [1, 5, 6, 9]
    assert there.devices == odd.devices


def test_links_to_the_targets_other_networks_get_channels_that_are_free() -> None:
    move = Move().with_devices(net=True)
    guest(move.target, "near", upto="inactive")
    from ldmd.model import Vnet

    near = move.target.domain("near").but(vnets=(Vnet(name="n", service="primary-vsw0", mac=0x00144FF90077),))
    move.target.manager.commit(move.target.manager.configuration.with_domain(near))
    move.target.ok("bind-domain", domain="near")
    devices = {domain.name: domain.binding.devices for domain in move.plan().domains if domain.binding}
    assert [len(each.channels) for name in ("near", "ldg1") for each in devices[name]] == [2, 2]
    assert devices["ldg1"][0].channels[0] == move.domain.binding.devices[0].channels[0]  # type: ignore[union-attr]


def test_g23_solaris_11_3_lets_its_blocks_be_split() -> None:
    """Four runs of 2G: the blocks of 2G and 6G fit only in pieces, which lie at multiples of 2G."""
    move = Move().with_memory(*GUIDE).with_free(*((each << 32, 2048) for each in range(1, 5)))
    assert [each.rule for each in move.report().findings] == ["G21"]
    move.os = {"name": "Solaris", "version": "11.2"}
    assert [each.rule for each in move.report().findings] == ["G21"]
    move.os = {"name": "Solaris", "version": "11.3"}
    assert move.report().findings == ()
    from emulator.placement import Placement
    from ldmd.migration.checks.memory import layout

    placed = layout(move.guest(), move.facts())
    assert isinstance(placed, Placement)
    assert [block.size_bytes for block in placed.blocks] == [2 * GIB] * 4
    assert all((block.ra or 0) % (2 * GIB) == 0 and block.pa % (2 * GIB) == 0 for block in placed.blocks)


def test_g33_hybrid_mode_is_kept_and_never_required() -> None:
    move = Move().with_devices(net=True)
    move.on_source(vnets=(replace(move.domain.vnets[0], mode="hybrid"),))
    allowed(move)
    assert move.planned().vnets[0].mode == "hybrid"


def test_g44_nobody_asks_where_the_switch_leads() -> None:
    move = Move().with_devices(net=True)
    switch = move.target.domain("primary").switches[0]
    allowed(move.target_primary(switches=(replace(switch, net_dev="net1"),)))


def test_a_switch_that_only_the_target_has() -> None:
    """An inactive domain may name a switch that its own server lacks: it went there, and comes back."""
    move = Move(upto="inactive").on_source(vnets=(Vnet(name="vnet0", service="sw2", mac=0x00144FF90001),))
    primary = move.target.domain("primary")
    more = Vsw(name="sw2", mac=0x00144FFC0B09, automatic_mac=False, default_vlan=7, pvid=7)
    move.target_primary(switches=(*primary.switches, more))
    allowed(move)
    assert move.planned().vnets[0].pvid is None


def test_a_device_stays_in_its_vlan() -> None:
    move = Move().with_devices(net=True)
    switch = move.target.domain("primary").switches[0]
    move.target_primary(switches=(replace(switch, default_vlan=5, pvid=5),))
    assert move.planned().vnets[0].pvid == 1
    move.on_source(vnets=(replace(move.domain.vnets[0], pvid=9),))
    assert move.planned().vnets[0].pvid == 9


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g47_the_console_is_placed_anew(upto: str) -> None:
    """Group, port and service that were asked for are ignored; the lowest free port of the control domain's vcc."""
    move = Move(upto="inactive")
    move.source.ok("set-vconsole", domain="ldg1", group="mine", port="5055")
    move.up(upto)
    guest(move.target, "first", upto="bound")
    binding = move.planned().binding
    assert binding is not None
    assert (binding.console_group, binding.console_port, binding.console_service) == ("ldg1", 5001, "primary-vcc0")


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g47_a_port_that_another_program_has_comes_last(upto: str) -> None:
    move = Move(upto=upto)
    move.there = replace(move.there, ports_taken=frozenset(range(5000, 5100)))
    binding = move.planned().binding
    assert binding is not None and binding.console_port == 5100
    move.there = replace(move.there, ports_taken=frozenset(range(4000, 6000)))
    binding = move.planned().binding
    assert binding is not None and binding.console_port == 5000


@pytest.mark.parametrize("upto", ["booted", "bound"])
def test_g47_a_service_domains_concentrator_is_second(upto: str) -> None:
    move = Move(upto=upto)
    move.target.ok("set-vcc", vcc="primary-vcc0", **{"port-range": "5000-5000"})
    guest(move.target, "server", upto="inactive")
    server = move.target.domain("server").but(vccs=(Vcc(name="second-vcc0", first_port=4000, last_port=4001),))
    move.target.manager.commit(move.target.manager.configuration.with_domain(server))
    first = move.planned().binding
    assert first is not None
    assert (first.console_port, first.console_service) == (5000, "primary-vcc0")
    move.target.ok("bind-domain", domain="server")
    second = move.planned().binding
    assert second is not None
    assert (second.console_group, second.console_port, second.console_service) == ("ldg1", 4000, "second-vcc0")


def test_g51_units_are_away_while_it_moves_and_come_back() -> None:
    move = Move("t3-1", "t3-1", vcpus=16, upto="inactive")
    move.source.ok("set-crypto", count="2", domain="ldg1")
    move.up("booted")
    received = move.plan()
    domain = received.find("ldg1")
    assert domain is not None
    assert domain.binding is not None
    assert (domain.crypto, domain.binding.crypto) == (0, ())
    after = with_crypto(taken_over(received, "ldg1", started_at=1.0), "ldg1", 2)
    assert problems(after) == ()
    again = after.find("ldg1")
    assert again is not None
    assert again.crypto == 2
    many = with_crypto(received, "ldg1", 9).find("ldg1")
    assert many is not None
    assert many.crypto == 2


def test_g51_a_bound_domain_has_its_units_where_there_are_any() -> None:
    move = Move("t3-1", "t3-1", vcpus=16, upto="inactive")
    move.source.ok("set-crypto", count="2", domain="ldg1")
    move.up("bound")
    assert move.planned().crypto == 2
    other = Move("t5-2", "t5-2")
    move.target = other.target
    assert move.planned().crypto == 0


def test_g61_policies_are_no_obstacle_and_travel() -> None:
    policies = (Policy(name="elastic", enable=True, vcpu_min=2, vcpu_max=16),)
    move = Move().on_source(policies=policies)
    guest(move.target, "near", upto="bound")
    near = move.target.domain("near").but(policies=policies)
    move.target.manager.commit(move.target.manager.configuration.with_domain(near))
    allowed(move)
    assert move.planned().policies == policies


def test_m27_counters_are_carried_where_both_have_access() -> None:
    move = Move()
    move.edit_guest = lambda facts: replace(facts, domain=facts.domain.but(perf_counters=("htstrand",)))
    assert move.planned().perf_counters == ("htstrand",)
    move.here = Known(performance_access=False)
    assert move.planned().perf_counters == ()


def test_m33_the_source_forgets_it_without_freeing_its_macs() -> None:
    move = Move().with_devices(disk=True, net=True)
    configuration = move.source.manager.configuration
    gone = handed_over(suspended(configuration, "ldg1"), "ldg1")
    assert problems(gone) == ()
    assert gone.find("ldg1") is None
    assert not {move.domain.mac, 0x00144FF90001} & set(gone.freed_macs)


def test_the_states_on_the_way() -> None:
    move = Move()
    before = move.source.manager.configuration
    pausing = suspended(before, "ldg1")
    assert problems(pausing) == ()
    assert pausing.find("ldg1").state is State.SUSPENDED  # type: ignore[union-attr]
    assert resumed(pausing, "ldg1") == before
    received = move.plan()
    assert received.find("ldg1").state is State.BOUND  # type: ignore[union-attr]
    owned = taken_over(received, "ldg1", started_at=move.domain.started_at)
    assert problems(owned) == ()
    assert owned.find("ldg1").started_at == move.domain.started_at  # type: ignore[union-attr]
    assert abandoned(received, "ldg1") == move.target.manager.configuration


def test_whole_cores_of_a_bound_domain_are_the_targets() -> None:
    move = Move("t5-2", "m10-1", upto="inactive")
    move.source.ok("set-core", count="2", domain="ldg1")
    move.up("bound")
    there = move.planned()
    assert (there.cpus.cores, there.cpus.vcpus) == (2, 4)


def test_what_was_taken_after_the_checks_is_refused() -> None:
    move = Move(size="8G")
    assert move.report().ok
    guest(move.target, "thief", size="55G", upto="bound")
    with pytest.raises(RefusedError) as refusal:
        move.plan()
    assert refusal.value.code == "migration.changed"


@pytest.mark.parametrize("damage", ["chip", "name", "state", "memory", "overlap", "vcpus", "channels", "macs", "none"])
def test_hostile_facts_are_refused(damage: str) -> None:
    move = Move().with_devices(disk=True, net=True)
    facts = move.guest()
    binding = facts.domain.binding
    assert binding is not None
    block = binding.memory[0]
    worse = {
        "chip": replace(facts, server=replace(facts.server, chip="z80")),
        "name": replace(facts, domain=facts.domain.but(name="a\nb")),
        "state": replace(facts, domain=facts.domain.but(binding=None)),
        "memory": replace(facts, domain=facts.domain.but(binding=binding.but(
            memory=(MemoryBlock(block.ra, block.pa, -block.size_bytes),)))),
        "overlap": replace(facts, domain=facts.domain.but(binding=binding.but(memory=(block, block)))),
        "vcpus": replace(facts, domain=facts.domain.but(binding=binding.but(vcpus=((0, 1), (0, 2))))),
        "channels": replace(facts, domain=facts.domain.but(binding=binding.but(
            devices=tuple(replace(each, channels=(3,)) for each in binding.devices)))),
        "macs": replace(facts, domain=facts.domain.but(vnets=facts.domain.vnets * 2)),
        "none": facts,
    }[damage]
    worse = from_plain(GuestFacts, to_plain(worse))
    if damage == "none":
        check_facts(worse)
        return
    for look in (lambda: check_facts(worse), lambda: preflight(worse, move.facts()),
                 lambda: plan_move(move.target.manager.configuration, worse)):
        with pytest.raises(RefusedError) as refusal:
            look()
        assert refusal.value.code == "migration.facts"
