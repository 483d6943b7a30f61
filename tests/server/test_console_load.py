"""Much console traffic: nothing is lost or doubled, whoever listens, and however slowly."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from server_support import STEP_NS, Room

from emulator import parse_image
from emulator.hvctl.streams import Streams
from emulator.server.spec import lab_spec

ECHO = Path(__file__).resolve().parents[2] / "images" / "prebuilt" / "echo.elf"
BYTES = 100_000
SEED = 20130326


def read_all(end: socket.socket, count: int) -> bytes:
    """What a reader finds who looks only at the end."""
    end.settimeout(60)
    data = b""
    while len(data) < count:
        data += end.recv(1 << 16)
    return data


def test_100_kilobytes_each_way_with_several_readers_and_a_slow_one() -> None:
    """A program that says every line again; what is typed finds room bit by bit, as on a terminal."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    words = [str(chance.getrandbits(chance.randint(8, 300))) for _ in range(BYTES // 20)]
    typed = "\n".join(words).encode()[: BYTES - 1] + b"\n"
    streams = Streams()
    with Room() as room:
        room.add(lab_spec(1, "echo"))
        room.until(lambda: room.text(1).endswith("ok "))
        machine = room.server.guest(1).machine
        assert machine is not None
        machine.firmware = None
        machine.boot(parse_image(ECHO.read_bytes()))
        console = room.server.console(1)
        room.said[1].clear()
        second = bytearray()
        console.attach(second.extend)
        slow = streams.open(console, replay=False)
        left = typed
        late: bytearray | None = None
        while left or len(room.said[1]) < BYTES:
            left = left[console.type(left[: chance.randint(1, 5000)]) :]
            if late is None and len(left) < BYTES // 2:
                late, begin = bytearray(), len(room.said[1])
                console.attach(late.extend)
            room.server.advance(STEP_NS)
        assert bytes(room.said[1]) == typed
        assert bytes(second) == typed
        assert late is not None and bytes(late) == typed[begin:]
        assert read_all(slow, BYTES) == typed
        slow.close()
    streams.close()
