"""MAC addresses: unique on a server, remembered when freed, never from the automatic range by hand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services_support import domain, server

from ldmd.messages import RefusedError
from ldmd.model import Pending, VirtualFunction, Vnet, Vsw
from ldmd.planner import macs


@given(st.integers(0, 2**32), st.integers(0, 300), st.integers(1, 40))
def test_what_is_allocated_is_free_and_automatic(seed: int, freed: int, count: int) -> None:
    rng = Random(seed)
    configuration = server()
    for _ in range(freed):
        configuration = macs.free(configuration, macs.AUTOMATIC[rng.randrange(2000)])
    for number in range(count):
        mac, configuration = macs.allocate(configuration, rng)
        assert mac in macs.AUTOMATIC and mac not in macs.macs_in_use(configuration)
        assert mac not in configuration.freed_macs
        configuration = configuration.with_domain(domain(f"ldg{number}", number, mac=mac))


def test_the_range_is_that_of_the_guide() -> None:
    assert macs.format_mac(macs.AUTOMATIC[0]) == "00:14:4f:f8:00:00"
    assert macs.format_mac(macs.AUTOMATIC[-1]) == "00:14:4f:fb:ff:ff"
    assert macs.format_mac(macs.MANUAL[0]) == "00:14:4f:fc:00:00"
    assert macs.format_mac(macs.MANUAL[-1]) == "00:14:4f:ff:ff:ff"


def test_the_one_freed_last_comes_back_first() -> None:
    configuration = macs.free(macs.free(server(), 0x144FF80001), 0x144FF80002)
    first, configuration = macs.allocate(configuration, Random(1))
    second, configuration = macs.allocate(configuration, Random(1))
    assert (first, second) == (0x144FF80002, 0x144FF80001)
    assert configuration.freed_macs == ()


def test_a_freed_address_that_is_in_use_or_avoided_is_passed_over() -> None:
    used = domain("ldg1", 5)
    configuration = server(used, freed_macs=(used.mac, 0x144FF80009))
    mac, _ = macs.allocate(configuration, Random(1), avoid={0x144FF80009})
    assert mac not in (used.mac, 0x144FF80009)


def test_at_most_256_are_remembered_and_only_automatic_ones() -> None:
    configuration = server()
    for n in range(300):
        configuration = macs.free(configuration, macs.AUTOMATIC[n])
    assert configuration.freed_macs == tuple(macs.AUTOMATIC[n] for n in range(44, 300))
    assert macs.free(configuration, macs.MANUAL[0]) is configuration


def test_a_removed_domain_frees_all_its_addresses() -> None:
    guest = domain("ldg1", 1, vnets=(Vnet(name="vnet0", service="s", mac=0x144FF80007, alt_macs=(0x144FF80008,)),),
                   switches=(Vsw(name="s", mac=0x144FF80009),))  # fmt: skip
    freed = macs.free_domain(server(), guest).freed_macs
    assert set(freed) == {guest.mac, 0x144FF80007, 0x144FF80008, 0x144FF80009}
    assert freed[-1] == guest.mac  # the next domain is given it


def test_a_full_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(macs, "AUTOMATIC", range(0x144FF80000, 0x144FF80002))
    configuration = server(domain("ldg1", 0), domain("ldg2", 1))
    with pytest.raises(RefusedError, match="No free MAC address"):
        macs.allocate(configuration, Random(1))


def test_all_owners_are_found() -> None:
    guest = domain("ldg1", 1, vnets=(Vnet(name="vnet0", service="s", mac=7, alt_macs=(8,)),))
    later = domain("ldg1", 1, vnets=(Vnet(name="vnet1", service="s", mac=9),))
    function = VirtualFunction(name="/SYS/MB/NET0/IOVNET.PF0.VF0", pf="p", properties=(
        ("mac-addr", "00:14:4f:fc:00:01"), ("alt-mac-addrs", "00:14:4f:fc:00:02,00:14:4f:fc:00:03")))  # fmt: skip
    used = macs.macs_in_use(server(guest, pending=(Pending(domain=later),), virtual_functions=(function,)))
    assert {7, 8, 9, guest.mac, 0x144FFC0001, 0x144FFC0002, 0x144FFC0003} < set(used)


NO_ADDRESSES = ("", "0:1:2:3:4", "0:1:2:3:4:5:6", "00-14-4f-fc-00-01", "g0:1:2:3:4:5", "0:1:2:3:4:555",
                "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "0:0:0:0:0:0", "00:14:4f:fc:00:01\n")  # fmt: skip


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_of_a_device_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        macs.parse_mac(text)


@given(st.integers(0, 2**48 - 1))
def test_text_and_number_agree(number: int) -> None:
    number &= ~(1 << 40)
    if number:
        assert macs.parse_mac(macs.format_mac(number)) == macs.parse_mac(macs.format_mac(number).upper()) == number


def test_by_hand() -> None:
    configuration = server(domain("ldg1", 1, mac=0x144FFC0001))
    macs.check_manual(configuration, 0x144FFC0002)
    macs.check_manual(configuration, 0x0800_2012_3456)
    macs.check_manual(configuration, 0x144FF80001, now=0x144FF80001)
    with pytest.raises(RefusedError, match="reserved for automatic allocation"):
        macs.check_manual(configuration, 0x144FFBFFFF)
    with pytest.raises(RefusedError, match="already in use by domain ldg1"):
        macs.check_manual(configuration, 0x144FFC0001)
