"""What firmware does after a reset, and what ``boot`` means: decided from variables and device tree alone.

Source: OpenBoot's boot parameters (parse of ``boot``, order of auto-boot).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.firmware.devtree import DeviceTree
from emulator.firmware.host import Boot
from emulator.firmware.variables import Variables

CANNOT_LOCATE = "\nCan't locate boot device\n"
CANNOT_OPEN = "\nCan't open boot device\n"
LOAD_FAILED = "\nBoot load failed\n"
NOT_OKAY = "\nCan't boot from device: 'status' property NOT \"okay\"\n"
ABORTING = "Aborting auto-boot sequence.\n"


@dataclass(frozen=True)
class Start:
    """What follows the banner: a text to print, a command to run; "" for the prompt."""

    text: str
    command: str


def talks(variables: Variables) -> bool:
    """Does firmware announce what it does?"""
    return variables.get("verbosity") != "none"


def decide_start(
    variables: Variables, reboot_command: str = "", *, interrupted: bool = False, error: bool = False
) -> Start:
    """What to do after the banner.

    `reboot_command`: what a client or ``boot`` left for this reset; `interrupted`: a break came in time; `error`: the
    reset was for an error of the system.
    """
    if reboot_command:
        return Start(f"Rebooting with command: {reboot_command}\n" if talks(variables) else "", reboot_command)
    if not variables.flag("auto-boot?"):
        return Start("", "")
    if interrupted or (error and not variables.flag("auto-boot-on-error?")):
        return Start(ABORTING, "")
    return Start("", variables.get("boot-command").strip())


def parse_boot(
    text: str, variables: Variables, tree: DeviceTree, openable: Callable[[str], bool] = lambda path: True
) -> Boot:
    """What ``boot`` with a rest of line means.

    The first word is a device if it begins with a slash or is an alias; otherwise the device is the first of
    ``boot-device`` that can be opened, or the last of them. Without file and arguments ``boot-file`` stands in.
    """
    text = text.strip()
    first, _, rest = text.partition(" ")
    if first.startswith("/") or (first and _aliased(first, tree)):
        device, arguments = tree.expand(first), rest.strip()
    else:
        device, arguments = default_device(variables, tree, openable), text
    return Boot(device, arguments or variables.get("boot-file").strip())


def _aliased(word: str, tree: DeviceTree) -> bool:
    """Is a word an alias, perhaps with arguments: ``disk``, ``disk:a``, ``pci/disk``?"""
    return word.partition("/")[0].partition(":")[0] in tree.aliases


def default_device(variables: Variables, tree: DeviceTree, openable: Callable[[str], bool]) -> str:
    """The device of ``boot-device``, with its alias expanded."""
    devices = variables.get("boot-device").split()
    for device in devices[:-1]:
        node = tree.find(device)
        if node is not None and status_okay(node.text("status")) and openable(tree.expand(device)):
            return tree.expand(device)
    return tree.expand(devices[-1]) if devices else ""


def status_okay(status: str | None) -> bool:
    """Does a node's ``status`` property let one boot from it?"""
    return status is None or status == "okay"


def boot_error(request: Boot, tree: DeviceTree, openable: Callable[[str], bool]) -> str:
    """Why a device cannot be booted from, as it is printed; "" where it can."""
    node = tree.find(request.device)
    if node is None:
        return CANNOT_LOCATE
    if not status_okay(node.text("status")):
        return NOT_OKAY
    return "" if openable(request.device) else CANNOT_OPEN


def boot_text(request: Boot) -> str:
    """How a boot is announced."""
    return f"Boot device: {request.device}  File and args: {request.arguments}\n"


def password_needed(variables: Variables, boot_arguments: str | None) -> bool:
    """Must the password be given: for ``boot`` with these arguments, or for another command (None)?"""
    mode = variables.get("security-mode")
    if mode == "none" or not variables.get("security-password"):
        return False
    return boot_arguments is None or mode == "full" or bool(boot_arguments)
