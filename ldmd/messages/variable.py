"""Messages about OpenBoot variables."""

from __future__ import annotations

from ldmd.messages.table import Message

TABLE = (
    Message("variable.none", "No variable is named", "", "name one, such as auto-boot?=false"),
    Message("variable.syntax", "{text} is not NAME=VALUE", "", "write for example boot-device=vdisk0"),
    Message("variable.name", "{name!r} is not a name for a variable", "{why}",
            "names have up to 63 printable characters, and none of them is a blank or ="),
    Message("variable.value", "The value of {name} is not possible", "{why}",
            "use up to {limit} characters, none of which is NUL"),
    Message("variable.many", "LDom {name} would have {count} variables", "at most {limit} can be kept",
            "`ldm remove-variable` those that are not needed"),
    Message("variable.repeated", "{name} is named twice"),
    Message("variable.not-found", "Variable {variable} of LDom {name} was not found", "",
            "`ldm list-variable {name}` shows those that are set"),
    Message("variable.exists", "Variable {variable} of LDom {name} already exists", "",
            "`ldm set-variable` changes its value"),
    Message("variable.refused", "LDom {name} refused the change of its variables", "{problem}",
            "its firmware or operating system holds them while it runs: change them there, or stop it first"),
)  # fmt: skip
