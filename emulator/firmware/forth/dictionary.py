"""The dictionary: the words people define, their code and where they are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emulator.firmware.forth import throw
from emulator.firmware.forth.words import USER_XT_BASE, XT_STEP, Builtin, Builtins

NAME_LIMIT = 31
WORD_LIMIT = 4096
CODE_LIMIT = 8192
"""Instructions of one definition."""

Instruction = tuple[str, Any]
"""(operation, argument): the operations are in `emulator.firmware.forth.machine`."""
KINDS = ("colon", "constant", "value", "variable", "create", "defer", "alias")


@dataclass(eq=False)
class UserWord:
    """A defined word. `value`: a constant's or value's cell, a variable's address, the token of a defer or alias.

    `code` is the number of its code, -1 where it has none; of a created word the code behind ``does>``, from `start`.
    `here` is the data space's end before it was defined.
    """

    name: str
    kind: str
    xt: int
    value: int = 0
    code: int = -1
    start: int = 0
    immediate: bool = False
    source: str = ""
    here: int = 0


Entry = Builtin | UserWord


@dataclass
class Definition:
    """A definition being compiled. `control` is its stack of open structures: [word, numbers...]."""

    name: str
    kind: str
    xt: int
    code: list[Instruction] = field(default_factory=list)
    control: list[list[Any]] = field(default_factory=list)
    source: str = ""
    here: int = 0
    value: int = 0


class Dictionary:
    """User-defined words over the built-in ones. Newest first in every search; names are lower-case."""

    def __init__(self, builtins: Builtins) -> None:
        self.builtins = builtins
        self.words: list[UserWord] = []
        self.codes: dict[int, list[Instruction]] = {}
        self.temporary: set[int] = set()
        self.next_code = 0
        self.next_xt = USER_XT_BASE
        self.index: dict[str, list[UserWord]] = {}
        self.by_xt: dict[int, UserWord] = {}

    def find(self, name: str) -> Entry | None:
        """The newest word of a name."""
        name = name.lower()
        found = self.index.get(name)
        return found[-1] if found else self.builtins.by_name.get(name)

    def of_xt(self, xt: int) -> Entry | None:
        """The word of an execution token."""
        return self.by_xt.get(xt) or self.builtins.of_xt(xt)

    def xt(self, entry: Entry) -> int:
        """Execution token of a word."""
        return entry.xt if isinstance(entry, UserWord) else self.builtins.xt(entry.name)

    def new_xt(self) -> int:
        """A token that no word had."""
        self.next_xt += XT_STEP
        return self.next_xt - XT_STEP

    def add(self, word: UserWord) -> None:
        """Make a word findable. Raises ThrowError when the dictionary is full."""
        if len(self.words) >= WORD_LIMIT:
            raise throw.ThrowError(throw.DICTIONARY_FULL, "Dictionary overflow")
        self.words.append(word)
        self.index.setdefault(word.name, []).append(word)
        self.by_xt[word.xt] = word

    def add_code(self, code: list[Instruction]) -> int:
        """Keep code; its number."""
        self.next_code += 1
        self.codes[self.next_code - 1] = code
        return self.next_code - 1

    def release(self, number: int) -> None:
        """Drop code that was to run once."""
        if number in self.temporary:
            self.temporary.discard(number)
            del self.codes[number]

    def forget(self, word: UserWord) -> None:
        """Remove a word and all newer ones."""
        first = self.words.index(word)
        for gone in self.words[first:]:
            self.index[gone.name].remove(gone)
            if not self.index[gone.name]:
                del self.index[gone.name]
            del self.by_xt[gone.xt]
        del self.words[first:]
        used = {kept.code for kept in self.words} | self.temporary
        for number in [number for number in self.codes if number not in used]:
            del self.codes[number]
