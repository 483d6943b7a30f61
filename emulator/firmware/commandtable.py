"""All commands of OpenBoot, in one table."""

from __future__ import annotations

from emulator.firmware import (
    bootcommands,
    helpcommands,
    machinecommands,
    nvramrccommands,
    registercommands,
    treecommands,
    variablecommands,
)
from emulator.firmware.commands import Command

COMMANDS: tuple[Command, ...] = tuple(
    row
    for table in (
        bootcommands.commands, variablecommands.commands, nvramrccommands.commands, treecommands.commands,
        machinecommands.commands, registercommands.commands, helpcommands.commands,
    )
    for row in table.rows
)  # fmt: skip
