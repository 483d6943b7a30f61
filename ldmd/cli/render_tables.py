"""The columns of every table that `ldm` prints (ldm(1M); widths from real outputs)."""

from __future__ import annotations

from ldmd.cli.columns import Column, Row, bandwidth, comma, cpuset, link_text, memory, on_off, percent, uptime

C = Column


def address(title: str, width: int, key: str) -> Column:
    """A column of addresses."""
    return Column(title, width, lambda row: f"0x{row[key]:x}")


def vlans(key: str = "vids") -> Column:
    """The VID column."""
    return Column("VID", 21, lambda row: comma(row[key]))


NAME = C("NAME", 17, "name")
STATE = C("STATE", 11, "state")
FLAGS = C("FLAGS", 8, "flag_letters")
UTIL = C("UTIL", 6, lambda row: percent(row["util_percent"]))
NORM = C("NORM", 6, lambda row: percent(row["norm_util_percent"]))
UPTIME = C("UPTIME", 8, lambda row: uptime(row["uptime_seconds"]))


def head(*, norm: bool) -> tuple[Column, ...]:
    """The table of `ldm list`. NORM: from system firmware 8.2.0 on."""
    return (
        NAME, STATE, FLAGS, C("CONS", 8, "console"), C("VCPU", 6, "vcpus"),
        C("MEMORY", 9, lambda row: memory(row["memory_bytes"])), UTIL, *([NORM] if norm else []), UPTIME,
    )  # fmt: skip


def domain_head(*, norm: bool) -> tuple[Column, ...]:
    """The table of `ldm list -o domain`."""
    return (NAME, STATE, FLAGS, UTIL, *([NORM] if norm else []))


def stats_head(*, norm: bool) -> tuple[Column, ...]:
    """The table of `ldm list -o stats`."""
    return (NAME, UTIL, *([NORM] if norm else []), UPTIME)


def vcpu(*, norm: bool) -> tuple[Column, ...]:
    """VCPU of a domain."""
    strand = C("STRAND", 7, lambda row: f"{row['strand_percent']}%", right=True)
    util = C("UTIL", 5, lambda row: percent(row["util_percent"]))
    normal = C("NORM", 5, lambda row: percent(row["norm_util_percent"]))
    return (C("VID", 7, "vid"), C("PID", 7, "pid"), C("CID", 7, "cid"), util, *([normal] if norm else []), strand)


CORE = (C("CID", 7, "cid"), C("CPUSET", 7, lambda row: cpuset(row["strands"])))
MAU = (C("ID", 7, "core"), C("CPUSET", 7, lambda row: cpuset(row["strands"])))
MEMORY = (address("RA", 17, "ra"), address("PA", 17, "pa"), C("SIZE", 17, lambda row: memory(row["size_bytes"])))
IO = (C("DEVICE", 17, "device"), C("PSEUDONYM", 17, "pseudonym"), C("OPTIONS", 8, "options"))
POLICY = (
    C("STATUS", 8, lambda row: on_off(row["enable"])), C("PRI", 6, "priority"), C("MIN", 5, "vcpu_min"),
    C("MAX", 5, lambda row: "U" if row["vcpu_max"] is None else str(row["vcpu_max"])),
    C("LO", 5, "util_lower"), C("UP", 5, "util_upper"), C("BEGIN", 10, "tod_begin"), C("END", 10, "tod_end"),
    C("RATE", 6, "sample_rate"), C("EM", 4, "elastic_margin"),
    C("ATK", 5, lambda row: "U" if row["attack"] is None else str(row["attack"])), C("DK", 5, "decay"),
    C("NAME", 5, "name"),
)  # fmt: skip

_SWITCH = (
    C("MAC", 18, "mac"), C("NET-DEV", 10, "net_dev"), C("ID", 5, "id"), C("DEVICE", 11, "device"),
    C("LINKPROP", 11, "linkprop"), C("DEFAULT-VLAN-ID", 16, "default_vlan"), C("PVID", 5, "pvid"), vlans(),
    C("MTU", 6, "mtu"), C("MODE", 7, "mode"), C("INTER-VNET-LINK", 16, link_text),
)  # fmt: skip
_VOLUME = (
    C("VOLUME", 15, "volume"), C("OPTIONS", 17, lambda row: comma(row.get("options", ()))),
    C("MPGROUP", 15, "mpgroup"), C("DEVICE", 7, "backend"),
)  # fmt: skip
LDOM = C("LDOM", 17, "ldom")
_PORTS = C("PORT-RANGE", 11, lambda row: f"{row['first_port']}-{row['last_port']}")
VCC, SERVICE_VCC = (NAME, _PORTS), (NAME, LDOM, _PORTS)
VSW, SERVICE_VSW = (NAME, *_SWITCH), (NAME, LDOM, *_SWITCH)
VDS, SERVICE_VDS = (NAME, *_VOLUME), (NAME, LDOM, *_VOLUME)
VSAN, SERVICE_VSAN = (NAME, C("DEVICE", 40, "device")), (NAME, LDOM, C("DEVICE", 40, "device"))
VDPCS, SERVICE_VDPCS = (NAME,), (NAME, LDOM)

