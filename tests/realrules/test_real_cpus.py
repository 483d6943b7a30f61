"""CPUs and crypto units on real servers of all kinds: G10 to G18, G50 to G52, M13 to M16, M31."""

from __future__ import annotations

import pytest
from hall import Hall, until

pytestmark = [pytest.mark.slow, pytest.mark.nosan]
A, B = "t5a", "t5b"
TITLES = {"t3a": "SPARC T3", "t4a": "SPARC T4", "t5a": "SPARC T5", "m7a": "SPARC M7", "m10a": "SPARC64 X"}
GENERIC = "        asi_blk_init vis2 vis popc\n"
CLASS1 = ("        crc32c cbcond pause mont mpmul sha512 sha256 sha1 md5\n        camellia des aes ima hpc vis3 fmaf "
          "asi_blk_init vis2\n        vis popc")


def of_kind(hall: Hall, machine: str, arch: str) -> str:
    """A booted domain on a machine, by the first letter of its cpu-arch."""
    name = f"{arch[0]}-{machine}"
    if not hall.row(machine, name):
        hall.add(machine, name, arch=arch, vcpus=1)
    return name


def able(hall: Hall, name: str, *machines: str) -> None:
    """Machines that have the domain's volume."""
    for machine in machines:
        hall.volume(machine, name)


def test_g10_as_many_free_strands(hall: Hall) -> None:
    hall.up(A, B)
    wide = hall.guest(A, "wide", vcpus=8)
    able(hall, wide, B)
    hall.ok(B, "add-domain filler", "set-vcpu 241 filler", "set-memory 64M filler", "bind-domain filler")
    hall.refused(wide, A, B, "Insufficient resources on the target: 8 VCPUs needed, 7 available")
    hall.drop(B, "filler")
    hall.allowed(wide, A, B)


def test_g10_whole_cores(hall: Hall) -> None:
    hall.up(A, B)
    hall.ok(A, "add-domain whole", "set-core 2 whole", "set-memory 64M whole", "bind-domain whole")
    hall.ok(B, "add-domain filler", "set-vcpu 233 filler", "set-memory 64M filler", "bind-domain filler")
    hall.refused("whole", A, B, "Insufficient resources on the target: 2 whole cores needed, 1 available")
    hall.drop(B, "filler")
    hall.allowed("whole", A, B)
    hall.drop(A, "whole")


def test_g11_only_while_not_active(hall: Hall) -> None:
    hall.up(A)
    hall.ok(A, "add-domain arch", "set-domain cpu-arch=generic arch", "set-vcpu 1 arch", "set-memory 64M arch",
            "bind-domain arch", "set-domain cpu-arch=migration-class1 arch", "start-domain arch")
    done = hall.ldm(A, "set-domain cpu-arch=native arch")
    assert done.status == 1 and "cpu-arch" in done.err
    hall.drop(A, "arch")


@pytest.mark.parametrize(("here", "there"), [("t5a", "t4a"), ("t4a", "t5a"), ("m7a", "t5a"), ("t5a", "m7a"),
                                             ("m10a", "t5a"), ("t3a", "t4a")])  # fmt: skip
def test_g12_native_needs_the_same_cpu(hall: Hall, here: str, there: str) -> None:
    hall.up(here, there)
    name = of_kind(hall, here, "native")
    able(hall, name, there)
    hall.refused(name, here, there, f"The target machine is running cpu type {TITLES[there]} but the domain was "
                 f"started on a machine running cpu type {TITLES[here]}")


@pytest.mark.parametrize(("here", "there"), [("t5a", "t5b"), ("t3a", "t3b"), ("m10a", "m10b")])
def test_g12_native_moves_within_its_kind(hall: Hall, here: str, there: str) -> None:
    hall.up(here, there)
    name = of_kind(hall, here, "native")
    able(hall, name, there)
    hall.allowed(name, here, there)


