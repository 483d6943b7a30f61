"""CPUs and crypto units: G10 to G15, G50, and whole cores."""

from __future__ import annotations

from collections.abc import Iterator

from emulator.chips import CHIPS, CPU_ARCHS, find_chip
from ldmd.migration.facts import GuestFacts, TargetFacts, solaris
from ldmd.migration.rule import Found, Options, found

LATEST = (10, 2013, 1)
"""Solaris 10 1/13: from here on a guest takes any strands after a migration."""


def year(number: int) -> int:
    """The year of Solaris 10's updates, which are written with two digits."""
    return number + 2000 if number < 100 else number


def release(guest: GuestFacts) -> tuple[int, int, int] | None:
    """The Solaris in the domain, comparable; None: another system, or not known."""
    known = solaris(guest.system)
    return None if known is None else (known[0], year(known[1]), known[2]) if known[0] == 10 else known


def old_system(guest: GuestFacts) -> bool:
    """True where the guest takes only whole cores."""
    known = release(guest)
    return known is not None and known < LATEST


def needed_cores(guest: GuestFacts, target: TargetFacts) -> int | None:
    """Whole cores the domain needs there; None where single strands do. Rounded up: see `whole_cores`."""
    cpus = guest.domain.cpus
    if not (cpus.whole_core or (guest.live and old_system(guest))):
        return None
    if not guest.live:
        return cpus.cores
    return -(-guest.vcpus // target.server.strands_per_core)


def free_cpus(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G10."""
    cores = needed_cores(guest, target)
    if cores is not None and cores > target.free_cores:
        yield found("cores", name=guest.domain.name, asked=cores, free=target.free_cores)
    elif cores is None and guest.vcpus > target.free_strands:
        yield found("vcpus", name=guest.domain.name, asked=guest.vcpus, free=target.free_strands)


def native(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G12: the same CPU type."""
    if guest.domain.cpu_arch == "native" and guest.server.chip != target.server.chip:
        yield found("cpu-type", name=guest.domain.name, there=target.server.chip_title, here=guest.server.chip_title)


def class1(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G13."""
    yield from _offered(guest, target, "migration-class1")


def sparc64(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G14."""
    yield from _offered(guest, target, "sparc64-class1")


def generic(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G15: every platform offers it; a CPU that has less than the class (the T1) takes only its own kind."""
    yield from _offered(guest, target, "generic")
    wanted = CPU_ARCHS["generic"].features
    short = [chip for chip in (guest.server.chip, target.server.chip) if not wanted <= CHIPS[chip].features]
    if guest.domain.cpu_arch == "generic" and short and guest.server.chip != target.server.chip:
        yield found("cpu-less", name=guest.domain.name, chip=find_chip(short[0]).title)


def _offered(guest: GuestFacts, target: TargetFacts, arch: str) -> Iterator[Found]:
    if guest.domain.cpu_arch == arch and arch not in target.cpu_archs:
        yield found("cpu-arch", name=guest.domain.name, arch=arch, chip=target.server.chip_title,
                    offered=", ".join(target.cpu_archs))


def cold_arch(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """A domain that does not run goes anywhere, but cannot start with a class that the chip does not have."""
    if guest.domain.cpu_arch not in target.cpu_archs:
        yield found("cpu-arch-later", name=guest.domain.name, arch=guest.domain.cpu_arch,
                    chip=target.server.chip_title, offered=", ".join(target.cpu_archs))


def whole_cores(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Whole cores stay whole, within max-cores."""
    cpus, per_core = guest.domain.cpus, target.server.strands_per_core
    if guest.live and cpus.whole_core and guest.vcpus % per_core:
        yield found("whole-core", name=guest.domain.name, vcpus=guest.vcpus, per_core=per_core,
                    chip=target.server.chip_title)
    cores = needed_cores(guest, target)
    if cores is not None and cpus.max_cores is not None and cores > cpus.max_cores:
        yield found("max-cores", name=guest.domain.name, limit=cpus.max_cores, asked=cores)


def old_guest(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """The product's words; what follows is that whole cores are needed (G10 counts them)."""
    if not old_system(guest):
        return
    yield found("old-system", name=guest.domain.name, version=guest.system.version)


def old_whole_cores(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """Such a guest has to have the whole-core constraint."""
    if old_system(guest) and not guest.domain.cpus.whole_core:
        yield found("old-system-cores", name=guest.domain.name, version=guest.system.version)


def crypto(guest: GuestFacts, _target: TargetFacts, _: Options) -> Iterator[Found]:
    """G50: bound units are taken away first, which the operating system has to support."""
    binding = guest.domain.binding
    if binding is None or not binding.crypto:
        return
    lacks = [kind for kind in guest.server.crypto if f"dr-crypto-{kind}" not in guest.system.services]
    if lacks:
        yield found("crypto", name=guest.domain.name, count=len(binding.crypto), kinds=", ".join(lacks))


def fewer_crypto(guest: GuestFacts, target: TargetFacts, _: Options) -> Iterator[Found]:
    """G52: too few units there are no obstacle."""
    count = guest.domain.crypto
    if count > target.free_crypto:
        yield found("crypto-fewer", name=guest.domain.name, count=count, free=target.free_crypto)
