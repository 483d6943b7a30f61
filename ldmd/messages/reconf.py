"""Messages of delayed reconfiguration. The notices are the product's, word for word."""

from __future__ import annotations

from ldmd.messages.table import Message

RULE = "-" * 64

TABLE = (
    Message("reconf.begun", "Initiating a delayed reconfiguration operation on the {name} domain.\n"
            "All configuration changes for other domains are disabled until the {name}\n"
            "domain reboots, at which time the new configuration for the {name} domain\n"
            "will also take effect."),
    Message("reconf.notice", RULE + "\nNotice: LDom {name} is in the process of a delayed reconfiguration.\n"
            "Any changes made to {name} will only take effect after it reboots.\n" + RULE),
    Message("reconf.frozen", "Delayed reconfiguration of LDom {name} is not permitted",
            "LDom {pending} is in the process of a delayed reconfiguration; until it reboots, no other is changed",
            "`ldm stop-domain -r {pending}` makes the changes true, `ldm cancel-reconf {pending}` forgets them"),
    Message("reconf.frozen-domains", "Domains cannot be added or removed during a delayed reconfiguration",
            "LDom {pending} is in the process of a delayed reconfiguration; until it reboots, nothing else is changed",
            "`ldm stop-domain -r {pending}` makes the changes true, `ldm cancel-reconf {pending}` forgets them"),
    Message("reconf.not-root", "Delayed reconfiguration of LDom {name} is not permitted",
            "only the control domain and root domains, which own a PCIe bus, can have one",
            "stop and unbind {name}, and change it then"),
    Message("reconf.not-active", "LDom {name} is {state}: no delayed reconfiguration can be started", "",
            "changes of a domain that is not active take effect at once"),
    Message("reconf.none", "LDom {name} is not in delayed reconfiguration", "", "`ldm list` shows flag d where one is"),
    Message("reconf.removed-io", "The delayed reconfiguration of LDom {name} cannot be cancelled",
            "virtual I/O was removed as a part of it", "`ldm stop-domain -r {name}` makes it true"),
    Message("reconf.one-cpu", "Only one CPU operation is permitted in a delayed reconfiguration of {name}",
            "the CPUs of {name} were changed in this one already",
            "reboot {name}, or cancel with `ldm cancel-reconf {name}` and give the final number at once"),
    Message("reconf.io-only", "This change is not possible in a delayed reconfiguration of {name}",
            "for a root domain other than the control domain only physical I/O can be changed so",
            "`ldm cancel-reconf {name}`, or reboot it first"),
    Message("reconf.no-migration", "No migration of LDom {name} is under way", "", "`ldm list -o status` shows those"),
)  # fmt: skip
