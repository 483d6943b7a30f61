"""Saving and loading a Forth: everything between two steps as plain data, and back after it was checked."""

from __future__ import annotations

from typing import Any

from emulator.errors import StateError
from emulator.firmware.forth.dictionary import CODE_LIMIT, KINDS, NAME_LIMIT, WORD_LIMIT, Instruction, UserWord
from emulator.firmware.forth.machine import (
    COLUMN_LIMIT,
    FRAMES,
    LOCAL_CELLS,
    OPERATIONS,
    SOURCE_LIMIT,
    STACK_CELLS,
    TARGETS,
    TEXTS,
    Definition,
    Forth,
    Frame,
    Loop,
)
from emulator.firmware.forth.space import FIRST_FREE, PICTURE_BYTES, SPACE_BASE, SPACE_LIMIT, STRING_SLOTS
from emulator.firmware.forth.words import USER_XT_BASE, XT_STEP
from emulator.firmware.statecheck import CELL, Fields

XT_LIMIT = USER_XT_BASE + (XT_STEP << 40)
KEYS_LIMIT = 1 << 16
XT_OPERATIONS = {"word", "compile", "to"}
CONTROL_KINDS = ("if", "while", "begin", "do", "case", "of")


def save_forth(forth: Forth) -> dict[str, Any]:
    """The whole state as data that JSON and msgpack can hold. Built-in words are saved by name."""
    book = forth.dictionary
    return {
        "stack": list(forth.stack), "line_stack": list(forth.line_stack), "keys": list(forth.keys),
        "column": forth.column, "picture": forth.picture.hex(), "abort_text": forth.abort_text,
        "interrupted": forth.interrupted, "data": bytes(forth.space.data).hex(), "slot": forth.space.slot,
        "work": forth.space.work,
        "words": [_save_word(forth, word) for word in book.words],
        "codes": [[number, _save_code(forth, code)] for number, code in book.codes.items()],
        "temporary": sorted(book.temporary), "next_code": book.next_code, "next_xt": book.next_xt,
        "frames": [_save_frame(frame) for frame in forth.frames],
        "definition": None if forth.definition is None else _save_definition(forth, forth.definition),
    }  # fmt: skip


def _save_xt(forth: Forth, xt: int) -> int | str:
    """A token; of a built-in word its name, so that it survives a change of the table."""
    row = forth.dictionary.builtins.of_xt(xt)
    return row.name if row is not None else xt


def _save_code(forth: Forth, code: list[Instruction]) -> list[list[Any]]:
    return [
        [operation, _save_xt(forth, argument) if operation in XT_OPERATIONS else argument]
        for operation, argument in code
    ]


def _save_word(forth: Forth, word: UserWord) -> dict[str, Any]:
    value = _save_xt(forth, word.value) if word.kind in ("defer", "alias") else word.value
    return {
        "name": word.name, "kind": word.kind, "xt": word.xt, "value": value, "code": word.code, "start": word.start,
        "immediate": word.immediate, "source": word.source, "here": word.here,
    }  # fmt: skip


def _save_frame(frame: Frame) -> dict[str, Any]:
    kept = [[item.index, item.limit, item.end] if isinstance(item, Loop) else item for item in frame.locals]
    return {"kind": frame.kind, "place": frame.place, "code": frame.code, "text": frame.text, "locals": kept}


def _save_definition(forth: Forth, definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name, "kind": definition.kind, "xt": definition.xt,
        "code": _save_code(forth, definition.code), "control": [list(entry) for entry in definition.control],
        "source": definition.source, "here": definition.here,
    }  # fmt: skip


def load_forth(forth: Forth, state: object) -> None:
    """Take a saved state back. Raises StateError, and then leaves the Forth as it was."""
    fields = Fields(state, "forth")
    data = fields.data("data", SPACE_LIMIT)
    if len(data) < FIRST_FREE:
        raise fields.fault("data")
    codes = dict(fields.items("codes", WORD_LIMIT + FRAMES, lambda item: _load_code_entry(forth, item)))
    next_code = fields.number("next_code", 0, 1 << 62)
    next_xt = fields.number("next_xt", USER_XT_BASE, XT_LIMIT)
    if next_xt % XT_STEP or any(number >= next_code for number in codes):
        raise fields.fault("next_code")
    words = fields.items("words", WORD_LIMIT, lambda item: _load_word(forth, Fields(item, "forth.word"), codes))
    if len({word.xt for word in words}) != len(words) or any(word.xt >= next_xt for word in words):
        raise fields.fault("words")
    end = SPACE_BASE + len(data)
    if any(word.here > end for word in words):
        raise fields.fault("words")
    frames = fields.items("frames", FRAMES, lambda item: _load_frame(forth, Fields(item, "forth.frame")))
    part = fields.part("definition")
    definition = None if part is None else _load_definition(forth, part, end)
    rest = _load_rest(fields, set(codes) - {word.code for word in words})

    book = forth.dictionary
    book.words, book.index, book.by_xt = [], {}, {}
    book.codes, book.next_code, book.next_xt, book.temporary = codes, next_code, next_xt, rest.pop("temporary")
    for word in words:
        book.add(word)
    forth.space.data[:] = data
    forth.space.slot, forth.space.work = rest.pop("slot"), rest.pop("work")
    forth.frames, forth.definition = frames, definition
    forth.paused = forth.waiting = False
    for name, value in rest.items():
        setattr(forth, name, value)


