"""Words that may be abbreviated: formats behind `-o`, resources of `list-devices`."""

from __future__ import annotations

from collections.abc import Sequence

from ldmd.cli.parse import UsageError
from ldmd.cli.syntax import Command

SYNONYMS = {"mau": "crypto", "vcpu": "cpu", "net": "network", "mem": "memory"}


def full_words(words: Sequence[str], known: Sequence[str], command: Command) -> list[str]:
    """The full words of some that may be cut short, each once. Raises UsageError."""
    return list(dict.fromkeys(_full(word.lower(), known, command) for word in words))


def _full(word: str, known: Sequence[str], command: Command) -> str:
    if SYNONYMS.get(word) in known:
        return SYNONYMS[word]
    found = [each for each in known if each == word] or [each for each in known if word and each.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word!r} may be {' or '.join(found)}", command)
    raise UsageError(f"{word!r} is none of {', '.join(known)}", command)
