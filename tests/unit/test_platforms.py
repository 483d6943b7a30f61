"""The catalogue of servers, servers from files, and what is said of wrong files."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from emulator import Machine
from emulator.chips import CHIPS
from emulator.cli import main
from emulator.errors import ConfigError, PlatformFileError, UnknownPlatformError
from emulator.platforms import PLATFORMS, Bank, Platform, chip_facts, find_platform, load_platform
from emulator.platforms.catalogue import CHIPS_FILE, HERE, SERVER_FACTS
from emulator.units import GIB, KIB, MIB, TIB

GOOD = """
title = "Lab server"
uname = "LAB"
chip = "t5"
sockets = 2
max_domains = 16
[memory]
maximum = "64G"
[io.roots]
first = 0x300
step = 0x40
count = 2
slots = 3
"""


def described(tmp_path: Path, text: str) -> Platform:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    return load_platform(path)


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file, without its path."""
    with pytest.raises(PlatformFileError) as caught:
        described(tmp_path, text)
    lines = caught.value.problems
    assert all(line.startswith(f"{tmp_path}/lab.toml: ") and "\n" not in line for line in lines)
    return [line.removeprefix(f"{tmp_path}/lab.toml: ") for line in lines]


# -- the catalogue

@pytest.mark.parametrize(("name", "chip", "strands", "memory", "domains"), [
    ("t2000", "t1", 32, 64 * GIB, 32), ("t5120", "t2", 64, 128 * GIB, 64), ("t5440", "t2+", 256, 512 * GIB, 128),
    ("t3-4", "t3", 512, TIB, 128), ("t4-4", "t4", 256, 2 * TIB, 128), ("t5-2", "t5", 256, TIB, 128),
    ("t5-8", "t5", 1024, 4 * TIB, 128), ("m5-32", "m5", 1536, 32 * TIB, 128), ("m6-32", "m6", 3072, 32 * TIB, 128),
    ("m7-16", "m7", 4096, 8 * TIB, 128), ("s7-2l", "s7", 128, TIB, 128), ("m8-8", "m8", 2048, 8 * TIB, 128),
    ("m10-1", "sparc64-x", 32, TIB, 32), ("m10-4s", "sparc64-x", 2048, 64 * TIB, 256),
    ("m10-4-plus", "sparc64-x+", 128, 4 * TIB, 64), ("m12-1", "sparc64-xii", 48, TIB, 48),
    ("m12-2", "sparc64-xii", 192, 2 * TIB, 192), ("m12-2s", "sparc64-xii", 3072, 32 * TIB, 256),
])
def test_servers_of_the_reference(name: str, chip: str, strands: int, memory: int, domains: int) -> None:
    found = PLATFORMS[name]
    assert (found.chip, found.strands, found.memory_bytes, found.max_domains) == (chip, strands, memory, domains)


def test_every_file_is_a_server_and_every_chip_has_one() -> None:
    files = {path.stem for path in HERE.glob("*.toml") if path.name != CHIPS_FILE}
    assert set(PLATFORMS) == files == {row.name for row in PLATFORMS.values()}
    assert len(PLATFORMS) == len(files) >= 40
    assert {row.chip for row in PLATFORMS.values()} == set(CHIPS)
    for chip, facts in chip_facts().items():
        assert find_platform(chip) == PLATFORMS[facts.server]
        assert PLATFORMS[facts.server].chip == chip


def test_oldest_chip_and_smallest_server_first() -> None:
    keys = [(list(CHIPS).index(row.chip), row.sockets) for row in PLATFORMS.values()]
    assert keys == sorted(keys)


def test_every_fact_of_the_catalogue_has_one_mark() -> None:
    for row in PLATFORMS.values():
        assert {"uname", "sockets", "max_domains", "memory", "io"} <= set(row.marks) <= set(SERVER_FACTS)
        assert set(row.marks.values()) <= {"sourced", "recalled", "inferred"}
    for facts in chip_facts().values():
        assert {"cores", "strands", "clock", "page_sizes", "channels", "memory"} <= set(facts.marks)


