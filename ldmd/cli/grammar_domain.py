"""Sub-commands for domains, their variables and policies, configurations on the SP, pending operations."""

from __future__ import annotations

from ldmd.cli.syntax import Command, Either, Operand, Option, Property, form

CPU_ARCH = ("generic", "native", "migration-class1", "sparc64-class1")
FAILURE = ("ignore", "panic", "reset", "stop")
BOOT = ("none", "warning", "enforce")

DOMAIN = Operand(argument="domain", shown="domain-name", kind="domain", help="the domain")
SOURCE_DOMAIN = Operand(argument="domain", shown="source-ldom", kind="domain", help="the domain")
DOMAINS = Operand(argument="domains", shown="domain-name", kind="domain", many=True, help="domains")
NEW_DOMAIN = Operand(argument="domains", shown="domain-name", many=True, help="name of a new domain")
ONE_NEW_DOMAIN = Operand(argument="domains", shown="domain-name", listed=True, help="name of the new domain")
FORCE = Option(flag="-f", argument="force", help="force it")
ALL = Option(flag="-a", argument="all", required=True, help="all domains but primary")
XML = Option(flag="-i", argument="xml", value="file", kind="file", required=True,
             help="take it from the XML document in this file")  # fmt: skip


def _domain_properties(*, clears: bool) -> tuple[Property, ...]:
    return (
        Property(name="cpu-arch", values="|".join(CPU_ARCH), choices=CPU_ARCH,
                 help="CPU features the domain is shown, and so to which servers it can migrate"),
        Property(name="mac-addr", values="MAC-address", help="MAC address; without it one is chosen"),
        Property(name="hostid", values="num", help="host id, a number of 32 bits in hexadecimal"),
        Property(name="failure-policy", values="|".join(FAILURE), choices=FAILURE,
                 help="what happens to the slaves of this domain when it fails"),
        Property(name="extended-mapin-space", values="on|off", choices=("on", "off"),
                 help="more address space for shared memory of virtual devices"),
        Property(name="boot-policy", values="|".join(BOOT), choices=BOOT, help="verified boot (3.4)"),
        Property(name="master", values="master-ldom1,...,master-ldom4", clears=clears,
                 help="up to four domains whose failure this one shall follow"),
        Property(name="max-cores", values="num|unlimited", help="how many whole cores it may have at most"),
        Property(name="shutdown-group", values="num", help="1 to 15: with a power-off by the SP 15 goes down first"),
        Property(name="rc-add-policy", values="iov", clears=True, choices=("", "iov"),
                 help="whether PCIe buses are added to it"),
        Property(name="perf-counters", values="counter-set", clears=True,
                 help="performance registers it may use: of global, htstrand, strand"),
    )  # fmt: skip


UUID = Property(name="uuid", values="uuid", help="UUID; without it one is made")

_POLICY_ROWS = (
    ("enable", "yes|no", "whether it works (default no)"),
    ("priority", "value", "1 (highest) to 9999 (default 99)"),
    ("attack", "value", "most virtual CPUs added in one step (default unlimited)"),
    ("decay", "value", "most virtual CPUs removed in one step (default 1)"),
    ("elastic-margin", "value", "percent between util-lower and the free virtual CPUs (default 5)"),
    ("sample-rate", "value", "seconds between two looks (default 10)"),
    ("tod-begin", "hh:mm[:ss]", "time of day from which it works"),
    ("tod-end", "hh:mm[:ss]", "time of day until which it works"),
    ("util-lower", "percent", "below it virtual CPUs are removed (default 60)"),
    ("util-upper", "percent", "above it virtual CPUs are added (default 85)"),
    ("vcpu-min", "value", "fewest virtual CPUs (default 2)"),
    ("vcpu-max", "value", "most virtual CPUs (default unlimited)"),
)


def _policy_properties(*, clears: bool) -> tuple[Property, ...]:
    rows = (Property(name=name, values=values, help=text, clears=clears) for name, values, text in _POLICY_ROWS)
    name = Property(name="name", values="policy-name", required=True, help="the policy")
    return (*rows, name)


