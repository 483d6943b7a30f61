"""Words of the two stacks."""

from __future__ import annotations

from emulator.firmware.forth import throw
from emulator.firmware.forth.machine import STACK_CELLS, Forth, Loop, innermost_loop, keep
from emulator.firmware.forth.words import Handler, WordList

words = WordList("Stack")


def _shuffle(effect: str) -> Handler:
    """A handler that does what a stack effect in one-letter names says: ``ab-ba`` swaps."""
    before, after = effect.split("-")
    order = [before.index(letter) for letter in after]

    def handler(forth: Forth) -> None:
        values = forth.pops(len(before))
        forth.push(*(values[index] for index in order))

    return handler


SHUFFLES = {
    "drop": "a-", "dup": "a-aa", "swap": "ab-ba", "over": "ab-aba", "rot": "abc-bca", "-rot": "abc-cab", "nip": "ab-b",
    "tuck": "ab-bab", "2drop": "ab-", "3drop": "abc-", "2dup": "ab-abab", "3dup": "abc-abcabc", "2swap": "abcd-cdab",
    "2over": "abcd-abcdab", "2rot": "abcdef-cdefab", "noop": "-",
}  # fmt: skip
for _name, _effect in SHUFFLES.items():
    _before, _after = _effect.split("-")
    words(_name, f"( {' '.join(_before)} -- {' '.join(_after)} )".replace("  ", " "))(_shuffle(_effect))


@words("?dup", "( x -- 0 | x x )")
def _question_dup(forth: Forth) -> None:
    value = forth.pop()
    forth.push(*([value, value] if value else [value]))


@words("depth", "( -- u )", help="Number of cells on the stack")
def _depth(forth: Forth) -> None:
    forth.push(len(forth.stack))


@words("clear", "( ... -- )", help="Empty the stack")
def _clear(forth: Forth) -> None:
    forth.stack.clear()


@words("pick", "( xu ... x0 u -- xu ... x0 xu )")
def _pick(forth: Forth) -> None:
    place = forth.pop()
    if place >= len(forth.stack):
        raise throw.underflow()
    forth.push(forth.stack[-1 - place])


@words("roll", "( xu ... x0 u -- ... x0 xu )")
def _roll(forth: Forth) -> None:
    place = forth.pop()
    if place >= min(len(forth.stack), STACK_CELLS):
        raise throw.underflow()
    forth.push(forth.stack.pop(-1 - place))


@words(">r", "( x -- ) ( R: -- x )")
def _to_r(forth: Forth) -> None:
    keep(forth.frames[-1], forth.pop())


def _taken(forth: Forth, *, remove: bool) -> int:
    kept = forth.frames[-1].locals
    if not kept or isinstance(kept[-1], Loop):
        raise throw.ThrowError(throw.RETURN_UNDERFLOW, "Return Stack Underflow")
    value = kept.pop() if remove else kept[-1]
    assert isinstance(value, int)
    return value


@words("r>", "( -- x ) ( R: x -- )")
def _r_from(forth: Forth) -> None:
    forth.push(_taken(forth, remove=True))


@words("r@", "( -- x ) ( R: x -- x )")
def _r_fetch(forth: Forth) -> None:
    forth.push(_taken(forth, remove=False))


@words("2>r", "( x1 x2 -- ) ( R: -- x1 x2 )")
def _two_to_r(forth: Forth) -> None:
    for value in forth.pops(2):
        keep(forth.frames[-1], value)


@words("2r>", "( -- x1 x2 ) ( R: x1 x2 -- )")
def _two_r_from(forth: Forth) -> None:
    second = _taken(forth, remove=True)
    forth.push(_taken(forth, remove=True), second)


@words("i", "( -- index )", help="Index of the do loop")
def _i(forth: Forth) -> None:
    forth.push(innermost_loop(forth.frames[-1]).index)


@words("j", "( -- index )", help="Index of the loop around")
def _j(forth: Forth) -> None:
    forth.push(innermost_loop(forth.frames[-1], 1).index)


@words("unloop", "( -- )")
def _unloop(forth: Forth) -> None:
    frame = forth.frames[-1]
    frame.locals.remove(innermost_loop(frame))


@words("leave", "( -- )", help="Leave the do loop")
def _leave(forth: Forth) -> None:
    frame = forth.frames[-1]
    loop = innermost_loop(frame)
    while frame.locals.pop() is not loop:
        pass
    frame.place = loop.end


@words("?leave", "( flag -- )")
def _question_leave(forth: Forth) -> None:
    if forth.pop():
        _leave(forth)
