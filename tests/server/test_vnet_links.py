"""Links between networks of a switch, past it: labos on both ends, the switch away, guests that come, go and move."""

from __future__ import annotations

from typing import Any

from moving_support import move
from server_support import PROMPT, Room, labos_spec

MACS = {1: 0x0014_4FF8_2001, 2: 0x0014_4FF8_2002, 3: 0x0014_4FF8_2003}


def spec(number: int, *peers: int) -> dict[str, Any]:
    """A labos whose network has links to those of other guests."""
    links = [[10 + peer, MACS[peer]] for peer in peers]
    net = {"name": "net0", "number": 0, "channel": 1, "mac": MACS[number], "switch": "vsw0", "peers": links}
    return labos_spec(number, nets=[net])


def switch(room: Room, *, online: bool) -> None:
    room.call("service.configure", switches=[{"name": "vsw0", "online": online}])


def frames(room: Room) -> int:
    """That came to the switch so far."""
    found = room.server.switches.find("vsw0")
    assert found is not None
    return sum(port.counters.received for port in found[1].ports)


def start(room: Room, *specs: dict[str, Any]) -> None:
    for each in specs:
        room.add(each)
    numbers = [each["id"] for each in specs]
    room.prompt(*numbers)
    for number in numbers:
        room.do(number, f"ifconfig vnet0 10.0.0.{number}/24")


def alive(room: Room, number: int, other: int) -> bool:
    return ", 0% packet loss" in room.do(number, f"ping 10.0.0.{other} 2")


def test_two_guests_talk_while_nobody_serves_the_switch() -> None:
    with Room() as room:
        switch(room, online=True)
        start(room, spec(1, 2), spec(2, 1))
        assert alive(room, 1, 2)
        before = frames(room)
        assert alive(room, 1, 2)
        assert alive(room, 2, 1)
        assert frames(room) == before, "not through the switch"
        switch(room, online=False)
        assert alive(room, 1, 2)
        assert alive(room, 2, 1)


def test_links_come_and_go_with_guests() -> None:
    with Room() as room:
        switch(room, online=True)
        start(room, spec(1), spec(2))
        assert alive(room, 1, 2), "through the switch"
        for number, other in ((1, 2), (2, 1)):
            room.call("guest.configure", spec=spec(number, other))
        room.server.advance(2_000_000_000)
        assert alive(room, 1, 2)
        switch(room, online=False)
        assert alive(room, 1, 2), "labos was told of its new port"
        room.call("guest.suspend", guest=2)
        room.server.advance(10_000_000)
        assert not alive(room, 1, 2), "its ends are out"
        room.call("guest.resume", guest=2)
        room.server.advance(2_000_000_000)
        assert alive(room, 1, 2)
        switch(room, online=True)
        begin = len(room.text(2))
        room.call("guest.reset", guest=2)
        room.until(lambda: room.text(2)[begin:].endswith(PROMPT))
        room.do(2, "ifconfig vnet0 10.0.0.2/24")
        assert alive(room, 1, 2)
        switch(room, online=False)
        assert alive(room, 1, 2), "it has begun anew"
        room.call("guest.configure", spec=spec(1))
        room.server.advance(2_000_000_000)
        assert not alive(room, 1, 2), "one end has gone"
        switch(room, online=True)
        room.server.advance(2_000_000_000)
        assert alive(room, 1, 2)


def test_a_guest_that_moves_leaves_its_links_and_finds_others() -> None:
    with Room() as here, Room() as there:
        for room in (here, there):
            switch(room, online=True)
        start(here, spec(1, 2), spec(2, 1))
        start(there, spec(3, 1))
        assert alive(here, 2, 1)
        there.said[1] = here.said[1]
        move(here.client, there.client, spec(1, 3))
        there.server.console(1).attach(there.said[1].extend)
        here.server.advance(2_000_000_000)
        there.server.advance(2_000_000_000)
        assert alive(there, 1, 3)
        switch(there, online=False)
        assert alive(there, 1, 3), "a link at the new place"
        assert not alive(here, 2, 1)


def test_the_same_events_give_the_same_digests() -> None:
    digests = []
    for _ in range(2):
        with Room() as room:
            switch(room, online=True)
            start(room, spec(1, 2), spec(2, 1))
            assert alive(room, 1, 2)
            digests.append([room.call("guest.digest", guest=number) for number in (1, 2)])
    assert digests[0] == digests[1]
