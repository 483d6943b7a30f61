"""What a switch does besides learning: ageing, private VLANs, bandwidth, protection, priorities, cluster, counters."""

from __future__ import annotations

import struct

import pytest
from test_switch import BROADCAST, A, B, C, drain, frame, switch, tagged

from emulator.devices.guard import Guard
from emulator.devices.port import BURST_SECONDS, INBOX, LEAST_BURST, Bucket
from emulator.devices.rarp import announcement
from emulator.devices.segment import Member, Segment, bridge
from emulator.devices.switch import AGE_NS, MAX_HOPS, MAX_LEARNED, Port, Switch


class Clock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


def test_addresses_age() -> None:
    clock = Clock()
    made = Switch(clock=clock)
    a, b, c = (made.add(Port(name)) for name in "abc")
    a.send(frame(B, A))
    drain(b), drain(c)
    clock.ns = AGE_NS
    b.send(frame(A, B))
    assert (drain(a), drain(c)) == ([frame(A, B)], [])
    clock.ns = AGE_NS + 1
    b.send(frame(A, B))
    assert (drain(a), drain(c)) == ([frame(A, B)], [frame(A, B)]), "forgotten: to everybody"


def test_frames_larger_than_the_switch_takes() -> None:
    made = Switch()
    a, b = made.add(Port("a")), made.add(Port("b", vids=(5,)))
    made.most = 1518
    a.send(frame(B, A).ljust(1518, b"x"))
    a.send(frame(B, A).ljust(1519, b"x"))
    assert [len(each) for each in drain(b)] == [1518]
    assert (made.oversized, a.counters.dropped) == (1, 1)


def test_private_vlans() -> None:
    """Isolated ports hear only the uplink, those of a community each other; outside they have the secondary tag."""
    made = Switch()
    uplink = made.add(Port("uplink", trunk=True, every_group=True))
    iso1, iso2, com1, com2, plain = (made.add(Port(name, pvid=10)) for name in ("i1", "i2", "c1", "c2", "p"))
    iso1.secondary = iso2.secondary = (20, True)
    com1.secondary = com2.secondary = (30, False)
    made.settle()
    everybody = (uplink, iso1, iso2, com1, com2, plain)

    def reached(port: Port, sent: bytes) -> dict[str, bytes]:
        port.send(sent)
        found = {}
        for other in everybody:
            got = drain(other)
            if got:
                (found[other.name],) = got
        return found

    said = frame(BROADCAST, A)
    assert reached(iso1, said) == {"uplink": tagged(said, 20), "p": said}
    assert reached(com1, said) == {"uplink": tagged(said, 30), "c2": said, "p": said}
    assert reached(plain, said) == {"uplink": tagged(said, 10), "i1": said, "i2": said, "c1": said, "c2": said}
    assert set(reached(uplink, tagged(said, 10))) == {"i1", "i2", "c1", "c2", "p"}
    assert set(reached(uplink, tagged(said, 20))) == {"p"}, "of an isolated port elsewhere"
    assert set(reached(uplink, tagged(said, 30))) == {"c1", "c2", "p"}
    iso2.send(frame(A, B))
    drain(uplink), drain(plain)
    assert reached(iso1, frame(B, A)) == {}, "also where the address is known"


def test_bandwidth() -> None:
    clock = Clock()
    a, b = Port("a"), Port("b")
    a.clock = clock
    made = switch(a, b)
    a.limit(80_000_000)  # 10 MB/s
    big = frame(B, A).ljust(1500, b"x")
    burst = int(10_000_000 * BURST_SECONDS) // 1500

    def sent(count: int) -> int:
        got = 0
        for _ in range(count):
            a.send(big)
            got += len(drain(b))
        return got

    assert sent(burst + 100) == burst
    assert a.counters.limited == 100
    clock.ns += 3_000_000  # 3 ms: 30000 bytes
    assert sent(100) == 20
    clock.ns += 10**12
    assert sent(burst + 1) == burst, "no more than a burst is saved up"
    clock.ns += 10**12
    taken = 0
    for _ in range(burst + 5):
        b.send(frame(A, B).ljust(1500, b"x"))
        taken += len(drain(a))
    assert taken == burst, "the other direction has its own"
    a.limit(None)
    assert sent(burst * 2) == burst * 2
    assert made.vlans[1][0] > 0
    assert Bucket(1).take(LEAST_BURST, 0) and not Bucket(1).take(LEAST_BURST + 1, 0), "large frames pass small limits"


