"""How a machine executes code: by the interpreter, or by the translator to host code (docs/internals/translator.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import EngineError

if TYPE_CHECKING:
    from emulator import _core

ENGINES = {"interpreter": 0, "translator": 1}  # S4V_ENGINE_*
DEFAULT_ENGINE = "translator"
"""Of `sun4v run` and of servers: where a host has none they interpret, and say so only to who asked for it. A `Machine`
of a program interprets until `use_engine`.
"""


def check_engine(engine: str) -> str:
    """The name of an engine. Raises EngineError."""
    if engine not in ENGINES:
        raise EngineError(f"no engine {engine!r}: interpreter or translator")
    return engine


class MachineEngine:
    """A machine's engine. Results are the same with either, to the bit."""

    _core: _core.Core

    def use_engine(self, engine: str, *, hot_entries: int = 0) -> None:
        """How code is executed from now on, between runs: "interpreter" (as it begins), or "translator" to host code.

        `hot_entries`: after how many entries a block is translated, 0: as the engine sees fit. Raises EngineError where
        there is no translator; the machine interprets then.
        """
        if not self._core.set_engine(ENGINES[check_engine(engine)], hot_entries):
            raise EngineError(f"no translator: {self.engine_note}; the engine interpreter gives the same results")

    def prefer_engine(self, engine: str) -> str:
        """The same, but a host that has no translator is no error. Returns `engine_note`. Raises EngineError: no such
        engine."""
        self._core.set_engine(ENGINES[check_engine(engine)], 0)
        return self.engine_note

    @property
    def engine(self) -> str:
        """The engine in effect."""
        number, _ = self._core.engine()
        return next(name for name, known in ENGINES.items() if known == number)

    @property
    def engine_note(self) -> str:
        """Why the machine interprets although it was to translate; while it translates: why a strand that came later
        does not; or ""."""
        return self._core.engine()[1]
