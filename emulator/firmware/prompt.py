"""The ``ok`` prompt: bytes of the console in, bytes out, and now and then something the machine must do.

`Prompt.feed` takes input cut anywhere. Between two calls everything is data (`emulator.firmware.promptstate`): the line
being typed, a definition half done, a loop half run. Where a turn ends (``boot``, ``go``, ``reset-all``, ``power-off``)
the call returns an `Action`, and the prompt sleeps until `enter` or `start`.

Source: IEEE 1275-1994, chapter 7 (user interface); texts and their order as OpenBoot 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.firmware import startup
from emulator.firmware.commandtable import COMMANDS
from emulator.firmware.dialogs import DIALOGS, Dialog
from emulator.firmware.forth import cells, throw
from emulator.firmware.forth.core import CORE_WORDS
from emulator.firmware.forth.definingwords import names_of
from emulator.firmware.forth.machine import STACK_CELLS, Forth, Frame
from emulator.firmware.forth.words import Builtins
from emulator.firmware.host import Action, PromptHost
from emulator.firmware.lineedit import History, LineEditor
from emulator.firmware.options import mirror_options

SLICE_STEPS = 50_000
"""Steps of one `feed` or `run`: a few tenths of a second."""
LINE_STEPS = 10_000_000
"""Steps after which a line counts as one that never ends."""
INPUT_LIMIT = 16384
"""Bytes that may be typed ahead; more are lost, as in a terminal."""


CLIENT_STEPS = 1_000_000
"""Steps that a client's ``interpret`` may take."""


@dataclass(frozen=True)
class Interpreted:
    """What became of a client's text: 0 or the number of the throw, the cells it left (top first), what the machine
    must do.
    """

    thrown: int
    results: tuple[int, ...]
    action: Action | None


