"""What a server refuses. The codes are those of emulator/hvctl/protocol.md."""

from __future__ import annotations

from emulator.errors import ConfigError, EmulatorError


class SpecError(ConfigError):
    """A specification of a guest or a switch is wrong."""

    code = "spec"


class ArgumentError(EmulatorError, ValueError):
    """An argument of a request is missing, unknown, or of a wrong type."""

    code = "args"


class NoGuestError(EmulatorError):
    """There is no guest of that number."""

    code = "no-guest"


class GuestStateError(EmulatorError):
    """The guest is not in a state in which that could be done."""

    code = "state"


class NoServiceError(EmulatorError):
    """The guest's operating system has not registered the domain service that a request needs."""

    code = "no-service"


class BackendError(ConfigError):
    """What is behind a disk cannot be opened."""

    code = "backend"


class OffError(EmulatorError):
    """The server is being powered off."""

    code = "closed"
