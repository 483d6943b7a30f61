"""Every exception of the emulator, in one tree.

Each class carries a `code`: a short, stable word for scripts and tests, which never changes although the text
may. `str(error)` is one line for people.
"""

from __future__ import annotations

from collections.abc import Sequence


class EmulatorError(Exception):
    """Root of the tree. `code` is stable; the message is one line."""

    code = "emulator"
    of_usage = False
    """Is the command line, or a file that it names, wrong? (`emulator.arguments.EXITS`)"""


class UnitError(EmulatorError, ValueError):
    """A size or number written by a person cannot be understood."""

    code = "unit"
    of_usage = True


class ConfigError(EmulatorError, ValueError):
    """A machine cannot be built as asked for."""

    code = "config"
    of_usage = True


class EngineError(ConfigError):
    """The engine asked for cannot work on this host, or in this build of the core."""

    code = "engine"


class UnknownPlatformError(ConfigError):
    """No such platform or chip."""

    code = "config.platform"


class PlatformFileError(ConfigError):
    """A file does not describe a server. `problems` has one line for each fault: file, key, what is wrong, what
    is allowed."""

    code = "config.platform-file"

    def __init__(self, problems: Sequence[str]) -> None:
        more = len(problems) - 1
        super().__init__(problems[0] + (f" (and {more} more)" if more else ""))
        self.problems = tuple(problems)


class UnknownCpuArchError(ConfigError):
    """No such cpu-arch, or one that the chip does not support."""

    code = "config.cpu-arch"


class ClosedError(EmulatorError):
    """The machine was closed."""

    code = "closed"


class BusyError(EmulatorError):
    """The machine is running in another thread; only `kick()` may be called then."""

    code = "busy"


class RegisterError(EmulatorError, KeyError):
    """No such register."""

    code = "register"

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr


class ReadOnlyRegisterError(RegisterError):
    """The register cannot be written."""

    code = "register.read-only"


class StrandError(EmulatorError, IndexError):
    """No such strand, or a strand in the wrong state for the request."""

    code = "strand"


class AddressError(EmulatorError, IndexError):
    """A real address range is not backed by guest memory."""

    code = "address"


class StateError(EmulatorError):
    """A saved state is malformed, of another version, or does not fit this machine."""

    code = "state"


class ChannelError(EmulatorError):
    """No such channel, a number that is taken, a partial packet, or memory the guest does not export that way."""

    code = "channel"


class CoreError(EmulatorError):
    """The C core refused a call for a reason that the caller could not have caused."""

    code = "core"


class ImageError(EmulatorError):
    """A guest image cannot be loaded. `code` tells which check failed, e.g. ``image.truncated``."""

    code = "image"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"image.{code}"