VCC_CLIENT = (C("CLIENT", 28, "name"), C("PORT", 7, "port"), C("LOGGING", 8, lambda row: on_off(row["log"])))
VDS_CLIENT = (C("CLIENT", 28, "name"), C("VOLUME", 15, "volume"))
CLIENT = (C("CLIENT", 28, "name"),)
VSW_PEER = (
    C("PEER", 28, "name"), C("MAC", 18, "mac"), C("PVID", 5, "pvid"), vlans(), C("MTU", 6, "mtu"),
    C("LINKPROP", 11, "linkprop"), C("INTERVNETLINK", 14, lambda row: on_off(row["linked"])),
)  # fmt: skip
VNET_PEER = (
    C("PEER", 28, "name"), C("MAC", 18, "mac"), C("MODE", 7, "mode"), C("PVID", 5, "pvid"), vlans(),
    C("MTU", 6, "mtu"), C("MAXBW", 11, lambda row: bandwidth(row["maxbw_bps"])), C("LINKPROP", 9, "linkprop"),
)  # fmt: skip
NETWORK = (
    NAME, C("SERVICE", 28, "service"), C("ID", 5, "id"), C("DEVICE", 11, "device"), C("MAC", 18, "mac"),
    C("MODE", 7, "mode"), C("PVID", 5, "pvid"), vlans(), C("MTU", 6, "mtu"),
    C("MAXBW", 11, lambda row: bandwidth(row["maxbw_bps"])), C("LINKPROP", 9, "linkprop"),
)  # fmt: skip


def _timeout(row: Row) -> str:
    return str(row["timeout"]) if row["timeout"] else ""


DISK = (
    NAME, C("VOLUME", 28, "volume"), C("TOUT", 5, _timeout), C("ID", 5, "id"), C("DEVICE", 8, "device"),
    C("SERVER", 15, "server"), C("MPGROUP", 8, "mpgroup"),
)  # fmt: skip
DISK_PATH = (
    C("PORT", 5, "port"), C("MPGROUP VOLUME", 28, "volume"), C("MPGROUP SERVER", 15, "server"), C("STATE", 8, "state"),
)  # fmt: skip
VHBA = (NAME, C("VSAN", 28, "vsan"), C("DEVICE", 8, "device"), C("TOUT", 5, "timeout"), C("SERVER", 7, "server"))
VDPCC = (NAME, C("SERVICE", 28, "service"))
VLDC = (NAME,)
VLDCC = (NAME, C("SERVICE", 28, "service"), C("DESC", 5, "description"))
VCONS = (
    C("NAME", 17, lambda row: row["type"] if row["type"] not in {"", "vcons"} else row["group"]),
    C("SERVICE", 28, "service"), C("PORT", 7, "port"), C("LOGGING", 8, lambda row: on_off(row["log"])),
)  # fmt: skip

HEALTH = C("STATUS", 7, "health")
DEVICE_CORE = (C("ID", 8, "cid"), C("%FREE", 8, "free_percent"), C("CPUSET", 7, lambda row: cpuset(row["strands"])))
DEVICE_VCPU = (C("PID", 8, "pid"), C("%FREE", 8, "free_percent"), C("PM", 4, "pm"))
DEVICE_MAU = (C("ID", 8, "core"), C("CPUSET", 40, lambda row: cpuset(row["strands"])))
DEVICE_MEMORY = (address("PA", 21, "pa"), C("SIZE", 16, lambda row: memory(row["size_bytes"])))
DEVICE_IO = (C("DEVICE", 17, "device"), C("PSEUDONYM", 17, "pseudonym"))
BOUND = C("BOUND", 6, "bound")
BOUND_IO = (C("BOUND", 8, lambda row: "yes" if row["bound"] else ""), C("OPTIONS", 8, "options"))

LIST_IO = (
    C("NAME", 42, "name"), C("TYPE", 7, "type"), C("BUS", 9, "bus"), C("DOMAIN", 9, "domain"), C("STATUS", 7, "status"),
)  # fmt: skip
DEPENDENCY = (C("DOMAIN", 15, "domain"), C("DEPENDENCY", 16, "other"), C("TYPE", 10, "type"), C("DEVICE", 7, "device"))
