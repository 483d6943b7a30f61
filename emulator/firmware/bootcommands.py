"""Commands that start, continue, reset and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.firmware import startup
from emulator.firmware.commands import CommandList
from emulator.firmware.dialogs import Dialog
from emulator.firmware.forth import throw
from emulator.firmware.host import Go, PowerOff, Reset

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("Booting")


@commands("boot", "( -- ) [device] [file and arguments]", help="Boot a program")
def _boot(prompt: Prompt) -> None:
    arguments = prompt.forth.parse("").strip()
    if prompt.host.facts().has_run:
        prompt.end_turn(Reset(f"boot {arguments}".strip()))
    elif startup.password_needed(prompt.host.variables, arguments):
        prompt.forth.fresh_line()
        prompt.forth.emit("Firmware Password: ")
        prompt.ask(Dialog("password", {"typed": "", "then": "boot", "argument": arguments}))
    else:
        boot(prompt, arguments)


@commands("(boot)", "( -- ) [device] [file and arguments]", help="As boot, once that is permitted")
def _permitted_boot(prompt: Prompt) -> None:
    boot(prompt, prompt.forth.parse("").strip())


def boot(prompt: Prompt, arguments: str) -> None:
    """Announce a boot and end the turn with it. Raises ThrowError where the device is none."""
    host = prompt.host
    request = startup.parse_boot(arguments, host.variables, host.tree, host.openable)
    if startup.talks(host.variables):
        prompt.forth.emit(startup.boot_text(request))
    message = startup.boot_error(request, host.tree, host.openable)
    if message:
        raise throw.abort(message)
    prompt.end_turn(request)


@commands("go", "( -- )", help="Continue the program")
def _go(prompt: Prompt) -> None:
    if not prompt.host.facts().can_go:
        raise throw.abort("No program to continue")
    prompt.end_turn(Go())


def _reset(prompt: Prompt) -> None:
    prompt.end_turn(Reset())


commands("reset-all", "( -- )", help="Reset the machine")(_reset)
commands("reset", "( -- )", help="As reset-all")(_reset)


@commands("power-off", "( -- )", help="Switch the machine off")
def _power_off(prompt: Prompt) -> None:
    prompt.end_turn(PowerOff())


@commands("sync", "( -- )", help="Let the program that ran save its disks")
def _sync(prompt: Prompt) -> None:
    raise throw.abort("The program has registered no callback for sync")
