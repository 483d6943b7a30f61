"""Settings of migrations: table [migration] of ldmd.toml, and hosts.toml, which names other managers.

    [migration]                        # ldmd.toml, in the manager's directory; these are the defaults
    listen = "127.0.0.1"               # "0.0.0.0" or an address of this host for a real network
    port = 0                           # 0: any free one, published beside the sockets. 8101 is the product's
    incoming = true                    # the product's incoming_migration_enabled
    outgoing = true                    # the product's outgoing_migration_enabled
    strict-storage = false             # true: refuse where the contents of a disk provably differ (rule G42)
    lease-directory = ""               # a directory that both managers have: storage leases are kept there
    compress = "auto"                  # auto, none, lz4, zstd, zlib
    downtime-ms = 300                  # the pause that copying aims at
    suspend-seconds = 60               # in which a domain's system has to suspend itself when it is asked to
    bandwidth-bps = 0                  # bytes a second, all connections together; 0: no limit
    dirty-limit = true                 # a domain that writes faster than the link carries may be slowed down for it
    max-rounds = 30                    # after so many rounds, or seconds (0: however long), at-limit says what happens:
    max-seconds = 0                    # "finish": the domain is moved, however long the pause is; "fail": it stays
    at-limit = "finish"
    verify = "auto"                    # hash all memory again in the pause ("strict"), or after the success
                                       # ("background"), or as there is up to 64 MiB of it or more
    channels = 2                       # connections that carry memory, and no more than either control domain has CPUs
    postcopy = "off"                   # "auto": a domain that writes faster than the link carries goes on at the target
                                       # before all its memory is there; is the source lost then, the domain reboots
    handover = "off"                   # "auto": on one host memory is handed over by descriptor, and not copied
    handover-verify = "auto"           # hash it before and after: "always", "never", or where it is 256 MiB at most
    release = "3.3"                    # what this manager is towards others: 3.0, 3.1, 3.2 (rule M01); before 3.3 no
                                       # block of memory is split (rule G23)

    [system2]                          # hosts.toml: one table for each name that `ldm migrate-domain` is given
    address = "192.0.2.7"
    port = 8101
    fingerprint = "ab12..."            # SHA-256 of its server.crt (DER), where it is not in trust/
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from emulator.stream.requests import AT_LIMIT, COMPRESS, POSTCOPY, VERIFY
from ldmd.messages import refuse
from ldmd.migration.facts import MANAGER_VERSION, RELEASES
from ldmd.migrator.samehost import HANDOVERS
from ldmd.migrator.samehost import VERIFY as HANDOVER_VERIFY

FILE, HOSTS = "ldmd.toml", "hosts.toml"
PORT = 8101
"""The product's port of migrations."""
LEAST_BANDWIDTH = 1000
"""Bytes a second (emulator/stream/worker.md)."""
WORDS = {"compress": COMPRESS, "postcopy": POSTCOPY, "at-limit": AT_LIMIT, "verify": VERIFY, "handover": HANDOVERS,
         "handover-verify": HANDOVER_VERIFY, "release": RELEASES}
FINGERPRINT = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Table [migration]."""

    listen: str = "127.0.0.1"
    port: int = 0
    incoming: bool = True
    outgoing: bool = True
    strict_storage: bool = False
    lease_directory: str = ""
    compress: str = "auto"
    downtime_ms: int = 300
    suspend_seconds: int = 60
    bandwidth_bps: int = 0
    dirty_limit: bool = True
    max_rounds: int = 30
    max_seconds: int = 0
    at_limit: str = "finish"
    verify: str = "auto"
    channels: int = 2
    postcopy: str = "off"
    handover: str = "off"
    handover_verify: str = "auto"
    release: str = MANAGER_VERSION

    def copying(self) -> dict[str, Any]:
        """What a worker is told of it (emulator/stream/worker.md, "Options")."""
        told = {name: getattr(self, name) for name in ("compress", "downtime_ms", "dirty_limit", "max_rounds",
                                                       "at_limit", "verify", "postcopy")}
        return told | {name: getattr(self, name) or None for name in ("bandwidth_bps", "max_seconds")}

    def check(self, path: Path) -> None:
        """Raises RefusedError settings.file."""
        bounds = {"port": (0, 65535), "downtime-ms": (1, 60_000),
                  "suspend-seconds": (1, 3600), "bandwidth-bps": (0, 1 << 40), "channels": (1, 16),
                  "max-rounds": (1, 10_000), "max-seconds": (0, 10**7)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name.replace("-", "_"))
            if not least <= value <= most:
                refuse("settings.file", path=path, problem=f"migration.{name}: {value} is not from {least} to {most}")
        if 0 < self.bandwidth_bps < LEAST_BANDWIDTH:
            refuse("settings.file", path=path, problem=f"migration.bandwidth-bps: 0, or {LEAST_BANDWIDTH} at least")
        for name, known in WORDS.items():
            if getattr(self, name.replace("-", "_")) not in known:
                refuse("settings.file", path=path, problem=f"migration.{name}: one of {', '.join(known)}")
        if self.lease_directory and not Path(self.lease_directory).is_absolute():
            refuse("settings.file", path=path, problem="migration.lease-directory: an absolute path expected")


@dataclass(frozen=True, kw_only=True)
class HostEntry:
    """A table of hosts.toml."""

    address: str
    port: int = PORT
    fingerprint: str = ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        refuse("settings.file", path=path, problem=error)


def _table(path: Path, where: str, table: Any, kind: type[Any]) -> dict[str, Any]:
    """The values of a table by the names of the dataclass's fields, each of its type."""
    known = {each.name.replace("_", "-"): each for each in fields(kind)}
    types = {"str": str, "int": int, "bool": bool}
    if not isinstance(table, dict) or set(table) - set(known):
        refuse("settings.file", path=path, problem=f"[{where}]: only {', '.join(known)} are known")
    for name, value in table.items():
        wanted = types[str(known[name].type)]
        if type(value) is not wanted:
            refuse("settings.file", path=path, problem=f"{where}.{name}: {value!r} is no {wanted.__name__}")
    return {known[name].name: value for name, value in table.items()}


def read_table(path: Path, name: str, kind: type[Any]) -> dict[str, Any]:
    """Values of a table of ldmd.toml by the fields of a dataclass. Raises RefusedError settings.file."""
    return _table(path, name, _toml(path).get(name, {}), kind)


def read_settings(path: Path) -> Settings:
    """Of ldmd.toml. Raises RefusedError settings.file."""
    found = Settings(**_table(path, "migration", _toml(path).get("migration", {}), Settings))
    found.check(path)
    return found


def read_hosts(path: Path) -> dict[str, HostEntry]:
    """Of hosts.toml. Raises RefusedError settings.file."""
    hosts = {}
    for name, table in _toml(path).items():
        values = _table(path, name, table, HostEntry)
        if not values.get("address"):
            refuse("settings.file", path=path, problem=f"{name}: an address is missing")
        values["fingerprint"] = values.get("fingerprint", "").replace(":", "").lower()
        entry = HostEntry(**values)
        if not 1 <= entry.port <= 65535 or (entry.fingerprint and not FINGERPRINT.match(entry.fingerprint)):
            refuse("settings.file", path=path, problem=f"{name}: a port, and 64 hexadecimal digits, expected")
        hosts[name] = entry
    return hosts