def test_physical_memory_is_sound_in_every_server() -> None:
    for row in PLATFORMS.values():
        for low, high in pairwise(row.banks):
            assert low.end <= high.pa
        assert row.banks[-1].end <= 1 << 52
        assert row.nodes == tuple(range(row.sockets))
        assert sum(row.reserved) in (224 * MIB, 512 * MIB)
        assert sum(row.reserved) < min(bank.size_bytes for bank in row.banks)


def test_facts_of_chips() -> None:
    channels = {name: (facts.channels.per_domain, facts.channels.per_domain_new, facts.channels.total)
                for name, facts in chip_facts().items()}
    assert channels["t2"] == (512, None, None)
    assert channels["t3"] == (768, None, None)
    assert channels["t4"] == (1984, None, 98304)
    assert channels["t5"] == channels["m6"] == (1984, 4080, 98304)
    assert channels["m7"] == (1984, 4080, None)
    assert channels["sparc64-x"] == (1984, 4080, 196608)
    crypto = {name: PLATFORMS[name].crypto_units for name in ("t2000", "t5120", "t5440", "t3-2", "t4-1", "m10-1")}
    assert list(crypto.values()) == [8, 8, 32, 32, 0, 0]
    pages = {name: PLATFORMS[name].largest_page_bytes for name in ("t3-1", "t5-2", "m7-8", "m10-1")}
    assert list(pages.values()) == [256 * MIB, 2 * GIB, 16 * GIB, 2 * GIB]
    families = {name: PLATFORMS[name].firmware.split()[0].split(".")[0]
                for name in ("t2000", "t5440", "t4-1", "t8-1", "m12-2")}  # fmt: skip
    assert list(families.values()) == ["6", "7", "8", "9", "XCP"]


def test_holes_and_roots() -> None:
    assert PLATFORMS["t5-2"].holes() == ((512 * GIB, 8 * TIB - 512 * GIB),)
    assert PLATFORMS["t5440"].holes() == ()
    assert [root.device for root in PLATFORMS["t5-2"].roots] == ["pci@300", "pci@340", "pci@380", "pci@3c0"]
    kinds = [(root.device, root.name, root.kind) for root in PLATFORMS["t5120"].roots]
    assert kinds == [("pci@0", "pci_0", "BUS"), ("niu@80", "niu_0", "NIU")]
    slots = [endpoint.name for endpoint in PLATFORMS["t5-2"].roots[3].endpoints]
    assert slots == ["/SYS/MB/PCIE7", "/SYS/MB/PCIE8", "/SYS/MB/SASHBA1"]


def test_a_server_may_clock_its_chip_differently() -> None:
    assert (PLATFORMS["t4-1"].clock_hz, PLATFORMS["t4-4"].clock_hz) == (2_850_000_000, 3_000_000_000)
    assert (PLATFORMS["t5-2"].stick_hz, PLATFORMS["t5120"].stick_hz) == (10**9, CHIPS["t2"].clock_hz)
    with Machine("16M", platform="t4-4") as machine:
        assert machine.platform.name == "t4-4"


@pytest.mark.parametrize(("name", "meant"), [("T5", "t5-1b"), ("m10+", "m10-4-plus"), ("T7", "t7-1"), ("T5-2", "t5-2")])
def test_chips_stand_for_their_first_server(name: str, meant: str) -> None:
    assert find_platform(name).name == meant


def test_unknown_names() -> None:
    with pytest.raises(UnknownPlatformError, match="unknown platform 't9'"):
        find_platform("t9")
    assert "chips" not in PLATFORMS
    with pytest.raises(KeyError):
        PLATFORMS["../errors"]


# -- memory of a server that is not full