def test_priority_of_frames_without_a_tag() -> None:
    a, b = Port("a", pvid=5), Port("b", pvid=1, vids=(5,))
    switch(a, b)
    a.priority_bits = 6 << 13
    a.send(frame(B, A))
    a.send(frame(B, A, vlan=5))
    assert drain(b) == [tagged(frame(B, A), 6 << 13 | 5), frame(B, A, vlan=5)]


def test_heartbeats_of_a_cluster_go_first() -> None:
    a, b = Port("a"), Port("b")
    made = switch(a, b)
    beat = (B + A + b"\x08\x33").ljust(60, b"\0")
    a.send(frame(B, A))
    a.send(beat)
    assert drain(b) == [frame(B, A), beat]
    made.cluster = True
    for _ in range(INBOX + 1):
        a.send(frame(B, A))
    a.send(beat)
    assert drain(b)[0] == beat, "even where there is no room for others"


def test_counters() -> None:
    made = Switch()
    a, b = made.add(Port("a")), made.add(Port("b", pvid=7, vids=(1,)))
    a.send(frame(BROADCAST, A))
    b.send(frame(BROADCAST, B))
    assert (a.counters.received_bytes, b.counters.sent_bytes) == (60, 64)
    assert made.vlans == {1: [1, 60], 7: [1, 60]}


def ipv4(source: str, *, protocol: int = 1, body: bytes = b"") -> bytes:
    packed = bytes(int(part) for part in source.split("."))
    return bytes((0x45,)) + bytes(8) + bytes((protocol, 0, 0)) + packed + bytes(4) + body


def dhcp(chaddr: bytes, identifier: bytes | None = None) -> bytes:
    options = b"" if identifier is None else bytes((61, len(identifier))) + identifier
    body = bytes(28) + chaddr.ljust(16, b"\0") + bytes(192) + bytes.fromhex("63825363") + b"\0" + options + b"\xff"
    return ipv4("0.0.0.0", protocol=17, body=struct.pack(">HHHH", 68, 67, 0, 0) + body)


@pytest.mark.parametrize(
    ("protection", "kind", "body", "source", "passes"),
    [
        ("mac-nospoof", 0x0800, b"", A, True),
        ("mac-nospoof", 0x0800, b"", B, False),
        ("restricted", 0x0800, b"", B, True),
        ("restricted", 0x88CC, b"", A, False),
        ("ip-nospoof", 0x0800, ipv4("10.0.0.1"), A, True),
        ("ip-nospoof", 0x0800, ipv4("10.0.0.2"), A, False),
        ("ip-nospoof", 0x0806, bytes(14) + bytes((10, 0, 0, 1)), A, True),
        ("ip-nospoof", 0x0806, bytes(14) + bytes((10, 0, 0, 9)), A, False),
        ("ip-nospoof", 0x86DD, bytes(8) + bytes.fromhex("fe80") + bytes(14), A, True),
        ("ip-nospoof", 0x86DD, bytes(8) + bytes.fromhex("2001") + bytes(14), A, False),
        ("ip-nospoof", 0x0800, b"", A, False),
        ("dhcp-nospoof", 0x0800, dhcp(A), A, True),
        ("dhcp-nospoof", 0x0800, dhcp(B), A, False),
        ("dhcp-nospoof", 0x0800, dhcp(A, b"\0name"), A, True),
        ("dhcp-nospoof", 0x0800, dhcp(A, b"\0other"), A, False),
        ("dhcp-nospoof", 0x0800, dhcp(A, b"\1" + A), A, True),
        ("dhcp-nospoof", 0x0800, b"\x4f", A, True),
    ],
)
def test_link_protection(protection: str, kind: int, body: bytes, source: bytes, passes: bool) -> None:
    a, b = Port("a", vids=(3,)), Port("b", vids=(3,))
    switch(a, b)
    a.guard = Guard.of([A], [protection], ips=["10.0.0.1"], cids=["name"])
    sent = C + source + kind.to_bytes(2, "big") + body
    a.send(sent)
    assert bool(drain(b)) is passes
    a.send(tagged(sent, 3))
    assert bool(drain(b)) is passes, "a tag hides nothing"
    assert a.counters.refused == (0 if passes else 2)


