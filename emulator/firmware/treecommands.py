"""Commands that show the device tree and move through it, and device aliases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.devtree import Node
from emulator.firmware.dialogs import Dialog, show_menu
from emulator.firmware.forth import throw
from emulator.firmware.options import set_alias
from emulator.firmware.propertytext import property_lines

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("Device tree")
PROPERTY_COLUMN = 25
NOT_AT_A_NODE = "Not at a device tree node. Use 'dev <device-pathname>'."
NOT_FOUND = "Device not found"


def current_node(prompt: Prompt) -> Node | None:
    """The node that ``dev`` chose, if it is still there."""
    return prompt.host.tree.find(prompt.node) if prompt.node else None


def find_node(prompt: Prompt, path: str) -> Node:
    """The node of a path, an alias, or a path below the current node. Raises ThrowError."""
    node = prompt.host.tree.find(path, current_node(prompt))
    if node is None:
        raise throw.ThrowError(throw.ABORT_TEXT, NOT_FOUND)
    return node


def below(node: Node) -> Iterator[Node]:
    """All nodes below one, in OpenBoot's order: its children, then what is below the first of them, and so on."""
    yield from node.children
    for child in node.children:
        yield from below(child)


def _here(prompt: Prompt) -> Node | None:
    """The current node, or a message that there is none."""
    node = current_node(prompt)
    if node is None:
        prompt.forth.emit(NOT_AT_A_NODE)
    return node


@commands("show-devs", "( -- ) [path]", help="Show all devices, or those below one")
def _show_devs(prompt: Prompt) -> None:
    for node in below(find_node(prompt, prompt.forth.parse_word() or "/")):
        prompt.forth.emit(f"{node.path}\n")


def _dev(prompt: Prompt) -> None:
    path = prompt.forth.parse_word() or "/"
    if path == "..":
        node = _here(prompt)
        if node is not None:
            prompt.node = (node.parent or node).path
        return
    prompt.node = find_node(prompt, path).path


commands("dev", "( -- ) path", help="Go to a node of the device tree")(_dev)
commands("cd", "( -- ) path", help="As dev")(_dev)


@commands("find-device", "( path$ -- )", help="As dev, with a string")
def _find_device(prompt: Prompt) -> None:
    prompt.node = find_node(prompt, prompt.forth.pop_string().decode("latin-1")).path


@commands("device-end", "( -- )", help="Leave the device tree")
def _device_end(prompt: Prompt) -> None:
    prompt.node = None


@commands("pwd", "( -- )", help="Path of the current node")
def _pwd(prompt: Prompt) -> None:
    node = _here(prompt)
    prompt.forth.emit(f"{node.path}\n" if node is not None else "\n")


@commands("ls", "( -- )", help="Nodes below the current one")
def _ls(prompt: Prompt) -> None:
    node = _here(prompt)
    for child in node.children if node is not None else ():
        prompt.forth.emit(f"{child.phandle:x} {child.label}\n")


def _show_property(prompt: Prompt, node: Node, name: str) -> None:
    """Name and value of a property."""
    prompt.forth.emit(f"{name} ")
    lines = property_lines(node, name)
    for line in lines:
        prompt.forth.to_column(PROPERTY_COLUMN)
        prompt.forth.emit(f"{line}\n")
    if not lines:
        prompt.forth.emit("\n")


def _show_properties(prompt: Prompt, node: Node) -> None:
    """All properties of a node, newest first as OpenBoot lists them; ``name``, the oldest, ends the list."""
    names = [name for name in reversed(node.properties) if name != "name"]
    for name in [*names, *(["name"] if "name" in node.properties else [])]:
        prompt.forth.fresh_line()
        _show_property(prompt, node, name)


@commands(".properties", "( -- )", help="Properties of the current node")
def _properties(prompt: Prompt) -> None:
    node = _here(prompt)
    if node is not None:
        _show_properties(prompt, node)


@commands("show-props", "( -- ) path", help="Properties of a node")
def _show_props(prompt: Prompt) -> None:
    _show_properties(prompt, find_node(prompt, prompt.forth.parse_word() or "/"))


@commands("get-property", "( name$ -- true | value$ false )", help="A property of the current node")
def _get_property(prompt: Prompt) -> None:
    name = prompt.forth.pop_string().decode("latin-1")
    node = current_node(prompt)
    value = node.properties.get(name) if node is not None else None
    _push_property(prompt, value)


def _push_property(prompt: Prompt, value: bytes | None) -> None:
    if value is None:
        prompt.forth.push(-1)
    else:
        prompt.forth.push_string(value)
        prompt.forth.push(0)


@commands("get-package-property", "( name$ phandle -- true | value$ false )", help="A property of a node")
def _get_package_property(prompt: Prompt) -> None:
    node = prompt.host.tree.node(prompt.forth.pop())
    name = prompt.forth.pop_string().decode("latin-1")
    _push_property(prompt, node.properties.get(name) if node is not None else None)


@commands("find-package", "( path$ -- false | phandle true )", help="Handle of a node")
def _find_package(prompt: Prompt) -> None:
    node = prompt.host.tree.find(prompt.forth.pop_string().decode("latin-1"), current_node(prompt))
    prompt.forth.push(*([0] if node is None else [node.phandle, -1]))


@commands("decode-int", "( addr len -- addr' len' n )", help="A number of a property")
def _decode_int(prompt: Prompt) -> None:
    address, length = prompt.forth.pops(2)
    if length < 4:
        prompt.forth.push(address, 0, 0)
        return
    value = int.from_bytes(prompt.forth.space.read_bytes(address, 4), "big")
    prompt.forth.push(address + 4, length - 4, value)


@commands("decode-string", "( addr len -- addr' len' string$ )", help="A string of a property")
def _decode_string(prompt: Prompt) -> None:
    address, length = prompt.forth.pops(2)
    text = prompt.forth.space.read_bytes(address, length).split(b"\0")[0]
    taken = min(len(text) + 1, length)
    prompt.forth.push(address + taken, length - taken, address, len(text))


@commands("devalias", "( -- ) [name [path]]", help="Show device aliases, or set one up to the next reset")
def _devalias(prompt: Prompt) -> None:
    forth = prompt.forth
    name, path = forth.parse_word(), forth.parse_word()
    node = prompt.host.tree.find("/aliases")
    if path:
        make_alias(prompt, name, path)
    elif not name:
        if node is not None:
            _show_properties(prompt, node)
    elif node is not None and name in node.properties and name != "name":
        _show_property(prompt, node, name)
    else:
        forth.emit(f"{name} : no such alias")


def make_alias(prompt: Prompt, name: str, path: str) -> None:
    """An alias that lasts up to the next reset. Raises ThrowError."""
    set_alias(prompt.host.tree, name, path)
    prompt.aliases[name] = path


def _menu_of(prompt: Prompt, device_type: str) -> None:
    """Let the user choose among the devices of a type."""
    start = find_node(prompt, prompt.forth.parse_word() or "/")
    paths = [node.path for node in below(start) if node.text("device_type") == device_type]
    dialog = Dialog("menu", {"paths": paths, "page": 0})
    prompt.ask(dialog)
    show_menu(prompt, dialog)


for _name, _type, _what in (
    ("show-disks", "block", "disks"), ("show-nets", "network", "network devices"), ("show-ttys", "serial", "consoles"),
    ("show-displays", "display", "displays"), ("show-tapes", "byte", "tapes"),
):  # fmt: skip
    commands(_name, "( -- ) [path]", help=f"Choose among the {_what}")(
        lambda prompt, device_type=_type: _menu_of(prompt, device_type)  # type: ignore[misc]
    )
