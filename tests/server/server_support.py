"""A server in this process with labos guests, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.hvctl.local import LocalHvctl
from emulator.server import Server
from emulator.server.spec import lab_spec

LABOS = Path(__file__).resolve().parents[2] / "images" / "prebuilt" / "labos.elf"
PROMPT = "# "
STEP_NS = 2_000_000
MOST_NS = 60_000_000_000


def labos_spec(number: int, name: str = "", **changes: Any) -> dict[str, Any]:
    """A guest that boots labos."""
    return lab_spec(number, name or f"g{number}", boot={"kernel": str(LABOS)}, **changes)


class Room:
    """A deterministic server and a client of it; what consoles and events have said."""

    def __init__(self, platform: str = "t5-2", **options: Any) -> None:
        options.setdefault("deterministic", True)
        options.setdefault("memory_bytes", 64 << 30)
        self.server = Server(platform, **options)
        self.client = LocalHvctl(self.server)
        self.events: list[Mapping[str, Any]] = []
        self.server.events.subscribe(self.events.append)
        self.said: dict[int, bytearray] = {}

    def call(self, op: str, /, **args: Any) -> Any:
        return self.client.call(op, **args)

    def add(self, spec: dict[str, Any], *, start: bool = True) -> None:
        """Configure a guest, listen to its console, start it."""
        self.call("guest.configure", spec=spec)
        number = spec["id"]
        if number not in self.said:
            self.said[number] = bytearray()
            self.server.console(number).attach(self.said[number].extend)
        if start:
            self.call("guest.start", guest=number)

    def text(self, number: int) -> str:
        return self.said[number].decode("latin-1").replace("\r", "")

    def until(self, happens: Any, *, what: str = "", most_ns: int = MOST_NS) -> None:
        """Let virtual time pass until something holds."""
        left = most_ns
        while not happens():
            assert left > 0, f"it does not happen: {what or happens}; {self.events[-3:]}"
            self.server.advance(STEP_NS)
            left -= STEP_NS

    def prompt(self, *numbers: int) -> None:
        """Let guests come to their prompts."""
        for number in numbers:
            self.until(lambda number=number: self.text(number).endswith(PROMPT), what=self.text(number)[-400:])

    def do(self, number: int, command: str) -> str:
        """Type a command at labos; its output."""
        begin = len(self.text(number))
        self.server.console(number).type(command.encode() + b"\r")
        end = f"\n{PROMPT}"
        self.until(lambda: self.text(number)[begin:].endswith(end), what=f"{command}: {self.text(number)[begin:]}")
        return self.text(number)[begin:].partition("\n")[2].removesuffix(end)

    def type(self, number: int, line: str) -> None:
        self.server.console(number).type(line.encode() + b"\r")

    def status(self, number: int) -> dict[str, Any]:
        status: dict[str, Any] = self.call("guest.status", guest=number)
        return status

    def states(self, number: int) -> list[tuple[str, str]]:
        """What a guest's events said of its state and why."""
        return [(event["state"], event["why"]) for event in self.events
                if event["event"] == "guest.state" and event["guest"] == number]

    def close(self) -> None:
        self.client.close()
        self.server.power_off()

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
