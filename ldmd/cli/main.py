"""`ldm`: reads the command line by the grammar, has ldmd carry it out, shows the answer.

Exit status: 0 done; 1 refused or failed; 2 the command line is wrong; 130 interrupted; 141 nobody reads the output.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator.arguments import have_streams
from emulator.shells import SHELLS, script
from ldmd.cli import usage
from ldmd.cli.completion import answer
from ldmd.cli.connection import Connect, connect
from ldmd.cli.events import monitor
from ldmd.cli.grammar import COMMANDS, canonical
from ldmd.cli.parse import Request, UsageError, parse
from ldmd.cli.render_lists import version_text
from ldmd.cli.screen import Screen
from ldmd.cli.secret import Ask, ask_terminal, from_file, with_password
from ldmd.cli.show import SHOW, lines, prepare
from ldmd.messages import RefusedError, message

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_PIPE = 0, 1, 2, 130, 141
UNKNOWN = "command.unknown"
"""What a daemon says of a command that it has not."""
MAX_FILE_BYTES = 8 << 20
"""Longest file that is sent: a request has at most 16 MiB."""


def main() -> int:
    """Entry point of the console command."""
    have_streams()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    screen = Screen(sys.stdout, sys.stderr, terminal=sys.stderr.isatty())
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # of nohup
        terminals = [each for each in (0, 1, 2) if os.isatty(each)]
        signal.signal(signal.SIGHUP, lambda number, _frame: _hung_up(screen, terminals, number))
    try:
        status = run(sys.argv[1:], screen=screen, reach=connect)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # keep the interpreter from trying once more
        return EXIT_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        screen.complain(f"ldm: {error.filename or 'input/output'}: {error.strerror or error}")
        return EXIT_REFUSED
    return status


def _hung_up(screen: Screen, terminals: Sequence[int], number: int) -> None:
    """SIGHUP: the command ends, unless it has begun what outlives its terminal."""
    if not screen.outlives_terminal:
        sys.exit(128 + number)
    screen.terminal_lost()
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in terminals:
        os.dup2(nothing, each)


def run(words: Sequence[str], *, screen: Screen, reach: Connect, ask: Ask = ask_terminal) -> int:
    """Carry out a command line (without the command's own name); returns the exit status."""
    try:
        machine, rest = _machine(list(words))
        return _dispatch(rest, machine, screen, reach, ask=ask)
    except UsageError as error:
        screen.complain(f"ldm: {error}")
        if error.command is not None:
            screen.complain("Usage:")
            for line in usage.synopsis_lines(error.command):
                screen.complain(line)
        return EXIT_USAGE
    except RefusedError as error:
        screen.refused(error)
        return EXIT_REFUSED
    finally:
        screen.close()


def _machine(words: list[str]) -> tuple[str | None, list[str]]:
    """The machine that is named before the sub-command, and the rest."""
    machine = None
    while words and words[0].startswith(("--machine", "-m")):
        flag, equals, value = words[0].partition("=")
        if flag not in {"--machine", "-m"}:
            break
        if not equals and len(words) < 2:
            raise UsageError(f"{flag} needs the name of a machine")
        machine, words = (value, words[1:]) if equals else (words[1], words[2:])
    return machine, words


def _dispatch(words: list[str], machine: str | None, screen: Screen, reach: Connect, *, ask: Ask) -> int:
    if not words:
        for line in usage.overview():
            screen.complain(line)
        return EXIT_USAGE
    word, rest = words[0], words[1:]
    literal = rest.index("--") if "--" in rest else len(rest)
    if word in {"--help", "-h"} or "--help" in rest[:literal]:
        screen.print(_help(rest if word in {"--help", "-h"} else words[:1]))
    elif word in {"-V", "--version"}:
        _version(rest, machine, screen, reach)
    elif word == "--completion":
        _completion(rest, screen)
    elif word == "--complete":
        screen.print(answer(rest, lambda: reach(machine)))
    elif word.startswith("-"):
        raise UsageError(f"ldm has no option {word}; `ldm --help` shows them")
    else:
        _carry_out(words, machine, screen, reach, ask=ask)
    return EXIT_OK


def _help(words: list[str]) -> Sequence[str]:
    if not words:
        return list(usage.overview())
    name = canonical(words[0])
    if name is None:
        raise UsageError(f"Unknown command {words[0]}; use --help for a list of the commands")
    return list(usage.command_help(COMMANDS[name]))


def _version(words: list[str], machine: str | None, screen: Screen, reach: Connect) -> None:
    if words not in ([], ["--json"]):
        raise UsageError("-V stands alone, or with --json")
    with_json = bool(words)
    connection = reach(machine)
    try:
        report = connection.call("version", line="ldm -V")
    finally:
        connection.close()
    if with_json:
        screen.document(report)
    else:
        screen.print(version_text(report))


def _completion(words: list[str], screen: Screen) -> None:
    if len(words) != 1 or words[0] not in SHELLS:
        raise UsageError(f"--completion needs one of {', '.join(SHELLS)}")
    screen.print(script(words[0], "ldm").splitlines())


# -- a sub-command


def _carry_out(words: list[str], machine: str | None, screen: Screen, reach: Connect, *, ask: Ask) -> None:
    request = prepare(parse(words))
    screen.json, screen.lists = bool(request.local.get("json")), request.operation in SHOW
    arguments = with_files(with_password(request, ask))
    connection = reach(machine)
    screen.outlives_terminal = request.command.tied
    try:
        if request.command.name == "monitor":
            monitor(connection, screen, limit=request.local.get("count"))
            return
        for _ in _again(request):
            result = connection.call(request.operation, arguments, on_line=screen.line,
                                     line=shlex.join(["ldm", *words]))  # fmt: skip
            _show(request, result, screen)
    except RefusedError as error:
        if error.code == UNKNOWN:
            raise message("cli.unsupported", name=request.command.name) from None
        raise
    except KeyboardInterrupt:
        if request.command.tied:
            screen.complain("ldm: interrupted; what it began is cancelled")
        elif not request.command.lists:
            screen.complain("ldm: interrupted; what the manager has begun goes on (`ldm list` shows how far it is)")
        raise
    finally:
        connection.close()


def _again(request: Request) -> Iterator[None]:
    """Once; with -t every so many seconds, -c times or until interrupted."""
    interval, count = (_positive(request, name) for name in ("interval", "count"))
    yield
    while interval is not None and count != 1:
        threading.Event().wait(interval)
        yield
        count = count - 1 if count is not None else None


def _positive(request: Request, name: str) -> int | None:
    text = request.local.get(name)
    if text is not None and (not text.isdecimal() or int(text) < 1):
        raise UsageError(f"{text!r} is not a number from 1 on, which {name} must be", request.command)
    return None if text is None else int(text)


def _show(request: Request, result: Any, screen: Screen) -> None:
    if request.operation in SHOW:
        if screen.json:
            screen.document(result)
        else:
            screen.print(lines(request, result))
    elif screen.json:
        screen.record(status=EXIT_OK, result=result)
    elif request.command.lists and result is not None:
        screen.print(json.dumps(result, indent=2).splitlines())


def with_files(request: Request) -> dict[str, Any]:
    """The arguments, with the text of files in the place of their names, and whole paths of backends."""
    arguments = dict(request.arguments)
    for name in request.files:
        arguments[name] = FILES.get(name, _text)(arguments[name])
    for form in request.command.forms:
        for operand in form.operands:
            if operand.kind == "path" and operand.argument in arguments:
                arguments[operand.argument] = os.path.abspath(arguments[operand.argument])
    return arguments


def _text(name: str) -> str:
    """The text of a file; "-" is standard input. Raises RefusedError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise message("cli.file", name=name, problem=f"it has more than {MAX_FILE_BYTES >> 20} MiB")
        return data.decode("utf-8")
    except OSError as error:
        raise message("cli.file", name=name, problem=error.strerror or error) from None
    except UnicodeDecodeError as error:
        raise message("cli.file", name=name, problem=f"byte {error.start} is not UTF-8") from None


FILES: Mapping[str, Callable[[str], str]] = {"password": from_file}
"""Arguments of which not the whole file is sent."""
