"""Sub-commands for virtual CPUs, cores, crypto units and memory."""

from __future__ import annotations

from ldmd.cli.grammar_domain import DOMAIN
from ldmd.cli.syntax import Command, Operand, Option, Property, form

GROUP = "CPU, crypto units, memory"
_FORCE_CPU = Option(flag="-f", argument="force", help="also where the domain does not give them up")
_FORCE_CRYPTO = Option(flag="-f", argument="force", help="also the last unit of a core")
_VCPUS = Operand(argument="count", shown="CPU-count", help="number of virtual CPUs")
_CORES = Operand(argument="count", shown="num", help="number of whole cores")
_UNITS = Operand(argument="count", shown="number", help="number of crypto units")
_SIZE = Operand(argument="size", shown="size[unit]", help="memory; unit is K, M or G, and bytes without one")
_AUTO = Option(flag="--auto-adj", argument="auto_adj", help="round to what can be added or removed")


def _cid(*, clears: bool) -> Property:
    return Property(name="cid", values="core-ID[,core-ID...]", clears=clears, required=True, help="these cores")


def _mblock(*, clears: bool) -> Property:
    return Property(name="mblock", values="PA-start:size[,PA-start:size...]", clears=clears, required=True,
                    help="these blocks of physical memory")  # fmt: skip


TABLE = (
    Command(name="add-vcpu", group=GROUP, help="add virtual CPUs to a domain", forms=(form(_VCPUS, DOMAIN),)),
    Command(name="set-vcpu", group=GROUP, help="set the number of a domain's virtual CPUs",
            forms=(form(_VCPUS, DOMAIN),)),
    Command(name="remove-vcpu", group=GROUP, help="take virtual CPUs from a domain",
            forms=(form(_FORCE_CPU, _VCPUS, DOMAIN),)),
    Command(name="add-core", group=GROUP, help="add whole cores to a domain", forms=(
        form(_CORES, DOMAIN), form(_cid(clears=False), DOMAIN),
    )),
    Command(name="set-core", group=GROUP, help="set the number of a domain's whole cores", forms=(
        form(_CORES, DOMAIN), form(_cid(clears=True), DOMAIN),
    )),
    Command(name="remove-core", group=GROUP, help="take whole cores from a domain", forms=(
        form(_FORCE_CPU, _CORES, DOMAIN),
        form(_FORCE_CPU, _cid(clears=False), DOMAIN),
        form(Option(flag="-g", argument="resource-group", value="resource-group", required=True,
                    help="cores of this resource group"),
             Option(flag="-n", argument="count", value="number-of-cores", help="so many"),
             Option(flag="-l", argument="live", help="while it runs"), DOMAIN),
    )),
    Command(name="add-crypto", group=GROUP, help="add crypto units to a domain", forms=(form(_UNITS, DOMAIN),)),
    Command(name="set-crypto", group=GROUP, help="set the number of a domain's crypto units",
            forms=(form(_FORCE_CRYPTO, _UNITS, DOMAIN),)),
    Command(name="remove-crypto", group=GROUP, help="take crypto units from a domain",
            forms=(form(_FORCE_CRYPTO, _UNITS, DOMAIN),)),
    Command(name="add-memory", group=GROUP, help="add memory to a domain", forms=(
        form(_AUTO, _SIZE, DOMAIN), form(_AUTO, _mblock(clears=False), DOMAIN),
    )),
    Command(name="set-memory", group=GROUP, help="set the amount of a domain's memory", forms=(
        form(_AUTO, _SIZE, DOMAIN), form(_AUTO, _mblock(clears=True), DOMAIN),
    )),
    Command(name="remove-memory", group=GROUP, help="take memory from a domain", forms=(
        form(_AUTO, _SIZE, DOMAIN), form(_AUTO, _mblock(clears=False), DOMAIN),
    )),
)  # fmt: skip