@pytest.mark.parametrize("there", ["t3a", "m10a"])
def test_g13_class1_does_not_go_to_t3_or_m10(hall: Hall, there: str) -> None:
    hall.up(A, there)
    name = of_kind(hall, A, "migration-class1")
    able(hall, name, there)
    texts = [f"The target machine ({TITLES[there]}) does not support cpu-arch migration-class1 of LDom {name}"]
    if there == "t3a":
        texts += [f"Domain {name} is using features of the system firmware that are not supported in",
                  "the version of the firmware running on the target machine."]
    hall.refused(name, A, there, *texts)


def test_g14_sparc64_class1(hall: Hall) -> None:
    hall.up("m10a", "m10b", A)
    name = of_kind(hall, "m10a", "sparc64-class1")
    able(hall, name, "m10b", A)
    hall.refused(name, "m10a", A,
                 f"The target machine (SPARC T5) does not support cpu-arch sparc64-class1 of LDom {name}")
    before = hall.type("m10a", name, "isainfo -v", "psrinfo -pv")
    hall.moved(name, "m10a", "m10b")
    assert hall.type("m10b", name, "isainfo -v", "psrinfo -pv") == before
    assert "sun4v-cpu" in before[1]


def test_g13_g16_g17_g18_class1_moves_among_t4_and_later(hall: Hall) -> None:
    """T5, M7, T4: the lists of the guide, no chip's name, and the crypto instructions work everywhere."""
    hall.up(A, "t4a", "m7a")
    name = of_kind(hall, A, "migration-class1")
    able(hall, name, "t4a", "m7a")
    commands = ("isainfo -v", "psrinfo -pv", "crypto")
    before = hall.type(A, name, *commands)
    assert CLASS1 in before[0] and "sun4v-cpu (chipid 0, clock 3600 MHz)" in before[1]
    for here, there in ((A, "m7a"), ("m7a", "t4a")):
        hall.moved(name, here, there)
        assert hall.type(there, name, *commands) == before
    assert hall.type("t4a", name, "suspend count") == ["2"]


def test_g15_g16_g18_generic_goes_everywhere(hall: Hall) -> None:
    """T3, M10, T4: the guide's list; what a chip has beyond it stays illegal."""
    hall.up("t3a", "m10a", "t4a")
    name = of_kind(hall, "t3a", "generic")
    able(hall, name, "m10a", "t4a", "m7a", A)
    for there in ("m7a", A):
        hall.up(there)
        hall.allowed(name, "t3a", there)
    commands = ("isainfo -v", "psrinfo -pv", "crypto")
    before = hall.type("t3a", name, *commands)
    assert GENERIC in before[0] and "sun4v-cpu" in before[1]
    for here, there in (("t3a", "m10a"), ("m10a", "t4a")):
        hall.moved(name, here, there)
        assert hall.type(there, name, *commands) == before


def test_g15_not_to_a_chip_with_less(hall: Hall) -> None:
    """The T1 has no POPC and no VIS 2; nor has it firmware for live migration."""
    hall.kinds["t1a"] = "t1000"
    hall.up("t1a", "t4a")
    if not hall.row("t4a", "small"):
        hall.add("t4a", "small", arch="generic", vcpus=1)
    hall.volume("t1a", "small")
    done = hall.migrate("small", "t4a", "t1a")
    assert done.status == 1
    assert "UltraSPARC T1 does not have all instructions of cpu-arch generic" in done.err.splitlines()
    assert any(line.startswith("No live migration between firmware 8") for line in done.err.splitlines())  # M18
    hall.drop("t4a", "small")


def test_g17_native_names_the_chip_after_a_move(hall: Hall) -> None:
    hall.up(A, B)
    name = of_kind(hall, A, "native")
    able(hall, name, B)
    hall.moved(name, A, B)
    assert "SPARC-T5 (chipid 0, clock 3600 MHz)" in hall.type(B, name, "psrinfo -pv")[0]
    hall.drop(B, name)


def test_g12_m31_a_bound_domain_goes_anywhere(hall: Hall) -> None:
    """T3 to T5 and M10, whatever its cpu-arch; one that the chip lacks is told."""
    hall.up("t3a", A, "m10a")
    hall.ok("t3a", "add-domain cold", "set-vcpu 2 cold", "set-memory 64M cold", "bind-domain cold")
    hall.allowed("cold", "t3a", "m10a")
    hall.moved("cold", "t3a", A)
    assert hall.row(A, "cold") == "bound ------"
    hall.ok(A, "set-domain cpu-arch=migration-class1 cold")
    hall.warned("cold", A, "m10a", "LDom cold cannot be started with cpu-arch migration-class1 on SPARC64 X")
    hall.drop(A, "cold")


