"""Specifications: what is accepted comes out again, every mistake is one line that names its place."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from emulator.server.errors import SpecError
from emulator.server.spec import lab_spec, parse_spec

DISK = {"name": "d0", "number": 0, "channels": [1], "backend": "/disk.img", "options": ["ro"], "timeout": 5,
        "online": True, "overlay": None, "copy_on_write": False}  # fmt: skip
PATHS = {"name": "d1", "number": 1, "channels": [2, 3], "backend": "/a", "options": [], "timeout": 0, "online": True,
         "overlay": None, "copy_on_write": False,
         "paths": [{"channel": 2, "backend": "/a", "options": [], "online": False},
                   {"channel": 3, "backend": "/b", "options": ["ro", "slice"], "online": True}]}  # fmt: skip
NET = {"name": "n0", "number": 0, "channel": 4, "mac": 0x144FF80007, "alt_macs": [5], "switch": "vsw0", "pvid": 7,
       "vids": [8, 9], "mtu": 9000, "maxbw_bps": None, "linkprop": "phys-state", "online": True,
       "capture": None}  # fmt: skip


def full_spec() -> dict[str, Any]:
    return lab_spec(
        3, "ldg1", hostid=0x84F80003, cpu_arch="generic", generation=77, max_vcpus=16, crypto=[1],
        perf_counters=["strand"], extended_mapin=True, services_channel=0, console={},
        variables={"auto-boot?": "false"},
        boot={"kernel": "/k", "initrd": None, "arguments": "-v"}, aliases={"x": "/y"},
        disks=[copy.deepcopy(DISK), copy.deepcopy(PATHS)], nets=[copy.deepcopy(NET)],
    )  # fmt: skip


def test_what_is_accepted_comes_out_again() -> None:
    spec = parse_spec(full_spec())
    assert spec.disks[1].paths[1].read_only and not spec.disks[1].paths[0].online and spec.max_vcpus == 16
    assert spec.nets[0].vids == (8, 9) and spec.boot.arguments == "-v" and spec.memory_bytes == 64 << 20
    assert parse_spec(spec.plain()) == spec


MISTAKES: list[tuple[str, Any, str]] = [
    ("id", 256, r"spec\.id: a number from 0 to 255"),
    ("id", True, r"spec\.id"),
    ("name", "", r"spec\.name"),
    ("name", "a\nb", r"spec\.name"),
    ("uuid", "7", r"spec\.uuid: a UUID"),
    ("mac", 1 << 48, r"spec\.mac"),
    ("cpu_arch", "sparc", r"spec\.cpu_arch: one of native"),
    ("vcpus", [], r"a guest needs a virtual CPU"),
    ("vcpus", [[0, 1], [0, 2]], r"each virtual CPU and each strand once"),
    ("vcpus", [[0, 1], [1, 1]], r"each virtual CPU and each strand once"),
    ("vcpus", [[0, 1, 2]], r"spec\.vcpus: a list of 2 numbers each"),
    ("vcpus", [[0, -1]], r"spec\.vcpus"),
    ("vcpus", [[0, 4096]], r"below 4096"),
    ("max_vcpus", 0, r"spec\.max_vcpus"),
    ("memory", [], r"1 to 1024 blocks"),
    ("memory", [[0, 1 << 30, 0]], r"no size is 0"),
    ("memory", [[0, 1 << 30, 4096]], r"multiples of 8K"),
    ("memory", [[0, 1 << 30, 8192], [0, 2 << 30, 8192]], r"overlap at real address 0x0"),
    ("memory", [[0, 1 << 30, 16384], [1 << 20, (1 << 30) + 8192, 8192]], r"overlap at physical address 0x40002000"),
    ("memory", [[1 << 63, 0, 8192]], r"beyond all memory"),
    ("memory", {}, r"spec\.memory: a list"),
    ("crypto", [1, 1], r"spec\.crypto"),
    ("perf_counters", ["all"], r"spec\.perf_counters"),
    ("extended_mapin", 1, r"spec\.extended_mapin: true or false"),
    ("variables", {"a": 1}, r"spec\.variables: a map of texts"),
    ("variables", {"": "x"}, r"spec\.variables"),
    ("boot", {"initrd": "/i"}, r"spec\.boot: an initial RAM disk needs a kernel"),
    ("boot", {"kernl": "/i"}, r"spec\.boot: unknown: kernl"),
    ("boot", 5, r"spec\.boot: a map is wanted"),
    ("disks", [DISK | {"options": ["rw"]}], r"spec\.disks\[0\]\.options: a list of ro, slice, excl"),
    ("disks", [DISK, DISK], r"spec\.disks: two have one name"),
    ("disks", [DISK | {"channels": []}], r"spec\.disks\[0\]\.channels"),
    ("disks", [DISK | {"channels": [0]}], r"channel 0 is used twice"),
    ("disks", [DISK | {"overlay": "/o"}], r"spec\.disks\[0\]\.overlay: none, for a disk that is read-only"),
    ("disks", [PATHS | {"paths": []}], r"paths: a path is wanted"),
    ("disks", ["d0"], r"spec\.disks\[0\]: a map is wanted"),
    ("nets", [NET | {"pvid": 0}], r"spec\.nets\[0\]\.pvid"),
    ("nets", [NET | {"mtu": 16001}], r"spec\.nets\[0\]\.mtu"),
    ("nets", [NET | {"linkprop": "yes"}], r"linkprop: phys-state or nothing"),
    ("nets", [NET | {"more": 1}], r"spec\.nets\[0\]: unknown: more"),
    ("colour", "red", r"spec: unknown: colour"),
]


@pytest.mark.parametrize(("member", "value", "says"), MISTAKES)
def test_mistakes(member: str, value: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        parse_spec(full_spec() | {member: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("member", ["id", "name", "uuid", "mac", "vcpus", "memory"])
def test_what_is_needed(member: str) -> None:
    spec = full_spec()
    del spec[member]
    with pytest.raises(SpecError, match=rf"spec\.{member} is missing"):
        parse_spec(spec)


def test_too_few_cpus_to_grow_to() -> None:
    with pytest.raises(SpecError, match="at least 3"):
        parse_spec(lab_spec(1, "a", vcpus=[[2, 1]], max_vcpus=2))


def test_the_control_domain_needs_nothing() -> None:
    spec = parse_spec(lab_spec(0, "primary", vcpus=[], memory=[]))
    assert spec.control and spec.memory_bytes == 0


WILD = [None, True, -1, 0, 1 << 64, 1.5, "", "x" * 5000, b"\0", [], [[]], {}, {"a": {}}, "ä\n", [None], [1 << 70, 2]]


def test_anything_else_is_an_error_of_ours() -> None:
    """Random damage of a good specification: accepted, or a SpecError; nothing else ever."""
    seed = 11
    print(f"seed {seed}")
    chance = random.Random(seed)
    refused = 0
    for _ in range(5000):
        spec = full_spec()
        place: Any = spec
        while True:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.7:
                place = place[key]
                continue
            break
        place[key] = copy.deepcopy(chance.choice(WILD))
        try:
            parse_spec(spec)
        except SpecError as error:
            refused += len(str(error)) < 500
    assert refused > 3000
