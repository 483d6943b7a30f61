"""Words that define words, and words about words."""

from __future__ import annotations

from emulator.firmware.forth import throw
from emulator.firmware.forth.cells import MASK, TRUE
from emulator.firmware.forth.dictionary import NAME_LIMIT, UserWord
from emulator.firmware.forth.machine import Definition, Forth, assign
from emulator.firmware.forth.words import Builtin, WordList

words = WordList("Defining new commands")
BUFFER_LIMIT = 128 << 10
INTERNAL = ("(dump)", "(boot)")
"""Words that continue others, and are of no use by themselves."""


def _new_name(forth: Forth) -> str:
    """The name of a word to be made. Raises ThrowError."""
    name = forth.name().lower()
    if len(name) > NAME_LIMIT:
        raise throw.abort("Name too long")
    if forth.dictionary.find(name) is not None:
        forth.emit(f"{name} isn't unique ")
    return name


def _define(forth: Forth, kind: str, value: int, source: str) -> UserWord:
    """A new word of the next name; `source` is the defining word, as ``see`` shows it."""
    here = forth.space.here
    name = _new_name(forth)
    word = UserWord(name, kind, forth.dictionary.new_xt(), value, here=here, source=f"{source} {name}")
    forth.dictionary.add(word)
    return word


@words(":", "( -- ) name", help="Begin the definition of a new command", immediate=True)
def _colon(forth: Forth) -> None:
    if forth.definition is not None:
        raise throw.abort("Definition inside a definition")
    name = _new_name(forth)
    definition = Definition(name, "colon", forth.dictionary.new_xt(), here=forth.space.here, source=f": {name} ")
    forth.definition = definition
    forth.compiling = True


@words(":noname", "( -- xt )", help="Begin a definition without a name", immediate=True)
def _noname(forth: Forth) -> None:
    if forth.definition is not None:
        raise throw.abort("Definition inside a definition")
    forth.definition = Definition("", "colon", forth.dictionary.new_xt(), here=forth.space.here, source=":noname ")
    forth.compiling = True


@words(";", "( -- )", help="End of a definition", immediate=True)
def _semicolon(forth: Forth) -> None:
    definition = forth.definition
    if definition is None or definition.kind != "colon":
        raise throw.ThrowError(throw.COMPILE_ONLY, "; outside of a definition")
    if definition.control:
        raise throw.ThrowError(throw.UNSTRUCTURED, "Unstructured")
    code = forth.dictionary.add_code(definition.code)
    word = UserWord(definition.name, "colon", definition.xt, code=code, here=definition.here)
    forth.stop_compiling()
    forth.dictionary.add(word)
    if not definition.name:
        forth.push(definition.xt)


@words("constant", "( n -- ) name", help="A word that pushes a number")
def _constant(forth: Forth) -> None:
    value = forth.pop()
    _define(forth, "constant", value, f"{value:x} constant")


@words("value", "( n -- ) name", help="As constant, but `to` changes it")
def _value(forth: Forth) -> None:
    _define(forth, "value", forth.pop(), "value")


@words("variable", "( -- ) name", help="A word that pushes the address of a cell")
def _variable(forth: Forth) -> None:
    word = _define(forth, "variable", 0, "variable")
    forth.space.align()
    word.value = forth.space.allot(8)


@words("create", "( -- ) name", help="A word that pushes the address behind it")
def _create(forth: Forth) -> None:
    word = _define(forth, "create", 0, "create")
    forth.space.align()
    word.value = forth.space.here


@words("buffer:", "( len -- ) name", help="A word that pushes the address of a buffer")
def _buffer(forth: Forth) -> None:
    length = forth.pop()
    if length > BUFFER_LIMIT:
        raise throw.ThrowError(throw.DICTIONARY_FULL, "Dictionary overflow")
    word = _define(forth, "create", 0, f"{length:x} buffer:")
    forth.space.align()
    word.value = forth.space.allot(length)


@words("struct", "( -- 0 )", help="Begin a list of fields")
def _struct(forth: Forth) -> None:
    forth.push(0)


@words("field", "( offset size -- offset' ) name", help="A word that adds an offset")
def _field(forth: Forth) -> None:
    offset, size = forth.pops(2)
    word = _define(forth, "colon", 0, f"{offset:x} {size:x} field")
    code = [("literal", offset), ("word", forth.dictionary.builtins.xt("+"))]
    word.code = forth.dictionary.add_code(code)
    forth.push(offset + size)


@words("defer", "( -- ) name", help="A word whose action `to` sets")
def _defer(forth: Forth) -> None:
    _define(forth, "defer", forth.dictionary.builtins.xt("noop"), "defer")


@words("alias", "( -- ) new old", help="A second name for a word")
def _alias(forth: Forth) -> None:
    here, name = forth.space.here, _new_name(forth)
    entry = forth.find_name()
    word = UserWord(name, "alias", forth.dictionary.new_xt(), forth.dictionary.xt(entry), here=here,
                    immediate=entry.immediate, source=f"alias {name} {entry.name}")  # fmt: skip
    forth.dictionary.add(word)


def _assign_next(forth: Forth) -> None:
    entry = forth.find_name()
    if forth.compiling:
        forth.compile("to", forth.dictionary.xt(entry))
    else:
        assign(forth, entry)


words("to", "( n -- ) name", help="Change a value or defer", immediate=True)(_assign_next)
words("is", "( n -- ) name", immediate=True)(_assign_next)


@words("immediate", "( -- )", help="Let the newest word run while compiling")
def _immediate(forth: Forth) -> None:
    if not forth.dictionary.words:
        raise throw.abort("No word defined")
    forth.dictionary.words[-1].immediate = True


@words("[", "( -- )", help="Interpret inside a definition", immediate=True)
def _left_bracket(forth: Forth) -> None:
    forth.compiling = False


