"""Configuration variables: what people set with ``setenv`` and ``ldm set-variable``.

One table holds their types, defaults and limits. Values are stored as text, as the machine description's ``variables``
node has them; only those that differ from their default are kept. A variable that is not in the table is kept too,
since a manager may set any name, but nobody can make one at the prompt.

Source: IEEE 1275-1994, 7.4.4; OpenBoot 4 for sun4v (names, defaults, lengths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emulator.errors import EmulatorError, StateError

BOOLS = ("true", "false")
COUNT_LIMIT = 256
NAME_LIMIT = 63
TEXT_LIMIT = 8192
NO_DEFAULT = "No default"


class VariableError(EmulatorError, ValueError):
    """A variable that does not exist, or a value that it cannot have. `choices` are the words it may be, if few."""

    code = "variable"

    def __init__(self, message: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.choices = choices


@dataclass(frozen=True)
class Variable:
    """A row of the table. `kind`: bool, int, string, enum, bytes, password. `limit`: bytes of text, or the largest int.

    `security` variables keep their values at ``set-defaults``; `about` is one line for the manual.
    """

    name: str
    kind: str
    default: str
    about: str
    limit: int = 256
    choices: tuple[str, ...] = ()
    security: bool = False

    def parse(self, text: str) -> str:
        """The text of a value in the form it is stored. Raises VariableError."""
        if self.kind in ("bool", "enum"):
            choices = BOOLS if self.kind == "bool" else self.choices
            word = text.strip().lower()
            if word not in choices:
                raise VariableError(f"{self.name}: not one of {', '.join(choices)}", choices)
            return word
        if self.kind == "int":
            return str(self._number(text.strip()))
        if len(text.encode("latin-1", "replace")) > self.limit:
            raise VariableError(f"{self.name}: longer than {self.limit} characters")
        if self.kind == "password" and not all(" " <= character <= "~" for character in text):
            raise VariableError(f"{self.name}: not printable")
        return text

    def _number(self, text: str) -> int:
        """A decimal number, or a hexadecimal one behind ``0x``."""
        base = 16 if text.lower().startswith("0x") else 10
        digits = text[2:] if base == 16 else text
        if not digits.isascii() or not digits.isalnum() or len(digits) > 20:
            raise VariableError(f"{self.name}: not a number")
        try:
            number = int(digits, base)
        except ValueError:
            raise VariableError(f"{self.name}: not a number") from None
        if number > self.limit:
            raise VariableError(f"{self.name}: larger than {self.limit}")
        return number

    @property
    def shown_default(self) -> str:
        """The default as ``printenv`` shows it."""
        return NO_DEFAULT if self.security else self.default


def _bool(name: str, default: str, about: str) -> Variable:
    return Variable(name, "bool", default, about)


def _string(name: str, default: str, about: str, *, limit: int = 256) -> Variable:
    return Variable(name, "string", default, about, limit)


def _int(name: str, default: int, about: str, *, limit: int = 0xFFFF_FFFF) -> Variable:
    return Variable(name, "int", str(default), about, limit)


def _enum(name: str, default: str, about: str, *, choices: tuple[str, ...]) -> Variable:
    return Variable(name, "enum", default, about, choices=choices)


# In the order in which ``printenv`` lists them: OpenBoot's, which is that of their definition backwards.
TABLE: tuple[Variable, ...] = (
    _bool("ttya-rts-dtr-off", "false", "Serial port: leave RTS and DTR alone"),
    _bool("ttya-ignore-cd", "true", "Serial port: ignore carrier detect"),
    _string("keymap", "", "Name of a keyboard map", limit=64),
    _string("test-args", "", "Arguments of device tests", limit=128),
    _string("asr-policy", "", "Automatic system recovery", limit=64),
    _string("reboot-command", "", "Command to run at the next reset, once", limit=1024),
    Variable("security-mode", "enum", "none", "Commands that need the password", security=True,
             choices=("none", "command", "full")),
    Variable("security-password", "password", "", "Firmware password; set it with `password`", limit=8, security=True),
    Variable("security-#badlogins", "int", "0", "Wrong passwords so far", 0xFFFF_FFFF, security=True),
    _enum("verbosity", "min", "How much firmware says", choices=("none", "min", "normal", "max")),
    _bool("diag-switch?", "false", "Run in diagnostic mode"),
    _bool("local-mac-address?", "true", "Network devices use their own addresses"),
    _bool("fcode-debug?", "false", "Keep names of FCode words"),
    _int("scsi-initiator-id", 7, "SCSI id of the host", limit=15),
    Variable("oem-logo", "bytes", "", "Picture of the maker", limit=512),
    _bool("oem-logo?", "false", "Show oem-logo"),
    _string("oem-banner", "", "Banner of the maker", limit=80),
    _bool("oem-banner?", "false", "Show oem-banner in place of the system's"),
    _bool("ansi-terminal?", "true", "The console understands ANSI sequences"),
    _int("screen-#columns", 80, "Columns of a screen", limit=999),
    _int("screen-#rows", 34, "Rows of a screen", limit=999),
    _string("ttya-mode", "9600,8,n,1,-", "Serial port: speed, bits, parity, stop, handshake", limit=16),
    _string("output-device", "virtual-console", "Console output", limit=128),
    _string("input-device", "virtual-console", "Console input", limit=128),
    _bool("auto-boot-on-error?", "false", "Boot although the system reports an error"),
    _int("load-base", 16384, "Address where programs are loaded"),
    _bool("auto-boot?", "true", "Run boot-command at power-on and reset"),
    _string("network-boot-arguments", "", "Arguments of a network boot", limit=512),
    _string("boot-command", "boot", "Command that auto-boot? runs", limit=64),
    _string("boot-file", "", "Default file and arguments of `boot`", limit=1024),
    _string("boot-device", "disk net", "Default devices of `boot`, in order", limit=256),
    _bool("multipath-boot?", "false", "Try all paths to a device"),
    _int("boot-device-index", 0, "Which of boot-device to try first", limit=255),
    _bool("use-nvramrc?", "false", "Run nvramrc at power-on and reset"),
    Variable("nvramrc", "bytes", "", "Commands to run at power-on and reset", limit=TEXT_LIMIT),
    _enum("error-reset-recovery", "boot", "What to do after an error reset", choices=("none", "sync", "boot")),
)  # fmt: skip
BY_NAME: Mapping[str, Variable] = {row.name: row for row in TABLE}


class Variables:
    """The values. `changed` is told of every change: name, new text, or None where it is back at its default."""

    def __init__(
        self, stored: Mapping[str, str] | None = None, changed: Callable[[str, str | None], None] | None = None
    ) -> None:
        self.changed = changed
        self._watchers: dict[str, Callable[[str], None]] = {}
        self._stored: dict[str, str] = {}
        if stored:
            self.load(stored)

    def watch(self, who: str, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with the name at every change, from inside and outside; one for each `who`."""
        self._watchers[who] = watcher

    def _tell(self, name: str) -> None:
        for watcher in self._watchers.values():
            watcher(name)

    def __contains__(self, name: str) -> bool:
        return name in BY_NAME or name in self._stored

    def names(self) -> list[str]:
        """The table's names in its order, then those that are not in it, in the order they came."""
        return [*BY_NAME, *(name for name in self._stored if name not in BY_NAME)]

    def get(self, name: str) -> str:
        """A value as text. Raises VariableError."""
        row = BY_NAME.get(name)
        if name in self._stored:
            return self._stored[name]
        if row is None:
            raise VariableError(f"Unknown option: {name}")
        return row.default

    def flag(self, name: str) -> bool:
        """A boolean variable's value. Raises VariableError."""
        return self.get(name) == "true"

    def default(self, name: str) -> str:
        """A default as ``printenv`` shows it; "" of a variable that is not in the table."""
        row = BY_NAME.get(name)
        return row.shown_default if row is not None else ""

    def set(self, name: str, text: str) -> None:
        """Give a variable a value. Raises VariableError: no such variable, or not a value of it."""
        row = BY_NAME.get(name)
        if row is None:
            raise VariableError(f"Unknown option: {name}")
        value = row.parse(text)
        self._keep(name, None if value == row.default else value)

    def set_default(self, name: str) -> None:
        """Give a variable its default. Raises VariableError."""
        if name not in self:
            raise VariableError(f"Unknown option: {name}")
        self._keep(name, None)

    def set_defaults(self) -> None:
        """Give all variables their defaults, but those of security."""
        for name in list(self._stored):
            row = BY_NAME.get(name)
            if row is None or not row.security:
                self._keep(name, None)

    def take_reboot_command(self) -> str:
        """The command a client left for this reset, which is honoured once; "" where there is none."""
        command = self._stored.get("reboot-command", "").strip()
        self._keep("reboot-command", None)
        return command

    def _keep(self, name: str, value: str | None) -> None:
        if self._stored.get(name) == value:
            return
        if value is None:
            del self._stored[name]
        else:
            self._stored[name] = value
        self._tell(name)
        if self.changed is not None:
            self.changed(name, value)

    def outside(self, name: str, value: str | None) -> None:
        """A manager or client sets (None: resets) a variable: any name, no echo to `changed`. Raises VariableError."""
        accepted = None if value is None else self._accept(name, value)
        if accepted is not None and name not in self._stored and len(self._stored) >= COUNT_LIMIT:
            raise VariableError("too many variables")
        if accepted is None:
            self._stored.pop(name, None)
        else:
            self._stored[name] = accepted
        self._tell(name)

    @staticmethod
    def _accept(name: str, value: str) -> str | None:
        """A value from outside in its stored form; None where it is the default. Raises VariableError."""
        if not 1 <= len(name) <= NAME_LIMIT or not name.isascii() or not name.isprintable() or " " in name:
            raise VariableError(f"not a variable's name: {name[:NAME_LIMIT]!r}")
        if len(value) > TEXT_LIMIT:
            raise VariableError(f"{name}: longer than {TEXT_LIMIT} characters")
        row = BY_NAME.get(name)
        if row is None:
            return value
        accepted = row.parse(value)
        return None if accepted == row.default else accepted

    def save(self) -> dict[str, str]:
        """The values that differ from their defaults: what non-volatile memory holds."""
        return dict(self._stored)

    def load(self, stored: Mapping[str, str]) -> None:
        """Replace all values, without a word to `changed`. Raises StateError."""
        fresh: dict[str, str] = {}
        if not isinstance(stored, Mapping) or len(stored) > COUNT_LIMIT:
            raise StateError("variables: not a table of names and texts")
        for name, value in stored.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise StateError("variables: not a table of names and texts")
            try:
                accepted = self._accept(name, value)
            except VariableError as error:
                raise StateError(f"variables: {error}") from None
            if accepted is not None:
                fresh[name] = accepted
        gone = self._stored.keys() - fresh.keys()
        self._stored = fresh
        for name in [*self.names(), *gone]:
            self._tell(name)

    @classmethod
    def lenient(cls, stored: Mapping[str, str], changed: Callable[[str, str | None], None] | None = None) -> Variables:
        """As the constructor, for values a person configured elsewhere: those that are none are left out."""
        variables = cls(changed=changed)
        for name, value in stored.items():
            try:
                variables.outside(name, value)
            except VariableError:
                continue
        return variables
