"""The virtual machine: stacks, frames, the text interpreter, and running in steps.

A program is a stack of frames: text being interpreted, code being run, a ``catch``. One step is one word of a text or
one instruction of code, and between two steps the machine is data: it can be saved, stopped, or left waiting for a key.
Nothing recurses on the host's stack.

Source: IEEE 1275-1994, annex A and 2.4; the behaviour at errors is OpenBoot's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.firmware.forth import cells, throw
from emulator.firmware.forth.dictionary import CODE_LIMIT, Definition, Dictionary, Entry, Instruction, UserWord
from emulator.firmware.forth.space import BASE_CELL, BYTES_PER_STEP, STATE_CELL, GuestMemory, Space
from emulator.firmware.forth.words import Builtin, Builtins

STACK_CELLS = 1024
FRAMES = 512
LOCAL_CELLS = 1024
"""Cells that one frame may keep by ``>r``."""
SOURCE_LIMIT = 64 << 10
COLUMN_LIMIT = 1 << 20
CHARACTER_BYTES = 64
"""Bytes of memory that cost as much as one character of output."""


@dataclass
class Loop:
    """A running ``do``: its index, its limit, and where its code ends."""

    index: int
    limit: int
    end: int


@dataclass
class Frame:
    """What runs. `kind`: ``code`` (number `code`, next instruction `place`), ``source`` (`text` from `place`),
    ``catch`` (`place` is the stack depth to restore), ``guard`` (errors above it are printed and end there), ``hook``
    (`text` names the host's function to call).
    """

    kind: str
    place: int = 0
    code: int = -1
    text: str = ""
    locals: list[int | Loop] = field(default_factory=list)


class Forth:
    """One Forth. `write` gets its output; `hooks` are functions that frames of kind ``hook`` call by name.

    `permitted` is asked before every word of a typed line, and throws where it may not run.
    """

    def __init__(self, builtins: Builtins, guest: GuestMemory, write: Callable[[str], None]) -> None:
        self.dictionary = Dictionary(builtins)
        self.space = Space(guest)
        self.space.set_cell(BASE_CELL, 16)
        self.write = write
        self.hooks: dict[str, Callable[[], None]] = {}
        self.permitted: Callable[[str], None] = lambda name: None
        self.stack: list[int] = []
        self.frames: list[Frame] = []
        self.definition: Definition | None = None
        self.keys: list[int] = []
        self.column = 0
        self.picture = b""
        self.abort_text = ""
        self.uncaught = 0
        self.line_stack: list[int] = []
        self.interrupted = False
        self.paused = False
        self.waiting = False

    # Stacks

    def push(self, *values: int) -> None:
        """Push cells, the last one to the top. Raises ThrowError."""
        stack = self.stack
        if len(stack) + len(values) > STACK_CELLS:
            raise throw.ThrowError(throw.STACK_OVERFLOW, "Stack Overflow")
        for value in values:
            stack.append(value & cells.MASK)

    def pop(self) -> int:
        """The top cell. Raises ThrowError."""
        if not self.stack:
            raise throw.underflow()
        return self.stack.pop()

    def pops(self, count: int) -> list[int]:
        """The top cells, the deepest first. Raises ThrowError."""
        if len(self.stack) < count:
            raise throw.underflow()
        if not count:
            return []
        out = self.stack[-count:]
        del self.stack[-count:]
        return out

    def pop_signed(self) -> int:
        """The top cell as a signed number."""
        return cells.signed(self.pop())

    def pop_string(self) -> bytes:
        """The string whose (address, length) is on top. Raises ThrowError."""
        address, length = self.pops(2)
        return self.space.read_bytes(address, length)

    def push_string(self, text: bytes) -> None:
        """(address, length) of a string that lives for a few more strings."""
        self.push(*self.space.temporary(text))

    @property
    def base(self) -> int:
        """Number base of input and output."""
        return self.space.cell(BASE_CELL)

    @base.setter
    def base(self, value: int) -> None:
        self.space.set_cell(BASE_CELL, value & cells.MASK)

    @property
    def compiling(self) -> bool:
        """Are words compiled, not run?"""
        return self.space.cell(STATE_CELL) != 0 and self.definition is not None

    @compiling.setter
    def compiling(self, value: bool) -> None:
        self.space.set_cell(STATE_CELL, cells.flag(value))

    # Output

    def emit(self, text: str) -> None:
        """Write text; a newline becomes CR LF on the terminal."""
        for character in text:
            if character in "\n\r":
                self.column = 0
            elif character == "\b":
                self.column = max(self.column - 1, 0)
            elif character >= " ":
                self.column = min(self.column + 1, COLUMN_LIMIT)
        self.space.work += len(text) * CHARACTER_BYTES
        self.write(text)

    def fresh_line(self) -> None:
        """Begin a new line unless at the start of one."""
        if self.column:
            self.emit("\n")

    def to_column(self, column: int) -> None:
        """Spaces up to a column; at least one."""
        self.emit(" " * max(column - self.column, 1))

    # Input

    def key(self) -> int:
        """The next key typed. Raises NeedKeyError: the step will be tried again."""
        if not self.keys:
            raise throw.NeedKeyError
        return self.keys.pop(0)

    def source(self) -> Frame:
        """The text being interpreted, which parsing words read on. Raises ThrowError where there is none."""
        for frame in reversed(self.frames):
            if frame.kind == "source":
                return frame
        raise throw.abort("No input")

    def parse_word(self) -> str:
        """The next word of the text: up to white space; "" at its end."""
        frame = self.source()
        text, start = frame.text, frame.place
        while start < len(text) and text[start] <= " ":
            start += 1
        end = start
        while end < len(text) and text[end] > " ":
            end += 1
        frame.place = min(end + 1, len(text))
        return text[start:end]

    def parse(self, delimiter: str) -> str:
        """The text up to a delimiter, or up to the end of the line where that is "" or not found."""
        frame = self.source()
        stop = delimiter or "\n"
        end = frame.text.find(stop, frame.place)
        end = len(frame.text) if end < 0 else end
        out = frame.text[frame.place : end]
        frame.place = min(end + 1, len(frame.text))
        return out

    def name(self) -> str:
        """The next word, which must be there. Raises ThrowError."""
        word = self.parse_word()
        if not word:
            raise throw.abort("Missing name")
        return word

    def find_name(self) -> Entry:
        """The next word's entry. Raises ThrowError."""
        name = self.name()
        entry = self.dictionary.find(name)
        if entry is None:
            raise throw.undefined(name)
        return entry

    # Programs

    def call(self, frame: Frame) -> None:
        """Put a frame on top. Raises ThrowError."""
        if len(self.frames) >= FRAMES:
            raise throw.ThrowError(throw.RETURN_OVERFLOW, "Return Stack Overflow")
        self.frames.append(frame)

    def evaluate(self, text: str) -> None:
        """Interpret a text, then go on with what runs now. Raises ThrowError."""
        self.call(Frame("source", text=text[:SOURCE_LIMIT]))

    def start_line(self, text: str) -> None:
        """Interpret a line that was typed: errors restore the stack as it is now."""
        self.line_stack = list(self.stack)
        self.space.work = 0
        self.evaluate(text)

    def execute(self, entry: Entry) -> None:
        """Run a word: at once if it is built in, else by a frame. Raises ThrowError."""
        for _ in range(FRAMES):
            if isinstance(entry, Builtin):
                entry.handler(self)
                return
            if entry.kind not in ("defer", "alias"):
                break
            target = self.dictionary.of_xt(entry.value)
            if target is None:
                raise throw.abort("Invalid execution token")
            entry = target
        if not isinstance(entry, UserWord) or entry.kind in ("defer", "alias"):
            raise throw.abort("Deferred words in a circle")
        if entry.kind == "colon":
            self.call(Frame("code", code=entry.code))
            return
        self.push(entry.value)
        if entry.code >= 0:
            self.call(Frame("code", place=entry.start, code=entry.code))

    def execute_xt(self, xt: int) -> None:
        """Run the word of a token. Raises ThrowError."""
        entry = self.dictionary.of_xt(xt)
        if entry is None:
            raise throw.abort("Invalid execution token")
        self.execute(entry)

    def call_builtin(self, name: str) -> None:
        """Run a built-in word by a frame, so that it can be tried again for a key, or ask to be."""
        self.call_once([("word", self.dictionary.builtins.xt(name))])

    def call_once(self, code: list[Instruction]) -> None:
        """Run code that has no word; it is gone afterwards. Raises ThrowError."""
        number = self.dictionary.add_code(code)
        self.dictionary.temporary.add(number)
        self.call(Frame("code", code=number))

    def compile(self, operation: str, argument: object = 0) -> int:
        """Add an instruction; its place. Raises ThrowError."""
        if self.definition is None:
            raise throw.ThrowError(throw.COMPILE_ONLY, "Only while compiling")
        if len(self.definition.code) >= CODE_LIMIT:
            raise throw.ThrowError(throw.DICTIONARY_FULL, "Dictionary overflow")
        self.definition.code.append((operation, argument))
        return len(self.definition.code) - 1

    def literal(self, value: int) -> None:
        """A number in the text: push it, or compile it."""
        if self.compiling:
            self.compile("literal", value & cells.MASK)
        else:
            self.push(value)

    def _interpret(self, frame: Frame) -> None:
        """One word of a text."""
        start, definition = frame.place, self.definition
        word = self.parse_word()
        if not word:
            if definition is not None and frame.text:
                self._note_source(definition, frame.text[start:] + "\n")
            self.frames.pop()
            return
        if frame is self.frames[0]:
            self.permitted(word)
        entry = self.dictionary.find(word)
        if entry is not None:
            if self.compiling and not entry.immediate:
                self.compile("word", self.dictionary.xt(entry))
            else:
                self.execute(entry)
        else:
            self._number(word)
        if definition is not None:
            self._note_source(definition, frame.text[start : frame.place])
            words = self.dictionary.words
            if self.definition is None and words and words[-1].xt == definition.xt:
                words[-1].source = definition.source.strip()

    @staticmethod
    def _note_source(definition: Definition, text: str) -> None:
        """Keep what a definition was typed as, as far as there is room."""
        definition.source += text[: max(SOURCE_LIMIT - len(definition.source), 0)]

    def _number(self, word: str) -> None:
        """A word that is not in the dictionary."""
        found = cells.number(word, self.base)
        if found is not None:
            for value in found:
                self.literal(value)
        elif self.compiling:
            self.fresh_line()
            self.emit(f"{word} ?\n")
            self.compile("lose", word)
        else:
            raise throw.undefined(word)

    def step(self) -> None:
        """One word of a text, or one instruction. Raises ThrowError, NeedKeyError."""
        frame = self.frames[-1]
        if frame.kind == "source":
            self._interpret(frame)
        elif frame.kind == "code":
            code = self.dictionary.codes.get(frame.code)
            if code is None or frame.place >= len(code):
                self.leave_code(frame)
                return
            operation, argument = code[frame.place]
            frame.place += 1
            OPERATIONS[operation](self, frame, argument)
        else:
            self.frames.pop()
            if frame.kind == "catch":
                self.push(0)
            elif frame.kind == "hook":
                self.hooks[frame.text]()

    def leave_code(self, frame: Frame) -> None:
        """Return from code, which is the top frame."""
        self.frames.pop()
        self.dictionary.release(frame.code)

    def run(self, steps: int) -> int:
        """Run up to `steps` steps; how many are left. Ends early when nothing runs, at a pause, for want of a key.

        Much memory or output costs more than one step, so that a run takes about as long whatever it does.
        """
        self.waiting = False
        while self.frames and steps > 0 and not self.paused:
            steps -= 1
            frame = self.frames[-1]
            place = frame.place
            try:
                if self.interrupted:
                    self.interrupted = False
                    raise throw.ThrowError(throw.INTERRUPT, "Interrupted")
                self.step()
            except throw.NeedKeyError:
                frame.place = place
                self.waiting = True
                break
            except throw.ThrowError as error:
                self.unwind(error)
            if self.space.work >= BYTES_PER_STEP:
                steps -= self.space.work // BYTES_PER_STEP
                self.space.work %= BYTES_PER_STEP
        return max(steps, 0)

    def again(self) -> None:
        """Let the instruction that runs now run once more: long work in small steps."""
        self.frames[-1].place -= 1

    def unwind(self, error: throw.ThrowError) -> None:
        """Hand a throw to the innermost ``catch``; without one print it and end the line."""
        while self.frames:
            frame = self.frames.pop()
            self.dictionary.release(frame.code)
            if frame.kind == "catch" and error.number > throw.TRAP:
                self.abort_text = error.message
                self._restore(frame.place, self.stack)
                self.push(error.number)
                return
            if frame.kind == "guard":
                break
        self.uncaught = error.number
        self.stop_compiling()
        if error.number in (throw.STACK_UNDERFLOW, throw.STACK_OVERFLOW):
            self.stack.clear()
        else:
            self._restore(len(self.line_stack), self.line_stack)
        self.fresh_line()
        self.emit(throw.uncaught_text(error))

    def _restore(self, depth: int, former: list[int]) -> None:
        """Make the stack `depth` cells deep; cells that are missing are the former ones, or 0."""
        kept = self.stack[:depth]
        kept += former[len(kept) : depth]
        self.stack = kept + [0] * (depth - len(kept))

    def stop_compiling(self) -> None:
        """Give up the definition that is open."""
        self.definition = None
        self.compiling = False


def _do_word(forth: Forth, frame: Frame, xt: int) -> None:
    builtin = forth.dictionary.builtins.of_xt(xt)
    if builtin is not None:
        builtin.handler(forth)
    else:
        forth.execute_xt(xt)


def _do_literal(forth: Forth, frame: Frame, value: int) -> None:
    forth.push(value)


def _do_branch(forth: Forth, frame: Frame, target: int) -> None:
    frame.place = target


def _do_branch0(forth: Forth, frame: Frame, target: int) -> None:
    if not forth.pop():
        frame.place = target


def _do_of(forth: Forth, frame: Frame, target: int) -> None:
    value = forth.pop()
    if not forth.stack:
        raise throw.underflow()
    if forth.stack[-1] == value:
        forth.pop()
    else:
        frame.place = target


def _do_do(forth: Forth, frame: Frame, end: int) -> None:
    limit, index = forth.pops(2)
    keep(frame, Loop(index, limit, end))


def _do_qdo(forth: Forth, frame: Frame, end: int) -> None:
    limit, index = forth.pops(2)
    if limit == index:
        frame.place = end
    else:
        keep(frame, Loop(index, limit, end))


def _do_loop(forth: Forth, frame: Frame, start: int) -> None:
    _advance(frame, 1, start)


def _do_plus_loop(forth: Forth, frame: Frame, start: int) -> None:
    _advance(frame, forth.pop_signed(), start)


def _advance(frame: Frame, step: int, start: int) -> None:
    """End a loop's turn: it is over when the index crosses the line between limit - 1 and limit."""
    loop = frame.locals[-1] if frame.locals else None
    if not isinstance(loop, Loop):
        raise throw.ThrowError(throw.RETURN_UNDERFLOW, "Return Stack Imbalance")
    before = (loop.index - loop.limit) & cells.MASK
    loop.index = (loop.index + step) & cells.MASK
    after = (before + step) & cells.MASK
    if (before ^ after) & (before ^ step) & cells.SIGN:
        frame.locals.pop()
    else:
        frame.place = start


def _do_lose(forth: Forth, frame: Frame, name: str) -> None:
    raise throw.abort("Undefined word encountered ")


def _do_abort(forth: Forth, frame: Frame, text: str) -> None:
    if forth.pop():
        raise throw.abort(text)


def _do_exit(forth: Forth, frame: Frame, argument: int) -> None:
    forth.leave_code(frame)


def _do_does(forth: Forth, frame: Frame, argument: int) -> None:
    if not forth.dictionary.words or forth.dictionary.words[-1].kind != "create":
        raise throw.abort("does> without create")
    word = forth.dictionary.words[-1]
    word.code, word.start = frame.code, frame.place
    forth.leave_code(frame)


def _do_to(forth: Forth, frame: Frame, xt: int) -> None:
    assign(forth, forth.dictionary.of_xt(xt))


def _do_compile(forth: Forth, frame: Frame, xt: int) -> None:
    forth.compile("word", xt)


OPERATIONS: dict[str, Callable[[Forth, Frame, int], None] | Callable[[Forth, Frame, str], None]] = {
    "word": _do_word, "literal": _do_literal, "branch": _do_branch, "branch0": _do_branch0, "of": _do_of,
    "do": _do_do, "?do": _do_qdo, "loop": _do_loop, "+loop": _do_plus_loop, "lose": _do_lose, "abort": _do_abort,
    "exit": _do_exit, "does": _do_does, "to": _do_to, "compile": _do_compile,
}  # fmt: skip
TARGETS = {"branch", "branch0", "of", "do", "?do", "loop", "+loop"}
"""Operations whose argument is a place in the code."""
TEXTS = {"lose", "abort"}
"""Operations whose argument is a text."""


def keep(frame: Frame, value: int | Loop) -> None:
    """Put a cell or loop on the frame's part of the return stack. Raises ThrowError."""
    if len(frame.locals) >= LOCAL_CELLS:
        raise throw.ThrowError(throw.RETURN_OVERFLOW, "Return Stack Overflow")
    frame.locals.append(value)


def innermost_loop(frame: Frame, level: int = 0) -> Loop:
    """The loop a frame is in; level 1: the one around it. Raises ThrowError."""
    loops = [value for value in frame.locals if isinstance(value, Loop)]
    if len(loops) <= level:
        raise throw.ThrowError(throw.RETURN_UNDERFLOW, "Not in a do loop")
    return loops[-1 - level]


def assign(forth: Forth, entry: Entry | None) -> None:
    """Give a value, defer, constant or variable a new value from the stack (``to``). Raises ThrowError."""
    value = forth.pop()
    if not isinstance(entry, UserWord) or entry.kind not in ("value", "constant", "defer", "variable"):
        raise throw.abort("Can't change that word")
    if entry.kind == "variable":
        forth.space.write(entry.value, 8, value)
    elif entry.kind == "defer" and forth.dictionary.of_xt(value) is None:
        raise throw.abort("Invalid execution token")
    else:
        entry.value = value


__all__ = ["Definition", "Forth", "Frame", "Loop"]
