"""Sub-commands that look: all lists, and `monitor`."""

from __future__ import annotations

from ldmd.cli.grammar_domain import DOMAIN
from ldmd.cli.syntax import Command, Either, Operand, Option, form

GROUP = "Lists"

FORMATS = (
    "console", "core", "cpu", "crypto", "disk", "domain", "hba", "memory", "network", "physio", "resmgmt", "san",
    "serial", "stats", "status",
)  # fmt: skip
RESOURCES = ("core", "cpu", "crypto", "memory", "io")

_OPTIONAL_DOMAINS = Operand(argument="domains", shown="domain-name", kind="domain", optional=True, many=True,
                            help="only these domains")  # fmt: skip
_OPTIONAL_DOMAIN = Operand(argument="domain", shown="domain-name", kind="domain", optional=True, help="this domain")
_OF_DOMAIN = Operand(argument="domain", shown="domain-name", kind="domain", help="the domain")


def _local(flag: str, argument: str, text: str) -> Option:
    return Option(flag=flag, argument=argument, help=text, local=True)


_P = _local("-p", "parseable", "for programs: records of KEY=VALUE")
_L = _local("-l", "long", "all there is")
_E = _local("-e", "extended", "also what is set up automatically")
_JSON = Option(flag="--json", argument="json", help="JSON", local=True)
_O = Option(flag="-o", argument="format", value="format[,format...]", kind="format", local=True,
            help="only these sections: " + ", ".join(FORMATS))  # fmt: skip
_ALL = _local("-a", "all", "also what is not free")

_MAIN = (
    Command(name="list-domain", group=GROUP, help="list domains", forms=(
        form(_E, _L, _O, _P, _local("-S", "status_column", "the state of CPUs and memory as well"), _JSON,
             _OPTIONAL_DOMAINS),
    )),
    Command(name="list-bindings", group=GROUP, help="list domains with what they are bound to",
            forms=(form(_E, _P, _JSON, _OPTIONAL_DOMAINS),)),
    Command(name="list-services", group=GROUP, help="list virtual services",
            forms=(form(_E, _P, _JSON, _OPTIONAL_DOMAINS),)),
    Command(name="list-constraints", group=GROUP, help="list what domains ask for", forms=(
        form(Option(flag="-x", argument="export", required=True, local=True,
                    help="the XML document that add-domain -i takes"), _OPTIONAL_DOMAINS, operation="export-domain"),
        form(_E, _P, _JSON, _OPTIONAL_DOMAINS),
    )),
    Command(name="list-devices", group=GROUP, help="list free resources of the server", forms=(
        form(_ALL, _local("-B", "unusable", "those that cannot be used"), _P,
             _local("-S", "status_column", "the state as well"), _JSON,
             Operand(argument="resources", shown="core] [cpu] [crypto] [memory] [io", kind="resource", optional=True,
                     many=True, local=True, help="only these kinds")),
    )),
    Command(name="list-variable", group=GROUP, help="list OpenBoot variables of a domain", forms=(
        form(_JSON, Operand(argument="names", shown="var-name", kind="variable", optional=True, many=True,
                            help="only these variables"), DOMAIN),
    )),
    Command(name="list-io", group=GROUP, help="list buses, devices, physical and virtual functions", forms=(
        form(_L, _P, _JSON, Operand(argument="device", shown="(bus | device | pf-name)", kind="io", optional=True,
                                    help="only this row and those below")),
        form(Option(flag="-d", argument="properties", required=True,
                    help="the properties that the device of a physical function has"), _P, _JSON,
             Operand(argument="device", shown="pf-name", kind="pf", help="a physical function")),
    )),
    Command(name="list-spconfig", group=GROUP, help="list configurations on the SP", forms=(
        form(_JSON),
        form(Option(flag="-r", argument="autosave", required=True, help="those saved automatically"), _JSON,
             Operand(argument="names", shown="autosave-name", optional=True, many=True, help="only these")),
    )),
    Command(name="list-dependencies", group=GROUP, help="list which domains need which", forms=(
        form(_local("-l", "long", "each device"), _P, _local("-r", "reverse", "who needs a domain"), _JSON,
             _OPTIONAL_DOMAIN),
    )),
    Command(name="list-history", group=GROUP, help="list the last commands (3.5)", forms=(form(_JSON),)),
)  # fmt: skip

_HARDWARE = (
    Command(name="list-hba", group=GROUP, help="list SCSI adapters of a domain", forms=(
        form(_local("-d", "devices", "their devices"), _L, _P,
             _local("-t", "targets", "their targets (there are none here)"), _JSON,
             _OF_DOMAIN),
    )),
    Command(name="list-netdev", group=GROUP, help="list network devices of domains", forms=(
        form(_local("-b", "basic", "physical devices alone"), _L, _P,
             Option(flag="-o", argument="device", value="net-device", help="only this device"), _JSON,
             _OPTIONAL_DOMAIN),
    )),
    Command(name="list-netstat", group=GROUP, help="list counters of network devices", forms=(
        form(_P, Option(flag="-o", argument="device", value="net-device", help="only this device"),
             Option(flag="-u", argument="unit", value="unit", help="K, M, G or R (as it is)", local=True),
             Option(flag="-t", argument="interval", value="interval", help="every so many seconds", local=True),
             Option(flag="-c", argument="count", value="count", help="so often", local=True), _JSON,
             _OPTIONAL_DOMAIN),
    )),
    Command(name="list-rsrc-group", group=GROUP, help="list resource groups", forms=(
        form(_local("-a", "all", "accepted; all are shown"),
             Option(flag="-d", argument="domain", value="domain-name", kind="domain",
                    help="only what this domain has"), _L,
             Option(flag="-o", argument="format", value="core | memory | io", local=True, help="only this kind"), _P,
             _JSON, Operand(argument="group", shown="resource-group", optional=True, help="only this group")),
    )),
    Command(name="list-socket", group=GROUP, help="list resources by socket (Fujitsu)", forms=(
        form(_local("--free", "free", "what is free"), _P, _JSON, _OPTIONAL_DOMAIN),
    )),
    Command(name="list-permits", group=GROUP, help="list CPU activations (Fujitsu)", forms=(form(_P, _JSON),)),
    Command(name="list-cmi", group=GROUP, help="list coherent memory interfaces (M7)", forms=(
        form(_local("-l", "long", "accepted; there is no more to show"), _P, _JSON, _OPTIONAL_DOMAINS),
    )),
    Command(name="list-logctl", group=GROUP, help="list what the manager logs (3.5)", forms=(
        form(Either(options=(Option(flag="-a", argument="all", help="all that can be chosen"),
                             Option(flag="-d", argument="defaults", help="what it logs by default"))), _JSON),
    )),
    Command(name="monitor", group=GROUP, help="print events as they come, until interrupted", forms=(
        form(_JSON, Option(flag="-c", argument="count", value="count", local=True, help="leave after so many")),
    ), notes="Not a command of the product."),
)  # fmt: skip

TABLE = (*_MAIN, *_HARDWARE)
