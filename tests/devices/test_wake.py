"""A frame for a machine that runs in another thread reaches its devices at once, and the run goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

from emulator import Machine, StopReason
from emulator.channel import Channel
from emulator.devices.lab import NetSpec, build_domain
from emulator.devices.switch import Port, Switch

LONG = 60


class Watcher:
    """A device that notes when it is let look."""

    name = "watcher"
    channels = (5,)

    def __init__(self) -> None:
        self.looked = threading.Event()

    def connect(self, open_channel: Callable[[int], Channel]) -> None:
        open_channel(5)

    def service(self, number: int) -> None: ...

    def drain(self) -> None: ...

    def poll(self) -> None:
        self.looked.set()

    def save(self) -> bytes:
        return b"{}"

    def load(self, state: bytes) -> None: ...


def test_a_wake_is_no_kick() -> None:
    watcher = Watcher()
    with Machine("16M") as machine:
        machine.attach(watcher)
        machine.memory.write(0x1000, bytes.fromhex("10800000 01000000"))  # ba . ; nop
        machine.strands[0].start(0x1000)
        reasons: list[StopReason] = []
        thread = threading.Thread(target=lambda: reasons.append(machine.run((1 << 64) - 1).reason))
        thread.start()
        for _ in range(5):
            watcher.looked.clear()
            machine.wake()
            assert watcher.looked.wait(LONG)
        assert reasons == []
        machine.kick()
        thread.join(LONG)
        assert reasons == [StopReason.KICK]
        machine.kick()
        assert machine.run(1000).reason is StopReason.KICK
        assert machine.run(1000).reason is StopReason.BUDGET


def test_ports_of_machines_in_real_time_wake_them() -> None:
    for deterministic in (False, True):
        switch = Switch()
        outside = switch.add(Port("outside"))
        with build_domain("16M", nets=[NetSpec(switch)], deterministic=deterministic) as domain:
            outside.send(b"\xff" * 6 + b"\x02" + bytes(60))
            reason = domain.machine.run(0 if deterministic else 1000).reason
            assert reason in (StopReason.BUDGET, StopReason.IDLE), "the frame is no kick"
            assert domain.nets[0].port.waiting == 0
