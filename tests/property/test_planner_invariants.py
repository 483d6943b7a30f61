"""Random requests to the planner: whatever is asked, in whatever order, every configuration that comes out is sound.

`ldmd.planner.invariants` checks by brute force. What is refused is checked as well where plain counting can tell
whether it had to be.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from planner_support import GIB, MIB, disk, fresh, net

from ldmd.messages import RefusedError
from ldmd.model import Configuration, DiskServer, Domain, State, Vcc, Vcons, Vdisk, Vnet, Volume, Vsw
from ldmd.planner import binding, cpus, domains, memory, reconfiguration, spconfigs, variables
from ldmd.planner.channels import settle
from ldmd.planner.hardware import hardware, strand_owners
from ldmd.planner.invariants import problems
from ldmd.planner.memory import Target

NAMES = ("primary", "a", "b", "c")
PLATFORMS = {"netra-t2000": 8, "t5240": 16, "t5-2": 16, "m10-1": 16}
Request = Callable[[Configuration], Configuration]


def start(platform: str) -> Configuration:
    configuration = fresh(platform, PLATFORMS[platform])
    primary = configuration.primary
    configuration = configuration.with_domain(primary.but(
        io=(), vccs=(Vcc(name="vcc0", first_port=5000, last_port=5002),),
        disk_servers=(DiskServer(name="primary-vds0", volumes=(
            Volume(name="vol1", backend="/1", mpgroup="m"), Volume(name="vol2", backend="/2", mpgroup="m"))),),
        switches=(Vsw(name="primary-vsw0", mac=0x00144FFC0001),)))
    return settle(configuration)


def target(configuration: Configuration, name: str) -> tuple[Configuration, Domain]:
    return reconfiguration.foreseen(configuration), reconfiguration.changeable(configuration, name)


def put(configuration: Configuration, domain: Domain) -> Configuration:
    return settle(reconfiguration.changed(configuration, domain))


def justified(refused: RefusedError, asked: int, free: int) -> None:
    """Where strands are said not to suffice, they do not."""
    assert refused.code != "cpu.too-few" or asked > free, "it was refused although there are enough strands"


def readable(refused: RefusedError) -> None:
    """No placeholder was left."""
    assert str(refused) and "{" not in str(refused) + refused.cause + refused.remedy


def on_cpus(name: str, how: str, count: int, cids: tuple[int, ...]) -> Request:
    def request(configuration: Configuration) -> Configuration:
        view, domain = target(configuration, name)
        free = len(hardware(view).strands) - len(strand_owners(view))
        try:
            plan = getattr(cpus, how)(view, domain, cids if "named" in how else count)
        except RefusedError as refused:
            justified(refused, count if how == "add_vcpus" else count - domain.cpus.vcpus, free)
            raise
        have = dict(domain.binding.vcpus) if domain.binding else {}
        shall = dict(plan.domain.binding.vcpus) if plan.domain.binding else {}
        assert {(vid, shall[vid]) for vid in plan.added} == set(shall.items()) - set(have.items())
        assert {(vid, have[vid]) for vid in plan.removed} == set(have.items()) - set(shall.items())
        return put(configuration, plan.domain)
    return request


def on_memory(name: str, how: str, amount: int, auto: bool) -> Request:
    def request(configuration: Configuration) -> Configuration:
        view, domain = target(configuration, name)
        wish = Target(view, domain, auto=auto, delayed=reconfiguration.is_delayed(configuration, name))
        plan = getattr(memory, how)(wish, amount)
        if wish.dynamic:
            step = 256 * MIB
            assert all(ra % step == 0 and size % step == 0 for ra, size in plan.added + plan.removed)
        return put(configuration, plan.domain)
    return request


def on_mblocks(name: str, how: str, parts: tuple[tuple[int, int], ...]) -> Request:
    def request(configuration: Configuration) -> Configuration:
        view, domain = target(configuration, name)
        wish = Target(view, domain, delayed=reconfiguration.is_delayed(configuration, name))
        return put(configuration, getattr(memory, how)(wish, parts).domain)
    return request


def on_crypto(name: str, count: int) -> Request:
    def request(configuration: Configuration) -> Configuration:
        view, domain = target(configuration, name)
        return put(configuration, cpus.set_crypto(view, domain, count)[0])
    return request


def guest_keeps(name: str, seed: int) -> Request:
    """A guest gave up some of its virtual CPUs and of its memory, whichever it liked."""
    def request(configuration: Configuration) -> Configuration:
        domain = reconfiguration.changeable(configuration, name)
        if domain.binding is None or configuration.pending or domain.binding.crypto or domain.cpus.cids:
            return configuration
        rng = Random(seed)
        vids = [vid for vid, _ in domain.binding.vcpus[1:] if rng.random() < 0.3]
        domain = cpus.without_vcpus(domain, vids, hardware(configuration))
        configuration = configuration.with_domain(domain)
        block = rng.choice(domain.binding.memory)
        if block.size_bytes > 512 * MIB:
            domain = memory.without_memory(configuration, name, ((block.ra + 256 * MIB, 256 * MIB),))
        return settle(configuration.with_domain(domain))
    return request


def on_state(name: str, what: str) -> Request:
    def request(configuration: Configuration) -> Configuration:
        if what == "reboot":
            return settle(reconfiguration.complete(configuration, name))
        if what in ("begin", "cancel"):
            return getattr(reconfiguration, what)(configuration, name)
        domain = reconfiguration.changeable(configuration, name)
        if what == "bind":
            free = len(hardware(configuration).strands) - len(strand_owners(configuration))
            try:
                return binding.bind(configuration, name)
            except RefusedError as refused:
                justified(refused, domain.cpus.vcpus, free)
                raise
        if what == "unbind":
            return binding.unbind(configuration, name)
        if domain.control:
            return configuration
        before, after = (State.BOUND, State.ACTIVE) if what == "start" else (State.ACTIVE, State.BOUND)
        if domain.state is not before:
            return configuration
        return configuration.with_domain(domain.but(state=after, started_at=1.0 if what == "start" else None))
    return request


def on_devices(name: str, devices: tuple[int, ...], console: Vcons) -> Request:
    def request(configuration: Configuration) -> Configuration:
        domain = reconfiguration.changeable(configuration, name)
        if domain.control:
            return configuration
        disks: tuple[Vdisk, ...] = tuple(disk(f"d{n}", "vol1", id=n if n % 3 == 0 else None) for n in devices)
        nets: tuple[Vnet, ...] = tuple(net(f"n{n}", NAMES.index(name) * 16 + n) for n in devices)
        vcons = console if domain.binding is None else domain.vcons
        return put(configuration, domain.but(vdisks=disks, vnets=nets, vcons=vcons))
    return request


def on_domains(name: str, what: str, properties: dict[str, str], seed: int) -> Request:
    def request(configuration: Configuration) -> Configuration:
        if what == "add":
            return domains.add(configuration, [name], properties, rng=Random(seed))
        if what == "remove":
            return settle(domains.remove(configuration, [name]))
        if what == "variable":
            _, domain = target(configuration, name)
            return put(configuration, variables.with_values(domain, {f"v{seed}": "x"}))
        return domains.change(configuration, name, properties)[0]
    return request


def saved(name: str) -> Request:
    def request(configuration: Configuration) -> Configuration:
        assert problems(spconfigs.to_save(configuration, name)) == ()
        return configuration
    return request


GUESTS = st.sampled_from(NAMES[1:])
ANY = st.sampled_from(NAMES)
COUNTS = st.integers(0, 20) | st.integers(0, 300)
SIZES = st.sampled_from([0, 1, 4 * MIB, 100 * MIB, 256 * MIB, 300 * MIB, GIB, 2 * GIB, 3 * GIB, 20 * GIB])
PARTS = st.lists(st.tuples(st.integers(0, 60).map(lambda n: n * 256 * MIB),
                           st.sampled_from([4 * MIB, 256 * MIB, GIB])),
                 max_size=3).map(lambda parts: tuple(sorted(parts)))
NAMES_OF_PROPERTIES = ["master", "max-cores", "perf-counters", "hostid", "cpu-arch", "mac-addr"]
PROPERTIES = st.dictionaries(st.sampled_from(NAMES_OF_PROPERTIES),
                             st.sampled_from(["", "a", "b", "a,b,c", "4", "unlimited", "global", "generic",
                                              "00:14:4f:fc:00:07"]), min_size=1, max_size=1)
CIDS = st.lists(st.integers(0, 40), max_size=4, unique=True).map(tuple)
CONSOLES = st.builds(Vcons, group=st.sampled_from([None, "shared"]), port=st.sampled_from([None, 5000, 5001, 6000]))
REQUESTS = st.one_of(
    st.builds(on_domains, GUESTS, st.sampled_from(["add", "add", "remove", "set", "variable"]), PROPERTIES,
              st.integers(0, 9)),
    st.builds(on_domains, ANY, st.just("set"), PROPERTIES, st.just(0)),
    st.builds(on_cpus, ANY, st.sampled_from(["add_vcpus", "set_vcpus", "remove_vcpus", "add_cores", "set_cores",
                                             "remove_cores", "add_named_cores", "set_named_cores",
                                             "remove_named_cores"]), COUNTS, CIDS),
    st.builds(on_memory, ANY, st.sampled_from(["add_memory", "set_memory", "remove_memory"]), SIZES, st.booleans()),
    st.builds(on_mblocks, ANY, st.sampled_from(["add_mblocks", "set_mblocks", "remove_mblocks"]), PARTS),
    st.builds(on_crypto, ANY, st.integers(0, 6)),
    st.builds(guest_keeps, ANY, st.integers(0, 99)),
    st.builds(on_state, GUESTS, st.sampled_from(["bind", "bind", "unbind", "start", "stop"])),
    st.builds(on_state, GUESTS, st.sampled_from(["bind", "bind", "unbind", "start", "stop"])),
    st.builds(on_state, st.just("primary"), st.sampled_from(["begin", *["reboot"] * 3, *["cancel"] * 2])),
    st.builds(on_devices, GUESTS, st.lists(st.integers(0, 5), max_size=4, unique=True).map(tuple), CONSOLES),
    st.builds(saved, st.just("one")),
)
BEGINNING = [on_crypto("primary", 0), on_cpus("primary", "set_cores", 2, ()),
             on_memory("primary", "set_memory", 2 * GIB, True)]
BEGINNING += [step for number, name in enumerate(NAMES[1:]) for step in (
    on_domains(name, "add", {}, number), on_cpus(name, "set_vcpus", 3 + 5 * number, ()),
    on_memory(name, "set_memory", GIB, False))]
BOUND = [on_state("a", "bind"), on_state("b", "bind"), on_state("c", "bind")]
ACTIVE = [on_state("a", "start"), on_state("b", "start")]
BEGINNINGS = ([], BEGINNING, [*BEGINNING, *BOUND], [*BEGINNING, *BOUND, *ACTIVE])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(PLATFORMS)), st.sampled_from([0, 1, 2, 2, 3, 3]),
       st.lists(REQUESTS, min_size=12, max_size=40))
def test_every_configuration_is_sound(platform: str, begun: int, requests: list[Request]) -> None:
    configuration = start(platform)
    assert problems(configuration) == ()
    for request in [*BEGINNINGS[begun], *requests]:
        try:
            configuration = request(configuration)
        except RefusedError as refused:
            readable(refused)
            continue
        assert problems(configuration) == ()
        for pending in configuration.pending:
            assert problems(reconfiguration.complete(configuration, pending.domain.name)) == ()
