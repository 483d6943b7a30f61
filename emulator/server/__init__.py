"""One emulated server with its guests: what a machine process runs. `Server` knows nothing of sockets (emulator.hvctl).
"""

from emulator.server.errors import BackendError, GuestStateError, NoGuestError, NoServiceError, SpecError
from emulator.server.server import Server
from emulator.server.spec import GuestSpec

__all__ = [
    "BackendError",
    "GuestSpec",
    "GuestStateError",
    "NoGuestError",
    "NoServiceError",
    "Server",
    "SpecError",
]
