"""The grammar of `ldm` and its parser: every sub-command can be written, aliases mean what they should, errors help."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from ldmd.cli.grammar import ALIASES, COMMANDS, GROUPS, NOUNS, VERBS, aliases_of, canonical
from ldmd.cli.parse import Request, UsageError, parse
from ldmd.cli.syntax import Command, Form, Operand, Option


def typed(line: str) -> Request:
    return parse(shlex.split(line))


def words_of(form: Form, *, optional: bool) -> Iterator[str]:
    """A command line of a form: with all that may be left out, or without it."""
    for option in form.options:
        in_group = any(option in group.options for group in form.groups)
        if option.required or (optional and not in_group):
            yield from (option.flag, "v") if option.value else (option.flag,)
    for each in form.properties:
        if each.required or optional:
            yield f"{each.name}=v"
    for operand in form.operands:
        if optional or not operand.optional:
            yield "a=v" if operand.kind == "assignment" else "core" if operand.kind == "resource" else "w"
            if operand.many and operand.kind != "assignment":
                yield "w"


def forms() -> Iterator[Any]:
    for command in COMMANDS.values():
        for place, form in enumerate(command.forms):
            for optional in (False, True):
                how = "all" if optional else "least"
                yield pytest.param(command, form, optional, id=f"{command.name}-{place}-{how}")


@pytest.mark.parametrize(("command", "form", "optional"), list(forms()))
def test_every_form_of_every_command_can_be_written(command: Command, form: Form, optional: bool) -> None:
    words = list(words_of(form, optional=optional))
    request = parse([command.name, *words])
    given = {**request.arguments, **request.local}
    for operand in form.operands:
        assert (operand.argument in given) == (optional or not operand.optional)
        if operand.argument in given:
            assert isinstance(given[operand.argument], list) == (operand.many or operand.listed)
    for each in form.properties:
        assert (each.name in given) == (optional or each.required)
    # options behind the operands, and properties behind them, mean the same
    properties = [word for word in words if "=" in word and word != "a=v"]
    others = [word for word in words if word not in properties]
    turned = parse([command.name, *reversed(properties), *others])
    assert turned.arguments == request.arguments


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_the_table_is_sound(command: Command) -> None:
    assert command.group in GROUPS and command.help and command.help[0].islower() and not command.help.endswith(".")
    flags: dict[str, Option] = {}
    for form in command.forms:
        assert sum(1 for operand in form.operands if operand.many) <= 1
        names = [*(o.argument for o in form.options), *(o.argument for o in form.operands),
                 *(p.name for p in form.properties)]
        assert len(names) == len(set(names)), "two parts with one name"
        for option in form.options:
            known = flags.setdefault(option.flag, option)
            assert bool(known.value) == bool(option.value), f"{option.flag} takes a value in one form only"
        for part in (*form.options, *form.operands, *form.properties):
            assert part.help, part


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("ls", "list-domain"), ("list", "list-domain"), ("create", "add-domain"), ("modify", "set-domain"),
        ("destroy", "remove-domain"), ("bind", "bind-domain"), ("unbind", "unbind-domain"), ("start", "start-domain"),
        ("stop", "stop-domain"), ("panic", "panic-domain"), ("migrate", "migrate-domain"),
        ("migrate-dom", "migrate-domain"), ("cancel-op", "cancel-operation"), ("remove-reconf", "cancel-reconf"),
        ("rm-reconf", "cancel-reconf"), ("rm-dom", "remove-domain"), ("ls-config", "list-spconfig"),
        ("rm-config", "remove-spconfig"), ("set-mem", "set-memory"), ("add-mau", "add-crypto"),
        ("set-var", "set-variable"), ("ls-var", "list-variable"), ("add-vconscon", "add-vcc"),
        ("set-vcons", "set-vconsole"), ("add-vdiskserver", "add-vds"), ("rm-vdiskserverdevice", "remove-vdsdev"),
        ("add-vswitch", "add-vsw"), ("add-ndpsldcs", "add-vdpcs"), ("rm-ndpsldcc", "remove-vdpcc"),
        ("ls-bindings", "list-bindings"), ("ls-services", "list-services"), ("ls-devices", "list-devices"),
        ("ls-dom", "list-domain"), ("bind-dom", "bind-domain"), ("stop-dom", "stop-domain"),
    ],
)
def test_aliases(word: str, name: str) -> None:
    assert canonical(word) == name
    assert word in aliases_of(name)


@pytest.mark.parametrize("word", ["", "-", "ls-", "rm", "lsdom", "list-", "domain", "ls-nothing", "LIST", "create-dom"])
def test_other_words_are_no_commands(word: str) -> None:
    assert canonical(word) is None


def test_all_aliases_of_all_commands_are_understood() -> None:
    assert set(ALIASES.values()) <= set(COMMANDS)
    assert {"list", "remove"} == set(VERBS.values()) and set(NOUNS.values())
    for name in COMMANDS:
        assert canonical(name) == name
        for alias in aliases_of(name):
            assert canonical(alias) == name


@pytest.mark.parametrize(
    ("line", "operation", "arguments"),
    [
        ("add-vdisk timeout=5 id=3 vdisk0 vol@primary-vds0 ldg1", "add-vdisk",
         {"disk": "vdisk0", "volume": "vol@primary-vds0", "domain": "ldg1", "timeout": "5", "id": "3"}),
        ("add-vdisk vdisk0 vol@primary-vds0 timeout=5 ldg1", "add-vdisk",
         {"disk": "vdisk0", "volume": "vol@primary-vds0", "domain": "ldg1", "timeout": "5"}),
        ("add-domain cpu-arch=native ldg1", "add-domain", {"domains": ["ldg1"], "cpu-arch": "native"}),
        ("add-domain ldg1 ldg2", "add-domain", {"domains": ["ldg1", "ldg2"]}),
        ("add-dom -i ldg1.xml", "add-domain", {"xml": "ldg1.xml"}),
        ("set-mem mblock= ldg1", "set-memory", {"domain": "ldg1", "mblock": ""}),
        ("set-memory --auto-adj 4G ldg1", "set-memory", {"size": "4G", "domain": "ldg1", "auto_adj": True}),
        ("add-core cid=1,2 ldg1", "add-core", {"domain": "ldg1", "cid": "1,2"}),
        ("remove-core -g /SYS/CMU4 -n 2 ldg1", "remove-core",
         {"resource-group": "/SYS/CMU4", "count": "2", "domain": "ldg1"}),
        ("stop -r -m 'good bye' ldg1 ldg2", "stop-domain",
         {"reboot": True, "message": "good bye", "domains": ["ldg1", "ldg2"]}),
        ("stop -a -t 30", "stop-domain", {"all": True, "timeout": "30"}),
        ("stop -fn ldg1", "stop-domain", {"force": True, "no_wait": True, "domains": ["ldg1"]}),
        ("set-var auto-boot?=false 'boot-device=disk net' ldg1", "set-variable",
         {"assignments": ["auto-boot?=false", "boot-device=disk net"], "domain": "ldg1"}),
        ("set-var nvramrc= ldg1", "set-variable", {"assignments": ["nvramrc="], "domain": "ldg1"}),
        ("rm-var a b ldg1", "remove-variable", {"names": ["a", "b"], "domain": "ldg1"}),
        ("list-variable auto-boot? ldg1", "list-variable", {"names": ["auto-boot?"], "domain": "ldg1"}),
        ("list-variable ldg1", "list-variable", {"domain": "ldg1"}),
        ("remove-policy name=high ldg1", "remove-policy", {"names": ["high"], "domain": "ldg1"}),
        ("remove-policy high low ldg1", "remove-policy", {"names": ["high", "low"], "domain": "ldg1"}),
        ("add-policy vcpu-max=16 name=high ldg1 ldg2", "add-policy",
         {"vcpu-max": "16", "name": "high", "domains": ["ldg1", "ldg2"]}),
        ("set-vsw vid=+5 net-dev= primary-vsw0", "set-vsw", {"vid": "+5", "net-dev": "", "vswitch": "primary-vsw0"}),
        ("add-vnet mtu=9000 vnet0 primary-vsw0 ldg1", "add-vnet",
         {"mtu": "9000", "vnet": "vnet0", "vswitch": "primary-vsw0", "domain": "ldg1"}),
        ("set-vnet vswitch=other vnet0 ldg1", "set-vnet", {"vswitch": "other", "vnet": "vnet0", "domain": "ldg1"}),
        ("add-vdsdev -f options=ro,slice mpgroup=m /a=b vol@vds", "add-vdsdev",
         {"force": True, "options": "ro,slice", "mpgroup": "m", "backend": "/a=b", "volume": "vol@vds"}),
        ("add-vcc port-range=5000-5100 primary-vcc0 primary", "add-vcc",
         {"port-range": "5000-5100", "vcc": "primary-vcc0", "domain": "primary"}),
        ("set-vcons port= group=web log=off ldg1", "set-vconsole",
         {"port": "", "group": "web", "log": "off", "domain": "ldg1"}),
        ("create-vf -n max /SYS/MB/NET0/IOVNET.PF0", "create-vf", {"number": "max", "pf": "/SYS/MB/NET0/IOVNET.PF0"}),
        ("create-vf speed=7 mtu=9000 /SYS/MB/NET0/IOVNET.PF0", "create-vf",
         {"speed": "7", "mtu": "9000", "pf": "/SYS/MB/NET0/IOVNET.PF0"}),
        ("remove-io -n pci_1 ldg1", "remove-io", {"no_reboot": True, "device": "pci_1", "domain": "ldg1"}),
        ("add-spconfig -r auto new", "add-spconfig", {"restore": "auto", "new_config": "new"}),
        ("rm-config -r auto", "remove-spconfig", {"autosave": True, "config": "auto"}),
        ("ls-config -r", "list-spconfig", {"autosave": True}),
        ("init-system -frs -i a.xml", "init-system",
         {"factory_check_off": True, "reboot": True, "services_only": True, "xml": "a.xml"}),
        ("migrate -n -p pw ldg1 root@beta:ldg2", "migrate-domain",
         {"dry_run": True, "password": "pw", "domain": "ldg1", "target": "root@beta:ldg2"}),
        ("migrate-domain -fc ldg1 beta", "migrate-domain",
         {"force": True, "certificates": True, "domain": "ldg1", "target": "beta"}),
        ("cancel-op migration ldg1", "cancel-operation", {"operation": "migration", "domain": "ldg1"}),
        ("list-constraints -x ldg1", "export-domain", {"domains": ["ldg1"]}),
        ("list-constraints -p", "list-constraints", {}),
        ("add-vds -- -odd primary", "add-vds", {"vds": "-odd", "domain": "primary"}),
    ],
)
def test_what_the_daemon_is_sent(line: str, operation: str, arguments: dict[str, Any]) -> None:
    request = typed(line)
    assert (request.operation, request.arguments) == (operation, arguments)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("ls -lp", {"long": True, "parseable": True}),
        ("ls -o disk,net -p ldg1", {"format": "disk,net", "parseable": True}),
        ("ls -odisk -o net", {"format": "disk,net"}),
        ("ls ldg1 -p --json", {"parseable": True, "json": True}),
        ("ls-devices -a core mem", {"all": True, "resources": ["core", "mem"]}),
        ("bind ldg1 --json", {"json": True}),
    ],
)
def test_what_stays_with_the_client(line: str, local: dict[str, Any]) -> None:
    assert typed(line).local == local


def test_files_are_named_and_not_read() -> None:
    assert typed("add-domain -i nowhere").files == ("xml",)
    assert typed("migrate -p nowhere ldg1 beta").files == ("password",)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("frob", "Unknown command frob"),
        ("add-vdisk", "disk-name is missing"),
        ("add-vdisk a", "volume-name@service-name is missing"),
        ("add-vdisk a b@c", "domain-name is missing"),
        ("add-vdisk a b@c d e", "'e' is one word too many"),
        ("add-vdisk mtu=5 a b@c d", "add-vdisk has no property mtu (its properties: timeout, id)"),
        ("add-vdisk timeout=1 timeout=2 a b@c d", "timeout= stands there twice"),
        ("add-vdisk timeout= a b@c d", "timeout= needs a value: seconds"),
        ("add-vdisk -x a b@c d", "add-vdisk has no option -x"),
        ("stop -f -r ldg1", "-f and -r exclude each other"),
        ("stop", "domain-name is missing"),
        ("stop -t", "-t needs a value: sec"),
        ("stop -t 1 -t 2 ldg1", "-t stands there twice"),
        ("list --auto-adj", "list-domain has no option --auto-adj"),
        ("set-memory --auto-adj=yes 4G ldg1", "--auto-adj takes no value"),
        ("add-domain mac-addr=1 a b", "'b' is one word too many"),
        ("add-vcc primary-vcc0 primary", "port-range= is missing"),
        ("set-io device=5 pci_0", "set-io has no property device"),
        ("migrate -c -p f ldg1 beta", "-c and -p exclude each other"),
        ("unbind a b", "'b' is one word too many"),
    ],
)
def test_errors_say_what_is_wrong(line: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        typed(line)
    assert text in str(raised.value)
    assert (raised.value.command is None) == line.startswith("frob")


def test_no_words_are_an_error() -> None:
    with pytest.raises(UsageError):
        parse([])


def test_kinds_of_operands_are_known() -> None:
    """A kind that completion does not know would be one misspelt."""
    from ldmd.cli.completion import _ASK

    kinds = {part.kind for command in COMMANDS.values() for part in command.parts() if isinstance(part, Operand)}
    assert kinds - {"", "assignment", "resource", "path", "new-volume", "target"} <= set(_ASK)
