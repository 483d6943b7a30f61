"""The rules of a migration as a table, and `preflight`, which asks all of them.

"Gnn" are the requirements of the Administration Guide's chapter on migrating domains, "Mnn" those of its other pages
and of the release notes. Pure: facts in, report out, the same for a dry run. docs/reference/migration-rules.md is
generated from here.
"""

from __future__ import annotations

from ldmd.migration.checks import cpus, devices, memory, state
from ldmd.migration.facts import GuestFacts, TargetFacts, check_facts
from ldmd.migration.rule import BINDS, BOUND, INACTIVE, ONLY_LIVE, Options, Report, Rule, Severity, Where

WARNING, SOURCE, TARGET = Severity.WARNING, Where.SOURCE, Where.TARGET
REAL = "tests/realrules/test_real_"
NO_OPTIONS = Options()

_GENERAL = (
    Rule(id="G01", name="control-domain-cpus", where=Where.BOTH,
         proof=REAL + "state.py::test_g01_the_smaller_control_domain_bounds_the_connections",
         summary="More CPUs in both control domains shorten a migration: they bound its parallelism"),
    Rule(id="G02", name="clock-lag",
         proof=REAL + "state.py::test_g02_the_clock_is_late_by_the_pause",
         summary="The guest's clock falls behind by the time it was suspended, unless an outside source corrects it"),
    Rule(id="G03", name="brief-delay", proof="tests/room/test_demo.py::test_g03_there_and_back",
         summary="In the last phase the guest only pauses; its network interface goes and comes back"),
)
_CPUS = (
    Rule(id="G10", name="free-cpus", check=cpus.free_cpus, when=BINDS,
         summary="The target has enough free virtual CPUs, or whole cores where those are needed"),
    Rule(id="G11", name="cpu-arch-change", proof=REAL + "cpus.py::test_g11_only_while_not_active",
         summary="cpu-arch decides where a domain may go, and changes only while it is bound or inactive"),
    Rule(id="G12", name="native", check=cpus.native, when=ONLY_LIVE,
         summary="cpu-arch native moves only to the same CPU type"),
    Rule(id="G13", name="migration-class1", check=cpus.class1, when=ONLY_LIVE,
         summary="cpu-arch migration-class1 moves among SPARC T4 and later"),
    Rule(id="G14", name="sparc64-class1", check=cpus.sparc64, when=ONLY_LIVE,
         summary="cpu-arch sparc64-class1 moves among SPARC64 servers"),
    Rule(id="G15", name="generic", check=cpus.generic, when=ONLY_LIVE,
         summary="cpu-arch generic moves to every platform whose CPU has all of it"),
    Rule(id="G16", name="isainfo",
         proof=REAL + "cpus.py::test_g13_g16_g17_g18_class1_moves_among_t4_and_later",
         summary="isainfo -v in the guest prints the instruction sets of the class"),
    Rule(id="G17", name="psrinfo", proof=REAL + "cpus.py::test_g17_native_names_the_chip_after_a_move",
         summary="psrinfo -pv names the chip when native, else sun4v-cpu"),
    Rule(id="G18", name="illegal-instructions",
         proof="tests/isa/test_feature_bits.py::test_missing_rows_are_illegal_whatever_their_operands",
         summary="An instruction that the cpu-arch does not include is illegal on every chip"),
)
_MEMORY = (
    Rule(id="G20", name="free-memory", check=memory.enough, when=BINDS, summary="The target has enough free memory"),
    Rule(id="G21", name="congruence", check=memory.congruent, when=ONLY_LIVE,
         summary="Each block keeps its real address and its place within the largest page"),
    Rule(id="G22", name="pagesize", proof=REAL + "memory.py::test_g22_pagesize",
         summary="pagesize in the guest tells the largest page of its machine"),
    Rule(id="G23", name="splitting", proof=REAL + "memory.py::test_g23_a_block_is_split_and_the_guest_goes_on",
         summary="Blocks of a guest of Solaris 11.3 or later may be split, at multiples of the largest page only"),
    Rule(id="G24", name="no-splitting", check=memory.unsplittable, when=ONLY_LIVE,
         summary="A block that cannot be cut where it would have to be prevents the migration"),
)
_PHYSICAL = (
    Rule(id="G30", name="root-domain", check=devices.root_domain, where=SOURCE,
         summary="A domain that owns buses or network units does not migrate"),
    Rule(id="G31", name="direct-io", check=devices.endpoints, where=SOURCE,
         summary="A domain with a PCIe endpoint does not migrate"),
    Rule(id="G32", name="virtual-functions", check=devices.functions, where=SOURCE,
         summary="A domain with an SR-IOV virtual function does not migrate"),
    Rule(id="G33", name="hybrid-io",
         proof=REAL + "devices.py::test_g33_hybrid_mode_is_kept_and_never_required",
         summary="mode=hybrid of a vnet is kept, and never a requirement"),
)
_VIRTUAL = (
    Rule(id="G40", name="services", check=devices.services, when=BINDS,
         summary="Every virtual I/O service that the domain uses exists on the target"),
    Rule(id="G41", name="volumes", check=devices.volumes, when=BINDS,
         summary="Each disk's volume exists there by the same name in a server of the same name"),
    Rule(id="G42", name="same-storage", check=devices.contents, when=BINDS, severity=WARNING, forced=True,
         summary="Other contents there are not checked by the product; here a warning, or an error if asked for"),
    Rule(id="G43", name="switches", check=devices.switches, when=BINDS,
         summary="For each vnet a switch of the same name exists there"),
    Rule(id="G44", name="physical-network", proof=REAL + "devices.py::test_g44_nobody_asks_where_the_switch_leads",
         summary="Where that switch leads is the administrator's duty"),
    Rule(id="G45", name="mac-addresses", check=devices.macs, summary="The domain's MAC addresses are free there"),
    Rule(id="G46", name="console-port", check=devices.console_port, when=BINDS, where=TARGET,
         summary="A console concentrator has a free port"),
    Rule(id="G47", name="console-place", proof=REAL + "devices.py::test_g47_the_console_is_placed_anew",
         summary="The console is made anew: the domain's name as group, any free port, the control domain's first"),
    Rule(id="G48", name="console-group", check=devices.console_group, when=BINDS,
         summary="No console group of the domain's name exists there"),
    Rule(id="G49", name="virtual-sans", check=devices.vsans, when=BINDS,
         summary="Each virtual SAN that the domain uses exists there"),
)
_CRYPTO = (
    Rule(id="G50", name="crypto-reconfiguration", check=cpus.crypto, when=ONLY_LIVE, where=SOURCE,
         summary="Bound crypto units need an operating system that gives them up"),
    Rule(id="G51", name="crypto-removal", proof=REAL + "cpus.py::test_g51_g52_units_leave_and_come_back",
         summary="All crypto units are removed before, and added after the migration"),
    Rule(id="G52", name="fewer-crypto-units", check=cpus.fewer_crypto, when=BINDS, severity=WARNING,
         summary="Too few crypto units on the target are no obstacle"),
)
_STATE = (
    Rule(id="G60", name="delayed-reconfiguration", check=state.pending,
         summary="No migration while a delayed reconfiguration is pending on either machine, and none begins in one"),
    Rule(id="G61", name="elastic-policy", proof=REAL + "state.py::test_g61_policies_are_no_obstacle_and_travel",
         summary="Elastic policies on either machine are no obstacle"),
    Rule(id="G62", name="blocked-operations",
         proof=REAL + "state.py::test_g62_m03_what_is_refused_while_a_domain_moves",
         summary="Until it ends, what could change the domain or the machine's resources is refused"),
    Rule(id="G63", name="soft-state", check=state.coordination, when=ONLY_LIVE, where=SOURCE,
         summary="A domain in OpenBoot or the kernel debugger does not migrate"),
)
_FURTHER = (
    Rule(id="M01", name="manager-versions", check=state.versions, summary="Both managers are of release N or N-1"),
    Rule(id="M02", name="switched-off", check=state.enabled,
         summary="Outgoing and incoming migrations are not switched off"),
    Rule(id="M03", name="one-at-a-time", check=state.migrating,
         summary="Each machine takes part in one migration at a time"),
    Rule(id="M04", name="steady", check=state.steady, where=SOURCE,
         summary="The domain is active, bound or inactive, not in between"),
    Rule(id="M05", name="other-operation", check=state.operation, where=SOURCE,
         summary="No other operation on the domain runs"),
    Rule(id="M06", name="control-domain", check=state.control, where=SOURCE, final=True,
         summary="The control domain stays"),
    Rule(id="M07", name="service-domain", check=state.service_domain, where=SOURCE,
         summary="A domain that offers virtual I/O services stays"),
    Rule(id="M08", name="domain-name", check=state.name_free, summary="The name can be one, and is free on the target"),
    Rule(id="M09", name="uuid", check=state.uuid_free, summary="The uuid is free on the target"),
    Rule(id="M10", name="hostid", check=state.hostid_free, severity=WARNING,
         summary="A hostid that a domain there has as well is told"),
    Rule(id="M11", name="domain-count", check=state.room, when=BINDS, where=TARGET,
         summary="The platform can have one more bound domain"),
    Rule(id="M12", name="named-resources", check=state.named, where=SOURCE,
         summary="No named cores or memory blocks (until 3.4)"),
    Rule(id="M13", name="whole-cores", check=cpus.whole_cores, when=BINDS,
         summary="Whole cores stay whole, and max-cores is kept"),
    Rule(id="M14", name="old-system", check=cpus.old_guest, when=ONLY_LIVE, where=SOURCE, severity=WARNING,
         summary="A guest older than Solaris 10 1/13 is told of its limits"),
    Rule(id="M15", name="old-system-cores", check=cpus.old_whole_cores, when=ONLY_LIVE, where=SOURCE,
         summary="Such a guest has the whole-core constraint"),
    Rule(id="M16", name="least-system", check=state.least_system, when=ONLY_LIVE, where=SOURCE,
         summary="Live migration needs Solaris 10 9/10 or later"),
    Rule(id="M17", name="least-firmware", check=state.least_firmware, when=ONLY_LIVE,
         summary="Live migration needs firmware 7.4.5 on T2, 8.2.2.c on T3 and T4"),
    Rule(id="M18", name="firmware-families", check=state.families, when=ONLY_LIVE,
         summary="No live migration between firmware 7.x and later families"),
    Rule(id="M19", name="interfaces", check=state.interfaces, when=ONLY_LIVE,
         summary="The target has every hypervisor interface that the guest uses"),
    Rule(id="M20", name="m5-upgrade", check=state.m5_upgrade, when=ONLY_LIVE,
         summary="No live migration from older firmware to an M5-32 with newer"),
    Rule(id="M21", name="gpt-labels", check=devices.gpt,
         summary="Disks with an EFI GPT label need firmware 8.4, 9.1 or XCP 2230 there, also when not active"),
    Rule(id="M22", name="volume-options", check=devices.volume_options, when=ONLY_LIVE, forced=True,
         summary="Options and mpgroup of an active domain's volumes are the same"),
    Rule(id="M23", name="vhba-timeout", check=devices.adapter_timeout, when=ONLY_LIVE, where=SOURCE, forced=True,
         summary="The timeout of each vHBA is 0"),
    Rule(id="M24", name="channels", check=devices.channels, when=ONLY_LIVE,
         summary="The domain's LDC endpoints do not exceed the target's limit"),
    Rule(id="M25", name="real-addresses", check=memory.real_addresses, when=ONLY_LIVE,
         summary="The domain's real addresses exist on the target's chip"),
    Rule(id="M26", name="performance-counters", check=state.counters,
         summary="perf-counters=global is held by one domain of a machine"),
    Rule(id="M27", name="counters-carried", proof=REAL + "state.py::test_m26_m27_performance_counters",
         summary="perf-counters are carried over where both machines have performance access"),
    Rule(id="M28", name="masters", check=state.masters, severity=WARNING,
         summary="A master that is not there is dropped"),
    Rule(id="M29", name="memory-tags", check=state.tags, when=ONLY_LIVE, where=SOURCE,
         summary="Memory version tags are not moved"),
    Rule(id="M30", name="kernel-zones", check=state.kernel_zones, when=ONLY_LIVE, where=SOURCE,
         summary="No kernel zones run in the domain"),
    Rule(id="M31", name="cold-cpu-arch", check=cpus.cold_arch, when=(BOUND, INACTIVE), severity=WARNING,
         summary="A domain that is not active goes anywhere; a cpu-arch the chip lacks is told"),
    Rule(id="M32", name="identity",
         proof=REAL + "state.py::test_m32_m33_identity_travels_and_the_source_forgets_it",
         summary="uuid, hostid, MAC addresses, variables, policies and device numbers do not change"),
    Rule(id="M33", name="source-destroyed",
         proof=REAL + "state.py::test_m32_m33_identity_travels_and_the_source_forgets_it",
         summary="After success the domain is gone from the source"),
)

RULES: tuple[Rule, ...] = (*_GENERAL, *_CPUS, *_MEMORY, *_PHYSICAL, *_VIRTUAL, *_CRYPTO, *_STATE, *_FURTHER)


def find_rule(rule_id: str) -> Rule:
    """A rule by its number. Raises KeyError."""
    for rule in RULES:
        if rule.id == rule_id:
            return rule
    raise KeyError(rule_id)


def preflight(
    guest: GuestFacts, target: TargetFacts, options: Options = NO_OPTIONS, *, rules: tuple[Rule, ...] = RULES
) -> Report:
    """All rules, all that is unmet, in their order. Refuses facts that are no domain (`check_facts`)."""
    check_facts(guest)
    final = tuple(finding for rule in rules if rule.final for finding in rule.findings(guest, target, options))
    findings = final or tuple(finding for rule in rules for finding in rule.findings(guest, target, options))
    return Report(domain=guest.domain.name, findings=findings, dry_run=options.dry_run)