class Prompt:
    """One console's prompt. `line_steps` bounds what one line may do."""

    def __init__(self, host: PromptHost, *, line_steps: int = LINE_STEPS) -> None:
        self.host = host
        self.line_steps = line_steps
        builtins = Builtins([*CORE_WORDS, *(row.builtin(self) for row in COMMANDS)])
        self.forth = Forth(builtins, host, self.write)
        self.forth.permitted = self._permitted
        self.forth.hooks = {"banner": self._start_banner, "boot": self._start_boot}
        self.editor = LineEditor(self.write)
        self.history = History()
        self.aliases: dict[str, str] = {}
        self.dialog: Dialog | None = None
        self.node: str | None = None
        self.nvedit: str | None = None
        self.action: Action | None = None
        self.active = False
        self.in_line = False
        self.steps = 0
        self.wake_at: int | None = None
        self.banner_shown = False
        self.logged_in = False
        self.permit = ""
        self.reboot_command = ""
        self.interrupted = False
        self.error = False
        self.window = 0
        mirror_options(host.tree, host.variables)

    # Output

    def write(self, text: str) -> None:
        """Text to the console; a newline goes out as CR LF."""
        self.host.write(text.replace("\n", "\r\n").encode("latin-1", "replace"))

    @property
    def secured(self) -> bool:
        """Do commands need the password now?"""
        return not self.logged_in and startup.password_needed(self.host.variables, None)

    def prompt_text(self) -> str:
        """The prompt as it would be printed now."""
        if self.forth.definition is not None:
            return "] "
        return "> " if self.secured else f"{{{self.host.facts().cpu:x}}} ok "

    def _show_prompt(self) -> None:
        self.forth.fresh_line()
        self.in_line = False
        self.steps = 0
        self.forth.emit(self.prompt_text())

    # Turns

    def enter(self, message: str = "") -> None:
        """The console is firmware's again: after a stop, a break, a boot that failed. `message` is printed first."""
        self._drop_program()
        self.active, self.action, self.logged_in = True, None, False
        self.forth.fresh_line()
        if message:
            self.forth.emit(message)
        self.forth.fresh_line()
        if self.secured:
            self.forth.emit("Type boot , go (continue), or login (command mode)\n")
        self._show_prompt()

    def start(self, reboot_command: str = "", *, interrupted: bool = False, error: bool = False) -> Action | None:
        """After a reset: nvramrc, banner, then what `emulator.firmware.startup.decide_start` says.

        `reboot_command` is what the reset was asked to run; without one the variable of that name counts, once.
        """
        self._drop_program()
        self.active, self.action, self.banner_shown, self.in_line = True, None, False, True
        self.reboot_command = reboot_command or self.host.variables.take_reboot_command()
        self.interrupted, self.error = interrupted, error
        mirror_options(self.host.tree, self.host.variables)
        self.forth.call(Frame("hook", text="boot"))
        self.forth.call(Frame("hook", text="banner"))
        if self.host.variables.flag("use-nvramrc?"):
            self.run_nvramrc(self.host.variables.get("nvramrc"))
        return self.run()

    def run_nvramrc(self, text: str) -> None:
        """Interpret a text whose errors end only itself."""
        self.forth.call(Frame("guard"))
        self.forth.evaluate(text)

    def _start_banner(self) -> None:
        if startup.talks(self.host.variables) and not self.banner_shown:
            self.forth.evaluate("banner")

    def _start_boot(self) -> None:
        start = startup.decide_start(
            self.host.variables, self.reboot_command, interrupted=self.interrupted, error=self.error
        )
        self.reboot_command = ""
        self.forth.emit(start.text)
        if start.command:
            self.forth.evaluate(start.command)

    def feed(self, data: bytes) -> Action | None:
        """Bytes typed at the console; what the machine must do, if anything. Bytes beyond INPUT_LIMIT are dropped."""
        self.forth.keys += data[: max(INPUT_LIMIT - len(self.forth.keys), 0)]
        return self.run()

    @property
    def busy(self) -> bool:
        """Is there work that another `run` would go on with?"""
        if not self.active or self.action is not None:
            return self.action is not None
        if self.wake_at is not None:
            return self.host.milliseconds() >= self.wake_at
        if self.dialog is not None:
            return bool(self.forth.keys)
        if self.forth.frames:
            return not self.forth.waiting or bool(self.forth.keys)
        return self.in_line or bool(self.forth.keys)

    def run(self, steps: int = SLICE_STEPS) -> Action | None:
        """Go on for at most `steps` steps (a key counts as one)."""
        while self.active and steps > 0:
            if self.action is not None:
                action, self.action, self.active = self.action, None, False
                return action
            if self.wake_at is not None:
                if self.host.milliseconds() < self.wake_at:
                    break
                self.wake_at = None
            self.forth.paused = False
            if self.dialog is not None:
                if not self.forth.keys:
                    break
                DIALOGS[self.dialog.kind](self, self.dialog, self.forth.keys.pop(0))
                steps -= 1
            elif self.forth.frames:
                steps = self._run_forth(steps)
                if self.forth.waiting and self.dialog is None:
                    break
            elif self.in_line:
                self._show_prompt()
            elif not self.forth.keys:
                break
            else:
                steps -= 1
                self._key(self.forth.keys.pop(0))
        return None

    def _run_forth(self, steps: int) -> int:
        """Run the program; the steps that are left."""
        most = min(steps, max(self.line_steps - self.steps, 1))
        used = most - self.forth.run(most)
        self.steps += used
        if self.steps >= self.line_steps and self.forth.frames:
            self.steps = 0
            self.forth.unwind(throw.ThrowError(throw.INTERRUPT, "Too many steps"))
        return steps - used

    def interrupt(self) -> Action | None:
        """A break on the line: what runs is stopped, what was typed ahead is lost."""
        self.forth.keys.clear()
        self.wake_at = None
        if self.dialog is not None:
            self.dialog = None
            self._drop_program()
            self.in_line = True
        elif self.forth.frames:
            self.forth.interrupted = True
        elif self.active:
            self.editor.clear()
            self.forth.emit("\n")
            self.in_line = True
        return self.run()

    def evaluate(self, text: str) -> Action | None:
        """Run a line as if it was typed, without echo (``interpret`` of a client)."""
        self.active = self.in_line = True
        self.forth.call(Frame("guard"))
        self.forth.start_line(text)
        return self.run()

    def interpret(self, text: str, arguments: Sequence[int] = (), results: int = 0) -> Interpreted:
        """A client's ``interpret``: run a text to its end, on `arguments` (top of the stack first).

        At most CLIENT_STEPS steps; a text that waits for a key or for time is ended like one that takes too long.
        """
        forth = self.forth
        self._drop_program()
        kept, forth.stack = forth.stack, list(reversed(arguments))[-STACK_CELLS:]
        active, self.active, self.action = self.active, True, None
        forth.call(Frame("catch"))
        forth.evaluate(text)
        forth.paused, forth.uncaught = False, 0
        forth.run(CLIENT_STEPS)
        if self.action is not None:
            thrown = 0
        elif forth.frames:
            thrown = throw.INTERRUPT
        else:
            thrown = forth.uncaught or cells.signed(forth.pop())
        left = tuple(reversed(forth.stack))[:results]
        action, self.action = self.action, None
        self._drop_program()
        self.active, forth.paused, forth.stack = active, False, kept
        return Interpreted(thrown, left if not thrown else (), action)

    def end_turn(self, action: Action) -> None:
        """Let the machine do something; the rest of the line is forgotten."""
        self._drop_program()
        self.action = action
        self.forth.paused = True

    def _drop_program(self) -> None:
        """Forget what runs, what is being compiled, what is being typed."""
        while self.forth.frames:
            self.forth.dictionary.release(self.forth.frames.pop().code)
        self.forth.stop_compiling()
        self.forth.interrupted = False
        self.dialog = None
        self.wake_at = None
        self.editor.clear()

    def ask(self, dialog: Dialog) -> None:
        """Hand the keys to a dialog until it is over; the program waits."""
        self.dialog = dialog
        self.forth.paused = True

    def sleep(self, milliseconds: int) -> None:
        """Let the program wait."""
        self.wake_at = self.host.milliseconds() + milliseconds
        self.forth.paused = True

    # Keys

    def _key(self, byte: int) -> None:
        """A key at the prompt."""
        event = self.editor.key(byte)
        if event == "accept":
            self._accept(self.editor.text)
        elif event == "cancel":
            self._accept("")
        elif event in ("previous", "next"):
            line = self.history.move(1 if event == "previous" else -1)
            if line is None or self.secured:
                self.write("\a")
            else:
                self.editor.replace(line)
        elif event == "retype":
            self.write("\n" + self.prompt_text() + self.editor.text)
            self.write("\b" * (len(self.editor.text) - self.editor.cursor))
        elif event == "list":
            self.write("\n" + "".join(f"{line}\n" for line in self.history.lines))
            self.write(self.prompt_text() + self.editor.text)
        elif event == "complete":
            self._complete()
        elif event:
            self.write("\a")

    def _complete(self) -> None:
        """Type on what all commands have in common that begin like the word at the cursor."""
        typed = self.editor.word()
        names = [name for name in names_of(self.forth) if typed and name.startswith(typed)]
        more = _common_start(names)[len(typed) :] + (" " if len(names) == 1 else "")
        if more:
            self.editor.insert(more)
        else:
            self.write("\a")

    def _accept(self, line: str) -> None:
        """A line is complete."""
        self.editor.clear()
        if not self.secured:
            self.history.add(line)
        self.forth.emit("\n")
        self.in_line = True
        self.forth.start_line(line)

    def _permitted(self, word: str) -> None:
        """Ask for the password where a word typed at the prompt needs one; the word is tried again after that."""
        if not self.secured or word in ("go", "boot", "login") or word == self.permit:
            self.permit = ""
            return
        self.ask(Dialog("password", {"typed": "", "then": "permit", "argument": word}))
        self.forth.fresh_line()
        self.forth.emit("Firmware Password: ")
        raise throw.NeedKeyError


def _common_start(names: list[str]) -> str:
    """The longest text that all names begin with: that of the first and the last in order."""
    first, last = min(names, default=""), max(names, default="")
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]
