"""Messages about resource management policies and power management."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("policy.exists", "Policy {name} already exists in LDom {domain}", "",
            "choose another name, or use set-policy"),
    Message("policy.not-found", "Policy {name} was not found in LDom {domain}", "",
            "`ldm list -o resmgmt {domain}` shows its policies"),
    Message("policy.whole-core", "Policy {name} cannot be used: LDom {domain} has the whole-core constraint",
            "policies add and remove single virtual CPUs", "give the domain virtual CPUs with set-vcpu first"),
    Message("policy.order", "Policy {name}: {low} {lower} is not less than {high} {upper}", "", "change one of them"),
    Message("policy.overlap", "Policy {name} overlaps policy {other} of LDom {domain} at the same priority {priority}",
            "both are enabled, and in force at the same hours", "give one of them another priority, or other hours"),
    Message("policy.time", "{time!r} is not a time of day", "", "write hh:mm or hh:mm:ss, from 00:00:00 to 23:59:59"),
)  # fmt: skip