@pytest.mark.parametrize(("name", "memory", "expected"), [
    ("t5-2", TIB, [(0, 0, 512 * GIB), (1, 8 * TIB, 512 * GIB)]),
    ("t5-2", 512 * GIB, [(0, 0, 256 * GIB), (1, 8 * TIB, 256 * GIB)]),
    ("t5-2", 5 * GIB + 8 * KIB, [(0, 0, 2560 * MIB + 8 * KIB), (1, 8 * TIB, 2560 * MIB)]),
    ("t5-2", 3 * GIB, [(0, 0, 3 * GIB)]),
    ("t5-1b", GIB, [(0, 0, GIB)]),
])
def test_memory_is_spread_over_the_nodes(name: str, memory: int, expected: list[tuple[int, int, int]]) -> None:
    assert [(b.node, b.pa, b.size_bytes) for b in PLATFORMS[name].fill(memory)] == expected


def test_any_memory_is_spread_whole() -> None:
    for row in PLATFORMS.values():
        for memory in (GIB, 3 * GIB + 16 * KIB, row.memory_bytes // 3 // MIB * MIB, row.memory_bytes - 8 * KIB):
            banks = row.fill(memory)
            assert sum(bank.size_bytes for bank in banks) == memory
            full = {bank.pa: bank for bank in row.banks}
            assert all(full[bank.pa].node == bank.node and bank.end <= full[bank.pa].end for bank in banks)
        assert row.fill(row.memory_bytes) == tuple(sorted(row.banks))


@pytest.mark.parametrize("memory", [0, 512 * MIB, GIB + 1, TIB + 8 * KIB])
def test_impossible_memory_is_refused(memory: int) -> None:
    with pytest.raises(ConfigError, match=r"a SPARC T5-2 can have up to 1T of memory .* more than the 512M"):
        PLATFORMS["t5-2"].fill(memory)


# -- a person's own servers

def test_a_server_from_a_file(tmp_path: Path) -> None:
    lab = described(tmp_path, GOOD)
    assert (lab.name, lab.title, lab.strands, lab.max_domains) == ("lab", "Lab server", 256, 16)
    assert lab.banks == (Bank(0, 32 * GIB, 0), Bank(8 * TIB, 32 * GIB, 1))
    assert [len(root.endpoints) for root in lab.roots] == [2, 1]
    assert lab.marks == {}
    assert find_platform(str(tmp_path / "lab.toml")) == lab


def test_a_file_may_start_from_a_known_server(tmp_path: Path) -> None:
    lab = described(tmp_path, 'base = "t5-2"\ntitle = "Half"\nsockets = 1\n[memory]\nmaximum = "16G"\n')
    assert (lab.title, lab.strands, lab.memory_bytes, lab.uname) == ("Half", 128, 16 * GIB, "ORCL,SPARC-T5-2")
    assert lab.roots == PLATFORMS["t5-2"].roots
    assert set(lab.marks) == {"uname", "max_domains", "io"}  # what the file says itself is not marked by us
    banks = 'base = "t5-2"\n[[memory.bank]]\nnode = 1\npa = 0x400000\nsize = "2G"\n'
    assert described(tmp_path, banks).banks == (Bank(4 * MIB, 2 * GIB, 1),)


def test_a_machine_of_a_file(tmp_path: Path) -> None:
    described(tmp_path, GOOD + "[marks]\nrecalled = ['memory']\n")
    with Machine("16M", platform=str(tmp_path / "lab.toml")) as machine:
        assert machine.platform.title == "Lab server"
    with pytest.raises(ConfigError, match="a Lab server has at most 64G"):
        Machine("65G", platform=str(tmp_path / "lab.toml"))


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("sockets = 2", "sockets = 0", "sockets: 0 is not allowed: an integer from 1 to 64"),
    ("sockets = 2", "sockets = true", "sockets: true is not allowed: an integer from 1 to 64"),
    ("sockets = 2", "", "sockets: is missing: an integer from 1 to 64"),
    ("sockets = 2", "sokets = 2", "sokets: is not a key: one of "),
    ('chip = "t5"', 'chip = "t55"', "chip: 't55' is not known: one of t1, t2, .* (did you mean 't5'?)"),
    ('title = "Lab server"', 'title = ""', "title: '' is not allowed: the server's name for people"),
    ('maximum = "64G"', 'maximum = "64Q"',
     "memory.maximum: unknown unit 'Q' in '64Q' (known: K, M, G, T); a size from 1G to 64T, a multiple of 4M"),
    ('maximum = "64G"', 'maximum = "1M"',
     "memory.maximum: '1M' is not allowed: a size from 1G to 64T, a multiple of 4M"),
    ('maximum = "64G"', 'maximum = "1028M"\nnodes = 3',
     "memory.maximum: 1028M cannot be cut into 3 equal nodes: a multiple of 12M, or [[memory.bank]] for each bank"),
    ('maximum = "64G"', 'maximum = "64G"\nnode_stride = "16G"',
     "memory.node_stride: 16G is less than a node's memory, 32G"),
    ('maximum = "64G"', 'maximum = "64G"\nreserved = ["32G"]',
     "memory.reserved: 32G do not fit the first bank of node 0, which has 32G: at most 32764M"),
    ('maximum = "64G"', "", "memory.maximum: one of `maximum` (the size of all memory) and [[memory.bank]] "),
    ("slots = 3", 'slots = 3\nslot = "/SYS/PCIE"', "io.roots.slot: '/SYS/PCIE' is not allowed: a name with {} once"),
    ("slots = 3", "slots = 3\ncolour = 1", "io.roots.colour: is not a key: one of count, first, first_slot, slot, "),
    ("count = 2", 'count = "2"', "io.roots.count: '2' is not allowed: an integer from 1 to 256"),
    ("max_domains = 16", "max_domains = 16\nfirmware = '9'", "firmware: '9' is not allowed: a version such as"),
    ("max_domains = 16", "max_domains = 16\ncores_per_chip = 17",
     "cores_per_chip: 17 is not allowed: an integer from 1 to 16"),
    ("max_domains = 16", "max_domains = 16\nmarks = { guessed = ['io'] }",
     "marks.guessed: is not a key: one of inferred"),
    ("max_domains = 16", "max_domains = 16\nmarks = { recalled = ['io'], sourced = ['io'] }",
     "marks.recalled: 'io' is also sourced: one mark for a key"),
    ("max_domains = 16", "max_domains = 16\nmarks = 3", "marks: must be a table, not 3"),
    ("max_domains = 16", "max_domains = 16\nname = 'my server'", "name: 'my server' is not allowed: small letters"),
    ("max_domains = 16", "max_domains = 16\nchannels = { per_domain = 10, total = 5 }",
     "channels.total: 5 is less than per_domain, 10"),
])
def test_what_is_wrong_is_said_precisely(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    pattern = re.escape(expected).replace(re.escape(".*"), ".*")
    assert any(re.match(pattern, line) for line in problems(tmp_path, GOOD.replace(old, new)))


BANKS = GOOD.replace('maximum = "64G"', """
[[memory.bank]]
node = 0
pa = 0
size = "4G"
[[memory.bank]]
node = 1
pa = 0x200000000
size = "4G"
""")


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("pa = 0x200000000", "pa = 0x80000000",
     "memory.bank: the banks at 0x0 and 0x80000000 overlap: the second must begin at 0x100000000 or above"),
    ("pa = 0x200000000", "pa = 0x200001000",
     "memory.bank[1].pa: 0x200001000 is not allowed: a multiple of 0x400000 (4M)"),
    ("node = 1", "node = 2", "memory.bank[1].node: 2 is not allowed: an integer from 0 to 1"),
    ("pa = 0x200000000", "pa = 0xfffff80000000", "memory.bank[1].size: the bank ends above physical address "),
    ('pa = 0\nsize = "4G"', 'pa = 0\nsize = "4G"\nmaximum = 1', "memory.bank[0].maximum: is not a key"),
])
def test_wrong_banks(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert described(tmp_path, BANKS).banks == (Bank(0, 4 * GIB, 0), Bank(8 * GIB, 4 * GIB, 1))
    assert any(line.startswith(expected) for line in problems(tmp_path, BANKS.replace(old, new)))


@pytest.mark.parametrize(("text", "expected"), [
    ('[[io.root]]\ndevice = "pci@1"\n[[io.root]]\ndevice = "pci@1"\n',
     "io.root: device 'pci@1' stands there more than"),
    ('[[io.root]]\ndevice = "pci@1"\n[[io.onboard]]\nroot = "pci_1"\nname = "NET0"\n',
     "io.onboard[0].root: 'pci_1' is not known: one of pci_0 (did you mean 'pci_0'?)"),
    ('[io]\nniu = "niu@80"\n', "io.niu: 'niu@80' is not allowed: an array of texts"),
    ('[io]\nroot = 1\n', "io.root: must be an array of tables ([[io.root]]), not 1"),
])
def test_wrong_io(tmp_path: Path, text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in problems(tmp_path, GOOD.partition("[io.roots]")[0] + text))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = problems(tmp_path, GOOD.replace("sockets = 2", "sockets = -1").replace("slots = 3", "slots = -3"))
    assert [line.split(":")[0] for line in said] == ["sockets", "io.roots.slots"]
    with pytest.raises(PlatformFileError, match=r"sockets: -1 is not allowed: .* \(and 1 more\)$"):
        load_platform(tmp_path / "lab.toml")


def test_files_that_are_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(PlatformFileError, match=r"no\.toml: No such file"):
        find_platform(str(tmp_path / "no.toml"))
    assert re.fullmatch(r"not TOML: .*line 1, column \d+.*", problems(tmp_path, "sockets = = 2")[0])
    (tmp_path / "lab.toml").write_bytes(b"title = '\xff'")
    with pytest.raises(PlatformFileError, match="not TOML: byte 9 is not UTF-8"):
        load_platform(tmp_path / "lab.toml")
    said = problems(tmp_path, 'base = "t5-3"')
    assert said[0].startswith("base: 't5-3' is not known: one of m10-1, ")


# -- the command

def test_the_command_lists_shows_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PLATFORMS) + 1
    assert lines[0].split() == ["NAME", "SERVER", "CHIP", "SOCKETS", "STRANDS", "MEMORY"]
    assert len({len(line) for line in lines}) == 1
    assert main(["platforms", "t5-2"]) == 0
    sheet = capsys.readouterr().out
    assert "  LDC endpoints     1984 per domain (4080 with manager 3.5 and " in sheet
    assert re.search(r"^       - 0x0000008000000000 7680G hole$", sheet, re.MULTILINE)
    described(tmp_path, GOOD)
    assert main(["platforms", "--file", str(tmp_path / "lab.toml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], [row["title"] for row in found["platforms"]]) == (1, ["Lab server"])
    assert main(["platforms", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["platforms"]}
    assert set(rows) == set(PLATFORMS)
    assert (rows["t5-2"]["memory_bytes"], rows["t5-2"]["holes"][0]["pa"]) == (TIB, 512 * GIB)


def test_the_command_refuses_with_a_line_for_each_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platforms", "t9"]) == 2
    assert capsys.readouterr().err == "sun4v: unknown platform 't9' (see `sun4v platforms`, or name a chip)\n"
    (tmp_path / "lab.toml").write_text(GOOD.replace("sockets = 2", "").replace("slots = 3", "slots = -3"))
    assert main(["platforms", "--file", str(tmp_path / "lab.toml")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith(f"sun4v: {tmp_path}/lab.toml: ") for line in said)
    assert main(["platforms", "--file", str(tmp_path / "no.toml")]) == 2
