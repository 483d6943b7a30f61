"""Sessions of `ldm` in tests/golden/ldm: what a person types and what comes back, against a manager in memory.

A file is a session. Its lines:

    # ldm ...          what is typed; what follows it is the output, standard output and error as they come, and where
                       the exit status is not 0 a last line `[exit N]`
    ; ...              a remark
    ! platform NAME [MEMORY]     power on this server (the first line; else a t5-2 with 64G)
    ! boot DOMAIN [TEXT]         the domain's operating system comes up
    ! util DOMAIN PERCENT        so busy are its virtual CPUs
    ! wait SECONDS               time passes
    ! file NAME                  the lines behind, up to `! end`, are a file of that name, in the current directory
    ! backend NAME SIZE          a disk image of that name
    ! mode NAME OCTAL            the mode of such a file
    ! password WORD              there is a terminal, at which the target's password is typed
    ! moves                      domains can move; nothing does really
    ! problem LINE               a line of why they cannot
    ! refusal [CODE NAME=VALUE...]     why a migration cannot even begin, from now on
    ! moving DOMAIN PEER NAME=VALUE... a migration is under way; `! still` ends that
    ! fails OP CODE TEXT         the machine refuses this operation from now on; `! works OP` ends that

``python tests/ldm_sessions.py [NAME...]`` records sessions again and shows what changed; a test plays them all.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from fakemoves import FakeMoves, fake_moves
from ldm_support import InMemory
from manager_support import VirtualClock, machine_of, make_manager

from emulator.units import parse_size
from ldmd.cli.main import run
from ldmd.cli.screen import Screen
from ldmd.cli.secret import PROMPT
from ldmd.manager import Manager
from ldmd.messages import message
from ldmd.migrator.moves import MoveOutcome
from ldmd.operations.context import HypervisorError

FOLDER = Path(__file__).resolve().parent / "golden" / "ldm"
SHELL = "# "
STEPS = [{"phase": 1}, {"phase": 2, "percent": 1},
         {"phase": 3, "percent": 20, "bytes": 200 << 20, "remaining": 824 << 20, "wire_rate": 200 * 2**20},
         {"phase": 3, "percent": 90, "round": 2, "bytes": 1 << 30, "remaining": 40 << 20, "wire_rate": 212 * 2**20,
          "dirty_rate": 3.5 * 2**20, "predicted_downtime_ms": 190.0},
         {"phase": 4, "percent": 99, "round": 3, "bytes": 1100 << 20, "remaining": 0}, {"phase": 5, "percent": 100}]
"""What is seen of a migration that goes well."""


class Chosen:
    """What the manager chose by chance, written as the first, second... of its kind: UUIDs, MAC addresses, hostids.

    A session does not change when the manager draws its lots in another order. Widths stay as they are.
    """

    _UUID = re.compile(r"(?!ffffffff)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    _MAC = re.compile(r"00:14:4f:(f[89ab]:[0-9a-f]{2}:[0-9a-f]{2})")
    _HOSTID = re.compile(r"\b(0x)?84(f[89ab][0-9a-f]{4})\b")

    def __init__(self) -> None:
        self._uuids: dict[str, int] = {}
        self._macs: dict[str, int] = {}

    @staticmethod
    def _number(known: dict[str, int], text: str) -> int:
        return known.setdefault(text, len(known) + 1)

    def __call__(self, text: str) -> str:
        text = self._UUID.sub(lambda m: f"00000000-0000-4000-8000-{self._number(self._uuids, m[0]):012x}", text)
        text = self._HOSTID.sub(lambda m: f"{m[1] or ''}84{0xF80000 + self._number(self._macs, m[2]):06x}", text)
        return self._MAC.sub(self._mac, text)

    def _mac(self, found: re.Match[str]) -> str:
        number = self._number(self._macs, found[1].replace(":", ""))
        return f"00:14:4f:f8:{number >> 8:02x}:{number & 0xFF:02x}"


class Session:
    """Plays the lines of a session. In a directory of its own, whose name does not appear in what is recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manager: Manager | None = None
        self._chosen = Chosen()
        self._password: str | None = None

    def _ask(self, both: io.StringIO) -> str:
        if self._password is None:
            raise message("password.terminal")
        both.write(f"{PROMPT}\n")
        return self._password

    @property
    def moves(self) -> FakeMoves:
        assert isinstance(self.manager.migrations, FakeMoves), "! moves comes first"
        return self.manager.migrations

    @property
    def manager(self) -> Manager:
        if self._manager is None:
            self.stage_platform("t5-2")
        assert self._manager is not None
        return self._manager

    def type(self, line: str) -> str:
        """The output of a command line."""
        both = io.StringIO()
        words = shlex.split(line)
        assert words[0] == "ldm", line
        with contextlib.chdir(self._folder):
            status = run(words[1:], screen=Screen(both, both), reach=lambda _machine: InMemory(self.manager),
                         ask=lambda: self._ask(both))
        end = f"[exit {status}]\n" if status else ""
        return self._chosen(both.getvalue().replace(str(self._folder), "/images")) + end

    def stage(self, words: list[str], text: str = "") -> None:
        """A line of the stage: what happens besides."""
        verb, *rest = words
        getattr(self, f"stage_{verb}")(*rest, **({"text": text} if verb in ("file", "problem") else {}))

    def stage_platform(self, name: str, memory: str = "64G") -> None:
        assert self._manager is None, "the first line powers the server on"
        self._manager = make_manager(platform=name, memory=memory)
        machine_of(self._manager).op_service_list = lambda: {"switches": []}  # type: ignore[attr-defined]

    def _guest(self, domain: str) -> int:
        found = self.manager.configuration.find(domain)
        assert found is not None and found.binding is not None, domain
        return found.binding.id

    def stage_boot(self, domain: str, *text: str) -> None:
        machine_of(self.manager).boot_os(self._guest(domain), text=" ".join(text) or "Solaris running")

    def stage_util(self, domain: str, percent: str) -> None:
        machine_of(self.manager).guests[self._guest(domain)].util = float(percent)

    def stage_wait(self, seconds: str) -> None:
        clock = self.manager.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(float(seconds))

    def stage_file(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")

    def stage_backend(self, name: str, size: str = "1G") -> None:
        with (self._folder / name).open("wb") as file:
            file.truncate(parse_size(size))

    def stage_mode(self, name: str, mode: str) -> None:
        (self._folder / name).chmod(int(mode, 8))

    def stage_password(self, password: str) -> None:
        self._password = password

    def stage_moves(self) -> None:
        fake_moves(self.manager).steps = STEPS

    def stage_problem(self, *words: str, text: str) -> None:
        self.moves.outcome = MoveOutcome(done=False, problems=(*self.moves.outcome.problems, text))

    def stage_refusal(self, code: str = "", *values: str) -> None:
        self.moves.refusal = message(code, **dict(each.split("=", 1) for each in values)) if code else None

    def stage_moving(self, domain: str, peer: str, *values: str) -> None:
        pairs = dict(each.split("=", 1) for each in values)
        self.moves.show(domain, peer, **{name: int(text) if text.isdecimal() else text for name, text in pairs.items()})

    def stage_still(self) -> None:
        self.moves.views.clear()

    def stage_fails(self, op: str, code: str, *text: str) -> None:
        machine_of(self.manager).refuse[op] = HypervisorError(code, " ".join(text))

    def stage_works(self, op: str) -> None:
        del machine_of(self.manager).refuse[op]


def play(text: str) -> str:
    """A session with the outputs it has now."""
    with tempfile.TemporaryDirectory(prefix="s4v") as folder, mock.patch.dict(os.environ, clear=False) as environment:
        environment.pop("LDM_PARSEABLE_VERSION", None)
        session = Session(Path(folder))
        return "".join(_played(session, iter(text.splitlines())))


def _played(session: Session, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith(SHELL):
            yield f"{line}\n"
            yield session.type(line.removeprefix(SHELL))
        elif line.startswith("! "):
            yield f"{line}\n"
            body = ""
            if line.startswith("! file "):
                body = "".join(_body(lines))
                yield f"{body}! end\n"
            session.stage(line[2:].split(), body or line.removeprefix("! problem "))
        elif line.startswith(";"):
            yield f"{line}\n"


def _body(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == "! end":
            return
        yield f"{line}\n"


def sessions() -> list[Path]:
    return sorted(FOLDER.glob("*.txt"))


def typed_commands(text: str) -> list[str]:
    """First words of all that is typed in a session."""
    return [match[1] for match in re.finditer(r"^# ldm (\S+)", text, re.MULTILINE)]


def record(names: list[str]) -> None:
    """Record sessions again; prints what changed."""
    for path in sessions():
        if names and path.stem not in names:
            continue
        old = path.read_text(encoding="utf-8")
        new = play(old)
        if new != old:
            print("".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), path.name, path.name, n=1)))
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    record(sys.argv[1:])
