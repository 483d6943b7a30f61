"""The grammar of `ldm`: every sub-command with its options, operands and properties, and the aliases.

Everything else derives from it: the parser, usage, completion, ldm(8) and docs/reference/ldm.md. Which arguments a
command becomes at the daemon stands with each part. Source: ldm(1M) of 3.3; from where other releases are followed the
notes say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from ldmd.cli import grammar_cpu, grammar_domain, grammar_io, grammar_list, grammar_services
from ldmd.cli.syntax import Command

COMMANDS: Mapping[str, Command] = {
    row.name: row
    for table in (
        grammar_domain.TABLE, grammar_cpu.TABLE, grammar_services.TABLE, grammar_io.TABLE, grammar_list.TABLE,
    )
    for row in table
}  # fmt: skip

VERBS: Mapping[str, str] = {"ls": "list", "rm": "remove"}
NOUNS: Mapping[str, str] = {
    "config": "spconfig",
    "dom": "domain",
    "mau": "crypto",
    "mem": "memory",
    "ndpsldcc": "vdpcc",
    "ndpsldcs": "vdpcs",
    "var": "variable",
    "vcons": "vconsole",
    "vconscon": "vcc",
    "vdiskserver": "vds",
    "vdiskserverdevice": "vdsdev",
    "vswitch": "vsw",
}
ALIASES: Mapping[str, str] = {
    "bind": "bind-domain",
    "cancel-op": "cancel-operation",
    "create": "add-domain",
    "destroy": "remove-domain",
    "list": "list-domain",
    "ls": "list-domain",
    "migrate": "migrate-domain",
    "modify": "set-domain",
    "panic": "panic-domain",
    "remove-reconf": "cancel-reconf",
    "start": "start-domain",
    "stop": "stop-domain",
    "unbind": "unbind-domain",
}
GROUPS = (
    "Domains", "CPU, crypto units, memory", "Reconfiguration and operations", "Networks", "Disks", "Consoles",
    "SCSI", "Data plane channels", "Variables", "Input and output", "Policies", "Configurations on the SP",
    "Lists", "Hardware",
)  # fmt: skip


def canonical(word: str) -> str | None:
    """The full name of a sub-command from any of its aliases (``rm-dom``, ``ls-config``, ``list``), or None."""
    if word in ALIASES:
        return ALIASES[word]
    verb, dash, noun = word.partition("-")
    name = f"{VERBS.get(verb, verb)}{dash}{NOUNS.get(noun, noun)}"
    name = ALIASES.get(name, name)
    return name if name in COMMANDS else None


def aliases_of(name: str) -> tuple[str, ...]:
    """All other words for a sub-command, in order."""
    verb, dash, noun = name.partition("-")
    verbs = [verb, *(short for short, full in VERBS.items() if full == verb)]
    nouns = [noun, *(other for other, full in NOUNS.items() if full == noun)]
    words = {f"{v}{dash}{n}" for v in verbs for n in nouns} | {a for a, full in ALIASES.items() if full == name}
    for alias, full in ALIASES.items():
        if full == name and alias.startswith("remove-"):
            words.add(alias.replace("remove-", "rm-", 1))
    return tuple(sorted(words - {name}))
