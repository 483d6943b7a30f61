"""From a lab's TOML file to a `Lab`. All that is wrong with it is told at once, each with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.engines import ENGINES
from emulator.errors import EmulatorError
from emulator.faults.rules import FaultsError, Plan, parse_plan, read_plan
from emulator.netdev import parse_plan as parse_nets
from emulator.places import check_name
from emulator.platforms import find_platform
from emulator.units import parse_size
from ldmd.lab.model import Device, DiskServer, Lab, LabDomain, LabServer, Properties, Service, Volume

PRIMARY = "primary"
MAX_FILE_BYTES = 1 << 20
DOMAIN_PROPERTIES = (
    "cpu-arch", "mac-addr", "hostid", "failure-policy", "extended-mapin-space", "master", "max-cores", "uuid",
    "shutdown-group", "rc-add-policy", "perf-counters", "boot-policy",
)  # fmt: skip
DISK_FILES = ("file", "image", "copy")
"""Keys of a volume that name a disk of the host."""
Table = Mapping[str, Any]


class LabFileError(EmulatorError):
    """A file is no lab. `problems`: one line each."""

    code = "lab.file"
    of_usage = True

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read_lab(path: Path) -> Lab:
    """The lab of a file. Raises LabFileError, OSError."""
    raw = path.read_bytes()[: MAX_FILE_BYTES + 1]
    if len(raw) > MAX_FILE_BYTES:
        raise LabFileError([f"{path}: larger than 1 MiB"])
    try:
        text = raw.decode()
        table = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabFileError([f"{path}: {error}"]) from None
    reader = _Reader(path)
    lab = reader.lab(table, text)
    if reader.problems:
        raise LabFileError([f"{path}: {problem}" for problem in reader.problems])
    return lab


class _Reader:
    """Reads tables, and goes on after an error with something harmless."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.default_name = path.stem
        self.problems: list[str] = []

    # -- values

    def wrong(self, where: str, problem: str) -> None:
        """Note what is wrong."""
        self.problems.append(f"{where}: {problem}")

    def table(self, value: object, where: str) -> Table:
        """A table; an empty one where it is none."""
        if isinstance(value, Mapping):
            return value
        self.wrong(where, "a table is wanted")
        return {}

    def take(self, table: dict[str, Any], key: str, kind: type, where: str) -> Any:
        """A value of a type out of a table; None where it is not there or wrong."""
        if key not in table:
            return None
        value = table.pop(key)
        if type(value) is not kind:
            self.wrong(f"{where}.{key}", f"{_NAMES[kind]} is wanted, not {value!r}")
            return None
        return value

    def rest(self, table: Table, where: str, allowed: str) -> None:
        """What is left in a table is not known."""
        for key in table:
            self.wrong(f"{where}.{key}", f"no such key; there are {allowed}")

    def word(self, value: object, where: str) -> str:
        """A value as `ldm` wants it: lists with commas, true and false as on and off."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if isinstance(value, int | str):
            return str(value)
        if isinstance(value, list) and all(type(each) in (int, str) for each in value):
            return ",".join(str(each) for each in value)
        self.wrong(where, f"a word, number, true, false, or a list of them is wanted, not {value!r}")
        return ""

    def properties(self, table: Table, where: str) -> Properties:
        """All of a table."""
        return tuple((key, self.word(value, f"{where}.{key}")) for key, value in table.items())

    def size(self, table: dict[str, Any], key: str, where: str) -> str:
        """A size; "" where there is none."""
        text = self.take(table, key, str, where) or ""
        try:
            if text:
                parse_size(text)
        except EmulatorError as error:
            self.wrong(f"{where}.{key}", str(error))
        return str(text)

    def count(self, table: dict[str, Any], key: str, where: str) -> int | None:
        """A number of 0 or more."""
        value = self.take(table, key, int, where)
        if value is not None and value < 0:
            self.wrong(f"{where}.{key}", "0 or more is wanted")
        return None if value is None else int(value)

    def file(self, table: dict[str, Any], key: str, where: str) -> Path | None:
        """A file that is there; relative names count from the lab's file."""
        text = self.take(table, key, str, where)
        if text is None:
            return None
        path = (self.folder / Path(text).expanduser()).resolve()
        if not path.exists():
            remedy = "; `sun4v mkdisk` makes a disk" if key in DISK_FILES else ""
            self.wrong(f"{where}.{key}", f"{path} does not exist{remedy}")
        return path

    def each(
        self, table: dict[str, Any], key: str, where: str, read: Callable[[str, object, str], Any]
    ) -> tuple[Any, ...]:
        """A table of named things."""
        named = self.table(table.pop(key, {}), f"{where}.{key}")
        return tuple(read(name, value, f"{where}.{key}.{name}") for name, value in named.items())

    # -- things

    def lab(self, whole: Table, text: str) -> Lab:
        """The file."""
        table = dict(whole)
        name = self.take(table, "name", str, "lab") or self.default_name
        try:
            check_name(name)
        except EmulatorError as error:
            self.wrong("name", str(error))
        servers = self.table(table.pop("server", {}), "server")
        if not servers:
            self.wrong("server", "a lab has one server or more: [server.NAME]")
        faults = self.faults(table)
        self.rest(table, "lab", "name, faults and server")
        return Lab(name=name, text=text, faults=faults, servers=tuple(
            self.server(each, value, f"server.{each}") for each, value in servers.items()))

    def faults(self, table: dict[str, Any]) -> Plan | None:
        """``faults = "FILE"``, or a table as such a file has (emulator/faults/rules.py)."""
        value = table.pop("faults", None)
        try:
            if value is None:
                return None
            return read_plan(self.folder / value) if isinstance(value, str) else parse_plan(value)
        except FaultsError as error:
            for problem in error.problems:
                self.wrong("faults", problem)
        except OSError as error:
            self.wrong("faults", f"{error.filename}: {error.strerror}")
        return None

    def server(self, name: str, value: object, where: str) -> LabServer:
        """A server."""
        table = dict(self.table(value, where))
        try:
            check_name(name)
        except EmulatorError as error:
            self.wrong(where, str(error))
        domains = list(self.each(table, "domain", where, self.domain))
        if not any(domain.name == PRIMARY for domain in domains):
            domains.insert(0, LabDomain(name=PRIMARY))
        domains.sort(key=lambda domain: domain.name != PRIMARY)
        server = LabServer(
            name=name, platform=self.platform(table, where), memory=self.size(table, "memory", where),
            networks=self.networks(table, where), domains=tuple(domains),
            deterministic=bool(self.take(table, "deterministic", bool, where)), engine=self.engine(table, where),
        )  # fmt: skip
        self.rest(table, where, "platform, memory, deterministic, engine, networks and domain")
        return server

    def engine(self, table: dict[str, Any], where: str) -> str:
        """How guests' code is executed."""
        engine = self.take(table, "engine", str, where) or ""
        if engine and engine not in ENGINES:
            self.wrong(f"{where}.engine", f"{engine!r} is none of {', '.join(ENGINES)}")
        return str(engine)

    def networks(self, table: dict[str, Any], where: str) -> Properties:
        """``networks = { net0 = "lan", net1 = "none" }``: where network devices are plugged in."""
        where = f"{where}.networks"
        pairs = self.properties(self.table(table.pop("networks", {}), where), where)
        try:
            plan = parse_nets(dict(pairs))
        except EmulatorError as error:
            self.wrong(where, str(error))
            return ()
        if table.get("deterministic") is True and any(outlet.outward for outlet in plan.values()):
            self.wrong(where, "a deterministic server is not joined to what is outside")
        return pairs

    def platform(self, table: dict[str, Any], where: str) -> str:
        """A server's kind: a name of the catalogue, or a file."""
        name = str(self.take(table, "platform", str, where) or "t5-2")
        if name.endswith(".toml"):
            name = str((self.folder / name).resolve())
        try:
            find_platform(name)
        except EmulatorError as error:
            for problem in getattr(error, "problems", (str(error),)):
                self.wrong(f"{where}.platform", problem)
        return name

    def domain(self, name: str, value: object, where: str) -> LabDomain:
        """A domain."""
        table = dict(self.table(value, where))
        own = {key: table.pop(key) for key in DOMAIN_PROPERTIES if key in table}
        commands, io = table.pop("commands", []), table.pop("io", [])
        start = self.take(table, "start", bool, where)
        bind = self.take(table, "bind", bool, where)
        domain = LabDomain(
            name=name, properties=self.properties(own, where), cores=self.count(table, "cores", where),
            vcpus=self.count(table, "vcpus", where), memory=self.size(table, "memory", where),
            crypto=self.count(table, "crypto", where), concentrators=self.each(table, "vcc", where, self.vcc),
            switches=self.each(table, "vsw", where, self.vsw), disk_servers=self.each(table, "vds", where, self.vds),
            disks=self.each(table, "vdisk", where, self.vdisk), networks=self.each(table, "vnet", where, self.vnet),
            console=self.properties(self.table(table.pop("console", {}), f"{where}.console"), f"{where}.console"),
            io=self.words(io, f"{where}.io"), commands=self.words(commands, f"{where}.commands"),
            variables=self.properties(self.table(table.pop("variable", {}), f"{where}.variable"), f"{where}.variable"),
            bind=bind is not False, start=start is not False and bind is not False,
        )  # fmt: skip
        self.rest(table, where, "cores, vcpus, memory, crypto, vcc, vsw, vds, vdisk, vnet, console, variable, io, "
                  f"commands, bind, start, {', '.join(DOMAIN_PROPERTIES)}")
        if domain.cores is not None and domain.vcpus is not None:
            self.wrong(where, "cores and vcpus are two ways to say the same: give one of them")
        if name == PRIMARY and (bind is not None or start is not None):
            self.wrong(where, "the control domain is always bound and started")
        return domain

    def words(self, value: object, where: str) -> tuple[str, ...]:
        """A list of strings."""
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        self.wrong(where, f"a list of strings is wanted, not {value!r}")
        return ()

    def vcc(self, name: str, value: object, where: str) -> Service:
        """``vcc.NAME = "5000-5100"``."""
        if not isinstance(value, str):
            self.wrong(where, f"a range of ports is wanted, as \"5000-5100\", not {value!r}")
        return Service(name=name, properties=(("port-range", str(value)),))

    def vsw(self, name: str, value: object, where: str) -> Service:
        """``vsw.NAME = { mtu = 9000 }``."""
        return Service(name=name, properties=self.properties(self.table(value, where), where))

    def vds(self, name: str, value: object, where: str) -> DiskServer:
        """``vds.NAME.VOLUME = "FILE"``, or a table."""
        volumes = self.table(value, where)
        return DiskServer(name=name, volumes=tuple(
            self.volume(each, content, f"{where}.{each}") for each, content in volumes.items()))

    def volume(self, name: str, value: object, where: str) -> Volume:
        """A volume."""
        table = {"image": value} if isinstance(value, str) else dict(self.table(value, where))
        options = {key: table.pop(key) for key in ("options", "mpgroup") if key in table}
        volume = Volume(
            name=name, file=self.file(table, "file", where), image=self.file(table, "image", where),
            copy=self.file(table, "copy", where), size=self.size(table, "size", where),
            boot=self.file(table, "boot", where),
            properties=self.properties(options, where),
        )  # fmt: skip
        self.rest(table, where, "file, image, copy, size, boot, options and mpgroup")
        if sum(map(bool, (volume.file, volume.image, volume.copy, volume.size))) != 1:
            self.wrong(where, "one of image (never written: an overlay keeps what is), file (used as it is, and "
                       "written), copy and size (a new disk) is wanted")
        if volume.boot is not None and not volume.size:
            self.wrong(where, "boot goes with size: it makes a new disk that boots the program")
        return volume

    def vdisk(self, name: str, value: object, where: str) -> Device:
        """``vdisk.NAME = "VOLUME@VDS"``, or a table with `volume`."""
        return self.device(name, value, where, "volume")

    def vnet(self, name: str, value: object, where: str) -> Device:
        """``vnet.NAME = "VSW"``, or a table with `switch`."""
        return self.device(name, value, where, "switch")

    def device(self, name: str, value: object, where: str, key: str) -> Device:
        """A client of a service."""
        table = {key: value} if isinstance(value, str) else dict(self.table(value, where))
        source = self.take(table, key, str, where)
        if source is None:
            self.wrong(where, f"a {key} is missing")
        return Device(name=name, source=source or "", properties=self.properties(table, where))


_NAMES = {str: "a string", int: "a number", bool: "true or false"}