_DOMAINS = (
    Command(name="add-domain", group="Domains", help="create domains", forms=(
        form(XML),
        form(*_domain_properties(clears=False), UUID, ONE_NEW_DOMAIN),
        form(NEW_DOMAIN),
    ), notes="Properties can be given for one domain at a time."),
    Command(name="set-domain", group="Domains", help="change properties of a domain", forms=(
        form(XML),
        form(*_domain_properties(clears=True), DOMAIN),
    )),
    Command(name="remove-domain", group="Domains", help="remove domains, which must be inactive", forms=(
        form(ALL),
        form(DOMAINS),
    )),
    Command(name="bind-domain", group="Domains", help="give an inactive domain its resources", forms=(
        form(FORCE, Option(flag="-q", argument="quick", help="do not check the devices behind it"), XML),
        form(FORCE, Option(flag="-q", argument="quick", help="do not check the devices behind it"), DOMAIN),
    )),
    Command(name="unbind-domain", group="Domains", help="take a bound domain's resources back", forms=(form(DOMAIN),)),
    Command(name="start-domain", group="Domains", help="start bound domains", forms=(
        form(ALL),
        form(XML),
        form(DOMAINS),
    )),
    Command(name="stop-domain", group="Domains", help="stop domains; they stay bound", forms=tuple(
        form(
            Either(options=(
                Option(flag="-f", argument="force", help="at once, without asking the domain"),
                Option(flag="-q", argument="quick", help="the domain stops without its shutdown scripts"),
                Option(flag="-h", argument="halt", help="shut it down to OpenBoot's prompt"),
                Option(flag="-r", argument="reboot", help="shut it down and boot it again"),
                Option(flag="-t", argument="timeout", value="sec", help="so much time before it is forced"),
            )),
            Option(flag="-m", argument="message", value="msg", help="say this to its users before"),
            Option(flag="-n", argument="no_wait", help="do not wait until it has stopped"),
            last,
        )
        for last in (ALL, DOMAINS)
    ), notes="Without options the domain is asked to shut down, and is forced after a while."),
    Command(name="panic-domain", group="Domains", help="make a domain's kernel panic", forms=(form(DOMAIN),)),
    Command(name="migrate-domain", group="Domains", help="move a domain to another server", forms=(
        form(
            FORCE,
            Option(flag="-n", argument="dry_run", help="make all checks and move nothing"),
            Option(flag="-p", argument="password", value="filename", kind="file",
                   help="the target's password is this file's first line"),
            SOURCE_DOMAIN,
            Operand(argument="target", shown="[user@]target-host[:target-ldom]", kind="target",
                    help="where to, as whom, under which name"),
        ),
        form(
            FORCE,
            Option(flag="-n", argument="dry_run", help="make all checks and move nothing"),
            Option(flag="-c", argument="certificates", required=True, help="trust certificates; no password"),
            SOURCE_DOMAIN,
            Operand(argument="target", shown="target-host[:target-ldom]", kind="target",
                    help="where to, under which name"),
        ),
    ), tied=True, notes="The target's password is asked for on the terminal; `sun4v passwd` sets it there. "
             "A migration is cancelled when this command is interrupted or killed; it goes on when only the "
             "terminal is lost. docs/howto/migration.md has more."),
)  # fmt: skip

_OPERATIONS = (
    Command(name="start-reconf", group="Reconfiguration and operations",
            help="begin a delayed reconfiguration of the control domain", forms=(form(DOMAIN),)),
    Command(name="cancel-reconf", group="Reconfiguration and operations",
            help="give a delayed reconfiguration up", forms=(form(DOMAIN),)),
    Command(name="cancel-operation", group="Reconfiguration and operations",
            help="give up what a domain is in the middle of", forms=(
        form(Option(flag="-f", argument="force", help="of a migration: the target is lost, and never will have the "
                    "domain"),
             Operand(argument="operation", shown="(migration | reconf | memdr)", help="which operation",
                     choices=("migration", "reconf", "memdr")), DOMAIN),
    ), notes="A migration is cancelled on the source machine, in any phase."),
)  # fmt: skip

_ASSIGNMENTS = Operand(argument="assignments", shown="var-name=[value]", kind="assignment", many=True,
                       help="an OpenBoot variable and its value")  # fmt: skip
_VARIABLES = (
    Command(name="add-variable", group="Variables", help="give OpenBoot variables of a domain their values",
            forms=(form(_ASSIGNMENTS, DOMAIN),)),
    Command(name="set-variable", group="Variables", help="give OpenBoot variables of a domain other values",
            forms=(form(_ASSIGNMENTS, DOMAIN),)),
    Command(name="remove-variable", group="Variables", help="take OpenBoot variables of a domain away", forms=(
        form(Operand(argument="names", shown="var-name", kind="variable", many=True, help="variables"), DOMAIN),
    )),
)  # fmt: skip

_POLICIES = (
    Command(name="add-policy", group="Policies", help="add a resource management policy to domains",
            forms=(form(*_policy_properties(clears=False), DOMAINS),)),
    Command(name="set-policy", group="Policies", help="change a resource management policy of domains",
            forms=(form(*_policy_properties(clears=True), DOMAINS),)),
    Command(name="remove-policy", group="Policies", help="take resource management policies from a domain", forms=(
        form(Operand(argument="names", shown="[name=]policy-name", many=True, strip="name=", help="policies"), DOMAIN),
    )),
)  # fmt: skip

_AUTOSAVE = Option(flag="-r", argument="restore", value="autosave-name", required=True,
                   help="take it from the autosave directory of this name")  # fmt: skip
_CONFIG = Operand(argument="config", shown="config-name", kind="spconfig", help="the configuration")
_SP = (
    Command(name="add-spconfig", group="Configurations on the SP", help="save the configuration on the SP", forms=(
        form(Operand(argument="config", shown="config-name", help="name of the new configuration")),
        form(_AUTOSAVE, Operand(argument="new_config", shown="new-config-name", optional=True,
                                help="name of the new configuration")),
    )),
    Command(name="set-spconfig", group="Configurations on the SP", help="use a configuration at the next power-on",
            forms=(form(_CONFIG),)),
    Command(name="remove-spconfig", group="Configurations on the SP", help="remove a configuration from the SP", forms=(
        form(Option(flag="-r", argument="autosave", help="the autosave directory of this name"), _CONFIG),
    )),
    Command(name="init-system", group="Configurations on the SP",
            help="set up domains and services from an XML document", forms=(
        form(
            Option(flag="-f", argument="factory_check_off", help="also on a server that is not in factory-default"),
            Option(flag="-r", argument="reboot", help="reboot the control domain afterwards"),
            Option(flag="-s", argument="services_only", help="only the virtual services of the control domain"),
            XML,
        ),
    )),
)  # fmt: skip

TABLE = (*_DOMAINS, *_OPERATIONS, *_VARIABLES, *_POLICIES, *_SP)
