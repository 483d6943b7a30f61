"""The recorded sessions: every sub-command as a person types it, and what comes back, letter by letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from ldm_sessions import play, sessions, typed_commands

from ldmd.cli.grammar import COMMANDS, canonical


@pytest.mark.parametrize("path", sessions(), ids=lambda path: path.stem)
def test_a_session_is_as_recorded(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert play(text) == text, f"look at what changed: python tests/ldm_sessions.py {path.stem}"


def test_every_command_is_in_a_session() -> None:
    typed = {canonical(word) for path in sessions() for word in typed_commands(path.read_text(encoding="utf-8"))}
    assert sorted(set(COMMANDS) - typed) == []