@words("]", "( -- )", help="Compile again")
def _right_bracket(forth: Forth) -> None:
    if forth.definition is None:
        raise throw.ThrowError(throw.COMPILE_ONLY, "] outside of a definition")
    forth.compiling = True


@words("literal", "( n -- )", help="Compile a number", immediate=True)
def _literal(forth: Forth) -> None:
    forth.compile("literal", forth.pop())


@words("recurse", "( -- )", help="Call the definition itself", immediate=True)
def _recurse(forth: Forth) -> None:
    if forth.definition is None or forth.definition.kind != "colon":
        raise throw.ThrowError(throw.COMPILE_ONLY, "recurse outside of a definition")
    forth.compile("word", forth.definition.xt)


@words("compile", "( -- ) name", immediate=True)
def _compile(forth: Forth) -> None:
    forth.compile("compile", forth.dictionary.xt(forth.find_name()))


@words("[compile]", "( -- ) name", immediate=True)
def _bracket_compile(forth: Forth) -> None:
    forth.compile("word", forth.dictionary.xt(forth.find_name()))


@words("postpone", "( -- ) name", immediate=True)
def _postpone(forth: Forth) -> None:
    entry = forth.find_name()
    forth.compile("word" if entry.immediate else "compile", forth.dictionary.xt(entry))


@words("compile,", "( xt -- )")
def _compile_comma(forth: Forth) -> None:
    forth.compile("word", forth.pop())


@words("does>", "( -- )", help="What the words made by a defining word do", immediate=True)
def _does(forth: Forth) -> None:
    forth.compile("does")


@words("'", "( -- xt ) name", help="Execution token of a word")
def _tick(forth: Forth) -> None:
    forth.push(forth.dictionary.xt(forth.find_name()))


@words("[']", "( -- xt ) name", immediate=True)
def _bracket_tick(forth: Forth) -> None:
    forth.literal(forth.dictionary.xt(forth.find_name()))


@words("execute", "( ... xt -- ... )", help="Run the word of a token")
def _execute(forth: Forth) -> None:
    forth.execute_xt(forth.pop())


@words(">body", "( xt -- addr )")
def _to_body(forth: Forth) -> None:
    entry = forth.dictionary.of_xt(forth.pop())
    if not isinstance(entry, UserWord) or entry.kind not in ("variable", "create"):
        raise throw.abort("No body")
    forth.push(entry.value)


@words("behavior", "( xt1 -- xt2 )", help="Action of a deferred word")
def _behavior(forth: Forth) -> None:
    entry = forth.dictionary.of_xt(forth.pop())
    if not isinstance(entry, UserWord) or entry.kind != "defer":
        raise throw.abort("Not a deferred word")
    forth.push(entry.value)


@words("$find", "( addr len -- xt immediate? true | addr len false )")
def _find(forth: Forth) -> None:
    address, length = forth.pops(2)
    entry = forth.dictionary.find(forth.space.read_bytes(address, length).decode("latin-1"))
    if entry is None:
        forth.push(address, length, 0)
    else:
        forth.push(forth.dictionary.xt(entry), 1 if entry.immediate else MASK)


@words("find", "( pstr -- xt n | pstr 0 )")
def _find_packed(forth: Forth) -> None:
    address = forth.pop()
    name = forth.space.read_bytes(address + 1, forth.space.read(address, 1)).decode("latin-1")
    entry = forth.dictionary.find(name)
    if entry is None:
        forth.push(address, 0)
    else:
        forth.push(forth.dictionary.xt(entry), 1 if entry.immediate else TRUE)


@words("forget", "( -- ) name", help="Forget a word and all newer ones")
def _forget(forth: Forth) -> None:
    entry = forth.find_name()
    if not isinstance(entry, UserWord):
        raise throw.abort(f"Can't forget {entry.name}")
    forth.dictionary.forget(entry)
    forth.space.allot(entry.here - forth.space.here)


@words("see", "( -- ) name", help="Show the definition of a word")
def _see(forth: Forth) -> None:
    entry = forth.find_name()
    forth.fresh_line()
    if isinstance(entry, Builtin):
        forth.emit(f"code {entry.name} {entry.effect}\n")
        return
    tail = " immediate" if entry.immediate and entry.kind == "colon" else ""
    head = f"{entry.value:x} " if entry.kind == "value" else ""
    forth.emit(f"{head}{entry.source}{tail}\n")
    if entry.kind == "defer":
        target = forth.dictionary.of_xt(entry.value)
        forth.emit(f"' {target.name if target else '?'} to {entry.name}\n")


def columns(forth: Forth, names: list[str]) -> None:
    """Names in columns, as OpenBoot's ``words``: stops at every 14 characters, lines of 64."""
    forth.fresh_line()
    for name in names:
        if forth.column:
            start = -(-forth.column // 14) * 14
            if start + len(name) > 64:
                forth.emit("\n")
            else:
                forth.emit(" " * (start - forth.column))
        forth.emit(name + " ")


def names_of(forth: Forth) -> list[str]:
    """Every name that can be found, newest first, without the insides of other words."""
    seen: dict[str, None] = {}
    for word in reversed(forth.dictionary.words):
        if word.name:
            seen.setdefault(word.name)
    for name in reversed(forth.dictionary.builtins.by_name):
        seen.setdefault(name)
    return [name for name in seen if name not in INTERNAL]


@words("words", "( -- )", help="Names of all commands")
def _words(forth: Forth) -> None:
    columns(forth, names_of(forth))


@words("sifting", "( -- ) text", help="Names of the commands that contain a text")
def _sifting(forth: Forth) -> None:
    text = forth.name().lower()
    columns(forth, [name for name in names_of(forth) if text in name])
