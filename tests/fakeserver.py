"""`manager_support.FakeMachine` behind a real hvctl socket, for tests of processes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manager_support import FakeMachine

from emulator.hvctl.wire import Receiver, WireError, send
from ldmd.operations.context import HypervisorError


class MachineServer:
    """Serves a fake machine; `close` is the power cord of its process, not of the fake machine."""

    def __init__(self, machine: FakeMachine, path: Path) -> None:
        self.machine, self.path = machine, path
        self.lock = threading.RLock()
        self._clients: list[tuple[socket.socket, threading.Lock]] = []
        self._subscribed: list[tuple[socket.socket, threading.Lock]] = []
        machine.listen(self._event)
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(16)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            client = (sock, threading.Lock())
            self._clients.append(client)
            thread = threading.Thread(target=self._serve, args=client, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, sending: threading.Lock) -> None:
        receiver = Receiver(sock)
        with contextlib.suppress(WireError, OSError):
            while (frame := receiver.receive()) is not None:
                answer = self._answer(frame.message, (sock, sending))
                with sending:
                    send(sock, answer)
        with self.lock:
            if (sock, sending) in self._subscribed:
                self._subscribed.remove((sock, sending))
        sock.close()

    def _answer(self, request: Mapping[str, Any], client: tuple[socket.socket, threading.Lock]) -> dict[str, Any]:
        with self.lock:
            if request["op"] == "events.subscribe":
                self._subscribed.append(client)
            try:
                return {"id": request["id"], "result": self.machine.call(request["op"], **request["args"])}
            except HypervisorError as error:
                return {"id": request["id"], "error": {"code": error.code, "text": error.text}}

    def _event(self, event: Mapping[str, Any]) -> None:
        with self.lock:
            for sock, sending in tuple(self._subscribed):
                with contextlib.suppress(OSError, WireError), sending:
                    send(sock, event)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock, _ in self._clients:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self.path.unlink(missing_ok=True)
