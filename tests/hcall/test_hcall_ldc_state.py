"""LDC_*: what a state has of channels, and what a suspend does to them."""

from __future__ import annotations

from asm_support import ta
from guest_support import EOK, Guest
from test_hcall_ldc import (
    CPR,
    PAGES,
    RESET,
    RX_HEAD,
    RX_STATE,
    UP,
    call,
    configure,
    export,
    host,
    idle,
    interrupts_on,
    packet,
    receive,
    send,
)

from emulator import StopReason


def test_channels_go_with_the_state() -> None:
    guest, channel = host()
    guest.machine.connect_channels(2, 3)
    configure(guest, 3)
    interrupts_on(guest, 1)
    export(guest, 1, PAGES | CPR)
    send(guest, 1, packet(3))
    channel.send(packet(4) * 2)
    channel.reset()
    other = Guest()
    other.machine.load(guest.machine.save())
    assert other.machine.digest() == guest.machine.digest()
    twin = other.machine.channel(1)
    assert twin.info == channel.info
    for each, end in ((guest, channel), (other, twin)):
        assert end.receive() == [packet(3)]
        assert call(each, RX_STATE, 1)[3] == RESET
        assert receive(each, 1) == [packet(4)] * 2
        idle(each, 3)
    assert other.machine.digest() == guest.machine.digest()
    assert other.machine.channel(3).info.peer == 2


def test_every_bit_of_the_digest_counts() -> None:
    """Two guests that differ in one queue pointer differ in their digests."""
    digests = set()
    for head in (0, 64):
        guest, channel = host()
        channel.send(packet(1))
        call(guest, RX_HEAD, 1, head)
        guest.set(**{f"o{n}": 0 for n in range(6)})
        digests.add(guest.machine.digest())
    assert len(digests) == 2


def test_channels_report_reset_after_a_suspend() -> None:
    guest, _ = host()
    assert guest.hcall(0, 1, 1, 2, trap=0xFF)[0] == EOK
    guest.set(o5=0x181).load(ta(0x80))
    assert guest.machine.run(10).reason is StopReason.SUSPEND
    guest.machine.resume()
    assert [call(guest, RX_STATE, 1)[3] for _ in range(2)] == [RESET, UP]
