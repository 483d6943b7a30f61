"""/options and /aliases: the device tree's view of configuration variables and device aliases."""

from __future__ import annotations

from emulator.firmware.devtree import DeviceTree, DeviceTreeError, Node, text
from emulator.firmware.forth import throw
from emulator.firmware.variables import Variables

ALIAS_LIMIT = 256
ALIAS_PATH_LIMIT = 512


def _node(tree: DeviceTree, name: str) -> Node:
    """A child of the root, made where it is missing."""
    return tree.find(f"/{name}") or tree.add(tree.root, name)


def mirror_options(tree: DeviceTree, variables: Variables) -> None:
    """Fill /options from the variables, and keep it in step with them from now on."""
    node = _node(tree, "options")

    def show(name: str) -> None:
        try:
            if name not in variables:
                node.properties.pop(name, None)
            elif name != "security-password":
                node.set(name, text(variables.get(name)))
        except DeviceTreeError:
            pass  # a manager's variable whose name no property can have

    for name in variables.names():
        show(name)
    variables.watch("options", show)


def set_alias(tree: DeviceTree, name: str, path: str) -> None:
    """Make or change a device alias. Raises ThrowError."""
    node = _node(tree, "aliases")
    if len(path) > ALIAS_PATH_LIMIT or (name not in node.properties and len(node.properties) >= ALIAS_LIMIT):
        raise throw.abort("No room for the alias")
    try:
        node.set(name, text(path))
    except DeviceTreeError:
        raise throw.abort(f"Not a name for an alias: {name}") from None
