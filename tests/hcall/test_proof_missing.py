"""Channels of a guest whose missing pages will never come (post-copy given up): no memory, and nothing old goes out."""

from __future__ import annotations

import os

import pytest
from guest_support import ENORADDR, EOK, Guest
from test_hcall_ldc import COPY, CPR, CPW, PAGES, TX, TX_STATE, call, export, fill, host, packet, pair, receive, send
from test_hcall_wire import HERE, THERE, Pair

HEADER, PAGE = 4096, 8192
RX = TX + 0x10000


def lose(guest: Guest, *pages: int) -> None:
    """These real addresses are on pages that were still to come when the source was lost (csrc/util/presence.h)."""
    file, _ = guest.machine.begin_missing()
    for ra in pages:
        os.pwrite(file, b"\x01", HEADER + ra // PAGE)
    guest.machine.give_up_missing()


@pytest.mark.parametrize("out", [0, 1])
def test_copy_inside_a_domain(out: int) -> None:
    """The whole pages before it count; from or to the missing one itself there is no memory."""
    guest = pair()
    fill(guest)
    export(guest, 3, *[PAGES + PAGE * page | CPR | CPW for page in range(4)])
    local = PAGES + 0x20000
    lose(guest, PAGES + 2 * PAGE, local + 3 * PAGE)
    assert call(guest, COPY, 2, out, 0, local, 3 * PAGE)[:2] == (EOK, 2 * PAGE)
    assert call(guest, COPY, 2, out, 2 * PAGE, local, 8)[0] == ENORADDR
    assert call(guest, COPY, 2, out, 0, local + 3 * PAGE, 8)[0] == ENORADDR
    assert call(guest, COPY, 2, out, 3 * PAGE, local, 8)[:2] == (EOK, 8)


@pytest.mark.parametrize("out", [0, 1])
@pytest.mark.parametrize("whose", ["one", "other"])
def test_copy_between_domains(out: int, whose: str) -> None:
    both = Pair()
    for page in range(4):
        both.export(1 + page, PAGES + PAGE * page, CPR | CPW)
    lose(getattr(both, whose), PAGES + 2 * PAGE)
    assert call(both.one, COPY, HERE, out, PAGE, PAGES, 4 * PAGE)[:2] == (EOK, 2 * PAGE)
    assert call(both.one, COPY, HERE, out, 3 * PAGE, PAGES + 2 * PAGE, 8)[0] == ENORADDR
    assert call(both.one, COPY, HERE, out, 4 * PAGE, PAGES, 8)[:2] == (EOK, 8)


@pytest.mark.parametrize("out", [0, 1])
def test_copy_of_what_the_client_exports(out: int) -> None:
    guest, channel = host()
    channel.export(PAGE)
    channel.set_exported(0, b"\x55" * PAGE)
    lose(guest, PAGES)
    assert call(guest, COPY, 1, out, 0, PAGES, 16)[0] == ENORADDR
    assert call(guest, COPY, 1, out, 0, PAGES + PAGE, 16)[:2] == (EOK, 16)


def test_a_packet_that_is_lost_is_not_sent_as_what_was_there_before() -> None:
    both = Pair()
    old = [packet(n) for n in range(3)]
    assert send(both.one, HERE, *old) == EOK
    assert receive(both.other, THERE) == old
    lose(both.one, TX + 0x1000 * HERE)
    head, tail = call(both.one, TX_STATE, HERE)[1:3]
    assert head == tail == 64 * 3
    assert call(both.one, 0xE3, HERE, tail + 64)[0] == EOK
    assert receive(both.other, THERE) == []


def test_a_queue_that_is_lost_takes_nothing() -> None:
    """The packets stay where they are; the other end goes on."""
    both = Pair()
    lose(both.other, RX + 0x1000 * THERE)
    assert send(both.one, HERE, packet(1), packet(2)) == EOK
    head, tail = call(both.other, 0xE6, THERE)[1:3]
    assert head == tail == 0
