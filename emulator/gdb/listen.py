"""Clients at a door, one after the other; one that comes meanwhile is told so."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable

from emulator.gdb.doors import Door
from emulator.gdb.remote import RemoteDebuggee
from emulator.gdb.serve import SocketStream, refuse, serve

MOST_REFUSED = 8
ANOTHER = "another debugger is attached to this domain through this port: one at a time"


def listen(door: Door, debuggee: RemoteDebuggee, say: Callable[[str], None], *, once: bool) -> bool:
    """Serve until the guest has gone, or with `once` one client (True: it could debug). `say`: what went wrong.

    Raises GoneError where there is no guest any more.
    """
    refused: deque[socket.socket] = deque()
    try:
        if not door.address.local:
            say("whoever reaches this address controls the domain: the protocol has no password")
        while True:
            ready, _, _ = select.select([door.fileno(), debuggee.fileno()], [], [])
            if debuggee.fileno() in ready:
                debuggee.pump()
            sock = door.accept() if door.fileno() in ready else None
            if sock is None:
                continue
            with sock:
                stream = SocketStream(sock)
                failed = serve(stream, debuggee, [(door.fileno(), lambda: _turn_away(door, refused))])
                if failed is not None:
                    say(str(failed))
                    stream.hear_out()
            while refused:
                refused.popleft().close()
            if once:
                return failed is None
            debuggee.call("guest.status")  # is there still a machine with that domain?
    finally:
        door.close()


def _turn_away(door: Door, refused: deque[socket.socket]) -> None:
    """A client beside the one that is served. Its socket is kept for a while: what it is told must arrive."""
    sock = door.accept()
    if sock is None:
        return
    refuse(SocketStream(sock), ANOTHER)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    refused.append(sock)
    if len(refused) > MOST_REFUSED:
        refused.popleft().close()