def test_m13_whole_cores_stay_whole(hall: Hall) -> None:
    """Three cores of an M10 are six strands, which are no whole cores of a T5; one of a T5 is four of an M10."""
    hall.up("m10a", A)
    hall.add("m10a", "cores", "set-core 3 cores", arch="generic", vcpus=2)
    able(hall, "cores", A)
    hall.refused("cores", "m10a", A, "LDom cores has the whole-core constraint, and 6 virtual CPUs are not whole cores "
                 "on the target")
    hall.drop("m10a", "cores")
    hall.add(A, "few", "set-core 1 few", "set-domain max-cores=2 few", arch="generic", vcpus=8)
    able(hall, "few", "m10a")
    hall.refused("few", A, "m10a", "LDom few may have at most 2 cores, not 4")
    hall.drop(A, "few")


def test_m14_m15_an_old_guest(hall: Hall) -> None:
    """Its own word (system-info): Solaris 10 9/10."""
    hall.up(A, B)
    hall.add(A, "old", vcpus=8, words="release=old")
    able(hall, "old", B)
    told = "Domain old is not running an operating system that is compatible with the latest migration functionality."
    hall.refused("old", A, B, told, "LDom old needs whole cores to be migrated")
    hall.ok(A, "stop-domain -f old", "unbind-domain old", "set-core 1 old", "bind-domain old", "start-domain old")
    hall.booted(A, "old")
    hall.warned("old", A, B, told)
    hall.drop(A, "old")


def test_m16_the_least_system(hall: Hall) -> None:
    hall.up(A, B)
    hall.add(A, "older", "set-core 1 older", vcpus=8, words="release=older")
    able(hall, "older", B)
    hall.refused("older", A, B, "Domain older is not running an operating system that is compatible with the latest "
                 "migration functionality.", "LDom older runs Solaris 10 10/09, which does not support live migration")
    hall.drop(A, "older")


# -- crypto units


def test_g50_units_need_a_system_that_gives_them_up(hall: Hall) -> None:
    hall.up("t3a", "t3b")
    hall.add("t3a", "keeper", "set-core 1 keeper", "set-crypto 1 keeper", vcpus=8, words="release=old")
    able(hall, "keeper", "t3b")
    text = "LDom keeper has 1 crypto units, which its operating system does not give up"
    done = hall.migrate("keeper", "t3a", "t3b")
    assert done.status == 1 and text in done.err.splitlines()
    hall.drop("t3a", "keeper")


def test_g51_g52_units_leave_and_come_back(hall: Hall) -> None:
    """Two units: removed with the guest's consent, added on the target: both, then as many as there are, then none."""
    hall.up("t3a", "t3b", "t4a")
    hall.add("t3a", "coder", "set-core 2 coder", "set-crypto 2 coder", arch="generic", vcpus=16)
    able(hall, "coder", "t3b", "t4a")
    hall.allowed("coder", "t3a", "t3b")
    assert units(hall, "t3a", "coder") == 2
    hall.moved("coder", "t3a", "t3b")
    until(lambda: units(hall, "t3b", "coder") == 2, "the units do not come back")
    # that they are there is seen a little before the command is over that brought them
    until(lambda: "is under way" not in hall.migrate("coder", "t3b", "t4a").err, "set-crypto does not end")
    text = "LDom coder will have fewer crypto units"
    hall.warned("coder", "t3b", "t4a", text)
    done = hall.migrate("coder", "t3b", "t4a", "")
    assert done.status == 0 and text in done.err.splitlines()
    assert units(hall, "t4a", "coder") == 0
    hall.drop("t4a", "coder")


def units(hall: Hall, machine: str, name: str) -> int:
    """Crypto units a domain is bound to."""
    lines = hall.ok(machine, f"list -o crypto {name}").splitlines()
    return sum(line.startswith("    ") and line.split()[0].isdecimal() for line in lines)