def test_no_protection_is_no_guard() -> None:
    assert Guard.of([A], []) is None
    with pytest.raises(ValueError, match=r"10\.0"):
        Guard.of([A], ["ip-nospoof"], ips=["10.0"])


def test_an_announcement_moves_an_address() -> None:
    clock = Clock()
    made = Switch(clock=clock)
    uplink, here, c = (made.add(Port(name)) for name in ("uplink", "here", "c"))
    uplink.send(frame(C, A))
    assert made.where(A) is uplink
    made.assign(here, [A])
    made.forward(here, announcement(A), MAX_HOPS)
    assert made.where(A) is here
    assert drain(uplink) == [announcement(A)] and drain(c)[-1] == announcement(A)
    assert announcement(A)[:14] == BROADCAST + A + b"\x80\x35" and len(announcement(A)) == 60
    assert announcement(A, vlan=9)[12:16] == b"\x81\x00\x00\x09"
    made.remove(here)
    uplink.send(announcement(A))
    assert made.where(A) is uplink, "moved on, to another machine"


class Tap(Member):
    def __init__(self, name: str, *, mesh: bool = False) -> None:
        super().__init__(name, mesh=mesh)
        self.got: list[bytes] = []

    def transmit(self, frame: bytes) -> None:
        self.got.append(frame)


def test_a_segment_learns_ages_and_keeps_the_horizon() -> None:
    clock = Clock()
    segment = Segment("lan", clock=clock)
    up, out, m1, m2 = Tap("up"), Tap("out"), Tap("m1", mesh=True), Tap("m2", mesh=True)
    for member in (up, out, m1, m2):
        segment.add(member)
    m1.receive(frame(BROADCAST, A))
    assert [len(each.got) for each in (up, out, m1, m2)] == [1, 1, 0, 0]
    up.receive(frame(A, B))
    assert [len(each.got) for each in (up, out, m1, m2)] == [1, 1, 1, 0]
    m2.receive(frame(A, C))  # it is behind a neighbour of the sender's, which knows it
    assert [len(each.got) for each in (up, out, m1, m2)] == [1, 1, 1, 0]
    up.receive(frame(A, B, vlan=3))  # of another VLAN: not learned there
    assert [len(each.got) for each in (out, m1, m2)] == [2, 2, 1]
    out.receive(frame(BROADCAST, A))
    assert segment.where(A) is out, "the newest word counts"
    clock.ns = AGE_NS + 1
    up.receive(frame(A, B))
    assert [len(each.got) for each in (out, m1, m2)] == [3, 4, 3]
    up.receive(b"short")
    up.receive(bytes(20000))
    assert up.counters.dropped == 2
    for n in range(MAX_LEARNED + 10):
        m1.receive(frame(B, n.to_bytes(6, "big")))
    segment.remove(out)
    assert segment.where(A) is None


def test_two_segments_are_joined_without_a_ring() -> None:
    segments = [Segment(name) for name in "abc"]
    taps = [Tap(name) for name in "abc"]
    for segment, tap in zip(segments, taps, strict=True):
        segment.add(tap)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        bridge(segments[one], segments[other])
    taps[0].receive(frame(BROADCAST, A))
    assert [len(tap.got) for tap in taps] == [0, 1, 1]
    taps[1].receive(frame(A, B))
    assert [len(tap.got) for tap in taps] == [1, 1, 1]


def test_an_owner_is_woken_once_until_it_comes() -> None:
    made, woken = Switch(), []
    a, b = made.add(Port("a")), made.add(Port("b", wake=lambda: woken.append(None)))
    for _ in range(3):
        a.send(frame(B, A))
    assert len(woken) == 1
    b.awake()
    assert len(drain(b)) == 3 and len(woken) == 1
    a.send(frame(B, A))
    assert len(woken) == 2, "what comes after it has come wakes it again"
