"""Structures: conditionals, loops, case, throws. Typed at the prompt they compile until they are closed, then run."""

from __future__ import annotations

from typing import Any

from emulator.firmware.forth import throw
from emulator.firmware.forth.machine import Definition, Forth, Frame
from emulator.firmware.forth.words import WordList

words = WordList("Conditionals and loops")


def _open(forth: Forth, name: str) -> Definition:
    """The definition a structure goes into; at the prompt a new one without name."""
    if forth.definition is not None and forth.compiling:
        return forth.definition
    if forth.definition is not None:
        raise throw.ThrowError(throw.COMPILE_ONLY, f"{name} while interpreting inside a definition")
    forth.definition = Definition("", "temporary", 0, here=forth.space.here)
    forth.compiling = True
    return forth.definition


def _current(forth: Forth) -> Definition:
    if forth.definition is None or not forth.compiling:
        raise throw.ThrowError(throw.COMPILE_ONLY, "Unstructured")
    return forth.definition


def _closed(forth: Forth, *kinds: str) -> list[Any]:
    """The innermost open structure, which must be of a kind. Raises ThrowError."""
    control = _current(forth).control
    if not control or control[-1][0] not in kinds:
        raise throw.ThrowError(throw.UNSTRUCTURED, "Unstructured")
    return control.pop()


def _patch(forth: Forth, place: int) -> None:
    """Let a jump compiled earlier lead here."""
    code = _current(forth).code
    code[place] = (code[place][0], len(code))


def _run_temporary(forth: Forth) -> None:
    """Run a structure typed at the prompt once it is complete."""
    definition = _current(forth)
    if definition.kind == "temporary" and not definition.control:
        forth.stop_compiling()
        forth.call_once(definition.code)


def _begin_jump(forth: Forth, name: str, operation: str) -> None:
    definition = _open(forth, name)
    definition.control.append([name, forth.compile(operation)])


@words("if", "( flag -- )", help="Do what follows if the flag is not 0", immediate=True)
def _if(forth: Forth) -> None:
    _begin_jump(forth, "if", "branch0")


@words("else", "( -- )", immediate=True)
def _else(forth: Forth) -> None:
    place = _closed(forth, "if")[1]
    _current(forth).control.append(["if", forth.compile("branch")])
    _patch(forth, place)


@words("then", "( -- )", help="End of if", immediate=True)
def _then(forth: Forth) -> None:
    _patch(forth, _closed(forth, "if", "while")[1])
    _run_temporary(forth)


@words("begin", "( -- )", help="Begin a loop", immediate=True)
def _begin(forth: Forth) -> None:
    definition = _open(forth, "begin")
    definition.control.append(["begin", len(definition.code)])


@words("again", "( -- )", help="Repeat for ever", immediate=True)
def _again(forth: Forth) -> None:
    forth.compile("branch", _closed(forth, "begin")[1])
    _run_temporary(forth)


@words("until", "( flag -- )", help="Repeat until the flag is not 0", immediate=True)
def _until(forth: Forth) -> None:
    forth.compile("branch0", _closed(forth, "begin")[1])
    _run_temporary(forth)


@words("while", "( flag -- )", help="Leave the loop if the flag is 0", immediate=True)
def _while(forth: Forth) -> None:
    start = _closed(forth, "begin")
    _current(forth).control += [["while", forth.compile("branch0")], start]


@words("repeat", "( -- )", help="Repeat from begin", immediate=True)
def _repeat(forth: Forth) -> None:
    forth.compile("branch", _closed(forth, "begin")[1])
    _patch(forth, _closed(forth, "while")[1])
    _run_temporary(forth)


@words("do", "( limit start -- )", help="Begin a counted loop", immediate=True)
def _do(forth: Forth) -> None:
    _begin_jump(forth, "do", "do")


@words("?do", "( limit start -- )", help="As do, but not at all where both are equal", immediate=True)
def _question_do(forth: Forth) -> None:
    _begin_jump(forth, "do", "?do")


def _end_loop(forth: Forth, operation: str) -> None:
    place = _closed(forth, "do")[1]
    forth.compile(operation, place + 1)
    _patch(forth, place)
    _run_temporary(forth)


@words("loop", "( -- )", help="End of do: add 1", immediate=True)
def _loop(forth: Forth) -> None:
    _end_loop(forth, "loop")


@words("+loop", "( n -- )", help="End of do: add n", immediate=True)
def _plus_loop(forth: Forth) -> None:
    _end_loop(forth, "+loop")


@words("case", "( x -- x )", immediate=True)
def _case(forth: Forth) -> None:
    _open(forth, "case").control.append(["case"])


@words("of", "( x y -- x | )", immediate=True)
def _of(forth: Forth) -> None:
    control = _current(forth).control
    if not control or control[-1][0] != "case":
        raise throw.ThrowError(throw.UNSTRUCTURED, "Unstructured")
    control.append(["of", forth.compile("of")])


@words("endof", "( -- )", immediate=True)
def _endof(forth: Forth) -> None:
    place = _closed(forth, "of")[1]
    _current(forth).control[-1].append(forth.compile("branch"))
    _patch(forth, place)


@words("endcase", "( x -- )", immediate=True)
def _endcase(forth: Forth) -> None:
    places = _closed(forth, "case")[1:]
    forth.compile("word", forth.dictionary.builtins.xt("drop"))
    for place in places:
        _patch(forth, place)
    _run_temporary(forth)


@words("exit", "( -- )", help="Leave the definition", immediate=True)
def _exit(forth: Forth) -> None:
    if forth.compiling:
        forth.compile("exit")
    else:
        frame = forth.source()
        frame.place = len(frame.text)


@words("catch", "( ... xt -- ... 0 | error )", help="Run a word; the number of its throw")
def _catch(forth: Forth) -> None:
    xt = forth.pop()
    forth.call(Frame("catch", place=len(forth.stack)))
    forth.call_once([("word", xt)])


@words("throw", "( n -- )", help="Leave all up to the last catch, unless n is 0")
def _throw(forth: Forth) -> None:
    number = forth.pop_signed()
    if number:
        message = forth.abort_text if number in (throw.ABORT_TEXT, throw.UNDEFINED) else ""
        raise throw.ThrowError(number, message)


@words("abort", "( -- )", help="Give up the line")
def _abort(forth: Forth) -> None:
    raise throw.ThrowError(throw.ABORT)


@words("quit", "( -- )", help="Back to the prompt")
def _quit(forth: Forth) -> None:
    raise throw.ThrowError(throw.ABORT)


@words('abort"', '( flag -- ) text"', help="Give up with a text if the flag is not 0", immediate=True)
def _abort_quote(forth: Forth) -> None:
    text = forth.parse('"')
    if forth.compiling:
        forth.compile("abort", text)
    elif forth.pop():
        raise throw.abort(text)
