"""Tells whoever started ldmd that it is ready: systemd's NOTIFY_SOCKET (sd_notify(3)), or a descriptor."""

from __future__ import annotations

import contextlib
import os
import socket


def sd_notify(state: str) -> bool:
    """Send lines such as ``READY=1`` to the service manager; False where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), target)
        return True
    return False


def tell_fd(fd: int, text: str) -> None:
    """Write a line to a descriptor and close it. Nothing happens where nobody listens."""
    with contextlib.suppress(OSError):
        os.write(fd, f"{text}\n".encode())
    with contextlib.suppress(OSError):
        os.close(fd)
