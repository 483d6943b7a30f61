"""Saving and loading a prompt, between any two keys and any two steps."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import Any

from emulator.firmware.dialogs import NVEDIT_LIMIT, PASSWORD_LIMIT, Dialog
from emulator.firmware.forth.machine import SOURCE_LIMIT
from emulator.firmware.forth.state import load_forth, save_forth
from emulator.firmware.forth.throw import ThrowError
from emulator.firmware.host import Action, Boot, Go, PowerOff, Reset
from emulator.firmware.lineedit import LINE_LIMIT, History, LineEditor
from emulator.firmware.options import ALIAS_LIMIT, ALIAS_PATH_LIMIT, set_alias
from emulator.firmware.prompt import Prompt
from emulator.firmware.registercommands import WINDOWS
from emulator.firmware.statecheck import Fields

ACTIONS: dict[str, type[Action]] = {"boot": Boot, "go": Go, "reset": Reset, "power-off": PowerOff}
FLAGS = ("active", "in_line", "banner_shown", "logged_in", "interrupted", "error")
TEXTS = ("permit", "reboot_command")
PATHS_LIMIT = 4096


def save_prompt(prompt: Prompt) -> dict[str, Any]:
    """The whole state as data that JSON and msgpack can hold."""
    action = prompt.action
    kind = next((name for name, cls in ACTIONS.items() if isinstance(action, cls)), None)
    return {
        "forth": save_forth(prompt.forth),
        "editor": prompt.editor.save(), "history": prompt.history.save(),
        "aliases": [[name, path] for name, path in prompt.aliases.items()],
        "dialog": None if prompt.dialog is None else {"kind": prompt.dialog.kind, "data": deepcopy(prompt.dialog.data)},
        "action": None if action is None else {"kind": kind, **asdict(action)},
        "node": prompt.node, "nvedit": prompt.nvedit, "steps": prompt.steps, "wake_at": prompt.wake_at,
        "window": prompt.window,
        **{name: getattr(prompt, name) for name in FLAGS},
        **{name: getattr(prompt, name) for name in TEXTS},
    }  # fmt: skip


def load_prompt(prompt: Prompt, state: object) -> None:
    """Take a saved state back, and the aliases made by hand into the tree. Raises StateError.

    A state that is refused leaves the prompt unusable: make a new one.
    """
    fields = Fields(state, "prompt")
    values: dict[str, Any] = {name: fields.flag(name) for name in FLAGS}
    values |= {name: fields.text(name, SOURCE_LIMIT) for name in TEXTS}
    values["steps"] = fields.number("steps", 0, prompt.line_steps)
    values["window"] = fields.number("window", 0, WINDOWS)
    values["wake_at"] = None if fields.state.get("wake_at") is None else fields.number("wake_at", 0, 1 << 63)
    values["node"] = None if fields.state.get("node") is None else fields.text("node", SOURCE_LIMIT)
    values["nvedit"] = None if fields.state.get("nvedit") is None else fields.text("nvedit", SOURCE_LIMIT)
    values["dialog"] = _load_dialog(fields.part("dialog"))
    values["action"] = _load_action(fields.part("action"))
    aliases = fields.items("aliases", ALIAS_LIMIT, _load_alias)
    editor, history = LineEditor(prompt.write), History()
    editor.load(dict(fields.must("editor").state))
    history.load(dict(fields.must("history").state))
    load_forth(prompt.forth, fields.state.get("forth"))
    for name, value in values.items():
        setattr(prompt, name, value)
    prompt.editor, prompt.history = editor, history
    prompt.aliases = dict(aliases)
    try:
        for name, path in aliases:
            set_alias(prompt.host.tree, name, path)
    except ThrowError:
        raise fields.fault("aliases") from None


def _load_alias(item: object) -> tuple[str, str]:
    fields = Fields({"alias": item}, "prompt")
    texts = fields.strings("alias", 2, ALIAS_PATH_LIMIT)
    if len(texts) != 2:
        raise fields.fault("alias")
    return texts[0], texts[1]


def _load_action(fields: Fields | None) -> Action | None:
    if fields is None:
        return None
    kind = fields.choice("kind", tuple(ACTIONS))
    if kind == "boot":
        return Boot(fields.text("device", SOURCE_LIMIT), fields.text("arguments", SOURCE_LIMIT))
    if kind == "reset":
        return Reset(fields.text("command", SOURCE_LIMIT))
    return Go() if kind == "go" else PowerOff()


def _load_dialog(fields: Fields | None) -> Dialog | None:
    """A dialog with its data, as its kind has them."""
    if fields is None:
        return None
    kind = fields.choice("kind", ("password", "new-password", "menu", "confirm", "nvedit"))
    data = fields.must("data")
    if kind == "password":
        return Dialog(kind, {
            "typed": data.text("typed", PASSWORD_LIMIT), "then": data.choice("then", ("permit", "boot", "login")),
            "argument": data.text("argument", SOURCE_LIMIT),
        })  # fmt: skip
    if kind == "new-password":
        first = None if data.state.get("first") is None else data.text("first", PASSWORD_LIMIT)
        return Dialog(kind, {"typed": data.text("typed", PASSWORD_LIMIT), "first": first})
    if kind == "menu":
        paths = data.strings("paths", PATHS_LIMIT, LINE_LIMIT)
        return Dialog(kind, {"paths": paths, "page": data.number("page", 0, len(paths) // 10)})
    if kind == "nvedit":
        lines = data.strings("lines", NVEDIT_LIMIT + 1, SOURCE_LIMIT)
        return Dialog(
            kind, {"lines": lines, "line": data.number("line", 0, len(lines) - 1), "shown": data.flag("shown")}
        )
    return Dialog(kind)