def _load_rest(fields: Fields, loose: set[int]) -> dict[str, Any]:
    """The fields that stand for themselves. `loose` are the codes that belong to no word."""
    keys = fields.cells("keys", KEYS_LIMIT)
    temporary = set(fields.cells("temporary", WORD_LIMIT + FRAMES))
    if any(key > 255 for key in keys) or not temporary <= loose:
        raise fields.fault("keys or temporary")
    return {
        "stack": fields.cells("stack", STACK_CELLS), "line_stack": fields.cells("line_stack", STACK_CELLS),
        "keys": keys, "column": fields.number("column", 0, COLUMN_LIMIT),
        "picture": fields.data("picture", PICTURE_BYTES), "abort_text": fields.text("abort_text", SOURCE_LIMIT),
        "interrupted": fields.flag("interrupted"), "slot": fields.number("slot", 0, STRING_SLOTS - 1),
        "work": fields.number("work", 0, 1 << 40),
        "temporary": temporary,
    }  # fmt: skip


def _load_xt(forth: Forth, value: object) -> int:
    """A token, or the token of a built-in word's name."""
    if isinstance(value, str) and value in forth.dictionary.builtins.by_name:
        return forth.dictionary.builtins.xt(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= CELL:
        return value
    raise StateError(f"forth: no such word: {str(value)[:NAME_LIMIT]}")


def _load_code(forth: Forth, code: object) -> list[Instruction]:
    if not isinstance(code, list | tuple) or len(code) > CODE_LIMIT:
        raise StateError("forth: not code")
    out: list[Instruction] = []
    for instruction in code:
        if not isinstance(instruction, list | tuple) or len(instruction) != 2:
            raise StateError("forth: not an instruction")
        operation, argument = instruction
        if not isinstance(operation, str) or operation not in OPERATIONS:
            raise StateError("forth: not an instruction")
        fields = Fields({"argument": argument}, "forth.instruction")
        if operation in XT_OPERATIONS:
            argument = _load_xt(forth, argument)
        elif operation in TEXTS:
            fields.text("argument", SOURCE_LIMIT)
        else:
            fields.number("argument", 0, len(code) if operation in TARGETS else CELL)
        out.append((operation, argument))
    return out


def _load_code_entry(forth: Forth, item: object) -> tuple[int, list[Instruction]]:
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise StateError("forth: not code")
    number = Fields({"number": item[0]}, "forth.code").number("number", 0, 1 << 62)
    return number, _load_code(forth, item[1])


def _load_word(forth: Forth, fields: Fields, codes: dict[int, list[Instruction]]) -> UserWord:
    kind = fields.choice("kind", KINDS)
    linked = kind in ("defer", "alias")
    value = _load_xt(forth, fields.state.get("value")) if linked else fields.number("value")
    code = fields.number("code", -1, 1 << 62)
    if (code not in codes) if kind == "colon" else (code >= 0 and code not in codes):
        raise fields.fault("code")
    xt = fields.number("xt", USER_XT_BASE, XT_LIMIT)
    if xt % XT_STEP:
        raise fields.fault("xt")
    return UserWord(
        fields.text("name", NAME_LIMIT), kind, xt, value, code, fields.number("start", 0, CODE_LIMIT),
        fields.flag("immediate"), fields.text("source", SOURCE_LIMIT),
        fields.number("here", SPACE_BASE + FIRST_FREE, SPACE_BASE + SPACE_LIMIT),
    )  # fmt: skip


def _load_local(item: object) -> int | Loop:
    """A cell or a loop of the return stack."""
    if isinstance(item, list | tuple):
        index, limit, end = Fields({"loop": item}, "forth.frame").cells("loop", 3) if len(item) == 3 else (-1, 0, 0)
        if index < 0 or end > CODE_LIMIT:
            raise StateError("forth: not a loop")
        return Loop(index, limit, end)
    return Fields({"cell": item}, "forth.frame").number("cell")


def _load_frame(forth: Forth, fields: Fields) -> Frame:
    kind = fields.choice("kind", ("code", "source", "catch", "guard", "hook"))
    text = fields.text("text", SOURCE_LIMIT)
    if kind == "hook" and text not in forth.hooks:
        raise fields.fault("text")
    limit = {"source": len(text), "catch": STACK_CELLS, "code": CODE_LIMIT}.get(kind, 0)
    return Frame(
        kind, fields.number("place", 0, limit), fields.number("code", -1, 1 << 62), text,
        fields.items("locals", LOCAL_CELLS, _load_local),
    )  # fmt: skip


def _load_definition(forth: Forth, fields: Fields, end: int) -> Definition:
    code = _load_code(forth, fields.state.get("code"))

    def control(item: object) -> list[Any]:
        if not isinstance(item, list | tuple) or not item or item[0] not in CONTROL_KINDS:
            raise fields.fault("control")
        places = Fields({"places": item[1:]}, "forth.definition").cells("places", CODE_LIMIT)
        if any(place >= len(code) + (item[0] == "begin") for place in places):
            raise fields.fault("control")
        if item[0] != "case" and len(places) != 1:
            raise fields.fault("control")
        return [item[0], *places]

    entries = fields.items("control", CODE_LIMIT, control)
    for before, entry in zip([["", 0], *entries], entries, strict=False):
        if entry[0] == "of" and before[0] != "case":
            raise fields.fault("control")
    for entry in entries:
        if entry[0] != "begin" and any(code[place][0] not in (TARGETS - {"loop", "+loop"}) for place in entry[1:]):
            raise fields.fault("control")
    return Definition(
        fields.text("name", NAME_LIMIT), fields.choice("kind", ("colon", "temporary")),
        fields.number("xt", 0, XT_LIMIT), code, entries, fields.text("source", SOURCE_LIMIT),
        fields.number("here", SPACE_BASE, end),
    )  # fmt: skip
