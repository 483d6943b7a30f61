"""The switch by itself, and captures of what goes through its ports."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from emulator.devices.capture import INBOUND, OUTBOUND, Capture
from emulator.devices.switch import INBOX, MAX_LEARNED, Port, Switch, join, mac_bytes
from emulator.errors import ConfigError

A, B, C, D = (bytes.fromhex(f"0200000000{n:02x}") for n in range(1, 5))
BROADCAST, GROUP = b"\xff" * 6, bytes.fromhex("01005e000001")


def frame(to: bytes, from_: bytes, *, vlan: int | None = None, text: bytes = b"x") -> bytes:
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    return (to + from_ + tag + b"\x08\x00" + text).ljust(60, b"\0")


def tagged(frame: bytes, tci: int) -> bytes:
    return frame[:12] + b"\x81\x00" + tci.to_bytes(2, "big") + frame[12:]


def drain(port: Port) -> list[bytes]:
    found = []
    while (each := port.take()) is not None:
        found.append(each)
    return found


def switch(*ports: Port) -> Switch:
    made = Switch()
    for port in ports:
        made.add(port)
    return made


def three() -> tuple[Switch, Port, Port, Port]:
    ports = Port("a"), Port("b"), Port("c")
    return switch(*ports), *ports


def test_an_address_of_another_cannot_be_taken_over() -> None:
    """By sending from it, by a handshake, by so many others that what was learned is forgotten."""
    made, a, b, c = three()
    made.assign(a, [A])
    made.assign(b, [A, B])
    b.send(frame(C, A))
    made.learn(b, A)
    for n in range(MAX_LEARNED + 1):
        b.send(frame(C, n.to_bytes(6, "big")))
    drain(a), drain(c)
    c.send(frame(A, C))
    assert (drain(a), drain(b)) == ([frame(A, C)], [])
    made.remove(a)
    b.send(frame(C, A))
    assert made.where(A) is b
    made.assign(c, [A])
    assert (made.where(A), made.where(B)) == (c, b)
    assert made.where(A, 2) is None, "of the VLANs it is in"


def test_addresses_are_learned() -> None:
    made, a, b, c = three()
    a.send(frame(B, A))
    assert (drain(b), drain(c)) == ([frame(B, A)], [frame(B, A)]), "unknown: to everybody"
    b.send(frame(A, B))
    assert (drain(a), drain(c)) == ([frame(A, B)], [])
    a.send(frame(B, A, text=b"2"))
    assert (drain(b), drain(c)) == ([frame(B, A, text=b"2")], [])
    c.send(frame(B, A))  # the address has moved
    assert made.where(A) is c
    c.send(frame(A, B))
    assert drain(a) == []
    assert drain(c) == [], "never back where it came from"
    made.remove(c)
    assert made.where(A) is None
    assert [port.name for port in made.ports] == ["a", "b"]


def test_broadcast_and_groups() -> None:
    _, a, b, c = three()
    c.groups.add(GROUP)
    a.send(frame(BROADCAST, A))
    a.send(frame(GROUP, A))
    assert drain(b) == [frame(BROADCAST, A)]
    assert drain(c) == [frame(BROADCAST, A), frame(GROUP, A)]
    b.every_group = True
    a.send(frame(GROUP, A))
    assert drain(b) == [frame(GROUP, A)]


def test_vlans_are_kept_apart() -> None:
    ports = one, two, both, trunk = (
        Port("one"), Port("two", pvid=2), Port("both", vids=[2, 3]), Port("trunk", pvid=9, trunk=True),
    )  # fmt: skip
    switch(*ports)
    one.send(frame(BROADCAST, A))
    assert (drain(two), drain(both), drain(trunk)) == ([], [frame(BROADCAST, A)], [tagged(frame(BROADCAST, A), 1)])
    two.send(frame(BROADCAST, B))
    assert (drain(one), drain(both)) == ([], [tagged(frame(BROADCAST, B), 2)])
    assert len(drain(trunk)) == 1
    both.send(frame(BROADCAST, C, vlan=2))
    untagged = frame(BROADCAST, C, vlan=2)[:12] + frame(BROADCAST, C, vlan=2)[16:]
    assert (drain(one), drain(two)) == ([], [untagged])
    one.send(frame(BROADCAST, A, vlan=2))
    assert one.counters.dropped == 1, "not its VLAN"
    one.send(frame(BROADCAST, A, vlan=0))
    assert len(drain(both)) == 1, "a priority tag is no VLAN"
    drain(trunk)
    one.send(tagged(frame(BROADCAST, A), 0xA000))
    assert drain(trunk) == [tagged(frame(BROADCAST, A), 0xA001)], "but goes with one"


@pytest.mark.parametrize("vlans", [{"pvid": 0}, {"pvid": 4095}, {"vids": [0]}, {"vids": [5000]}])
def test_vlans_that_are_none(vlans: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Port("x", **vlans)  # type: ignore[arg-type]


def test_frames_that_are_none() -> None:
    _, a, b, _ = three()
    for bad in (b"", b"x" * 13, bytes(20000), BROADCAST + A + b"\x81"):
        a.send(bad)
    assert a.counters.dropped == 4
    a.send(BROADCAST + A + b"\x81\x00")  # a header and half a tag
    assert drain(b) == [BROADCAST + A + b"\x81\x00"]


def test_limits() -> None:
    made, a, b, _ = three()
    for n in range(INBOX + 5):
        a.send(frame(BROADCAST, A, text=str(n).encode()))
    assert b.counters.dropped == 5
    assert len(drain(b)) == INBOX
    for n in range(MAX_LEARNED + 10):
        a.send(frame(BROADCAST, mac_bytes(0x0200_0000_0000 + n)))
        b.discard()
    assert len(made._learned) == MAX_LEARNED
    a.send(frame(A, GROUP))
    a.send(frame(A, bytes(6)))
    assert made.where(GROUP) is None, "a group sends nothing"


def test_joined_switches_and_rings_of_them() -> None:
    one, two, three_ = Switch("one"), Switch("two"), Switch("three")
    a, b = one.add(Port("a")), two.add(Port("b", vids=[7]))
    join(one, two)
    a.send(frame(B, A))
    assert drain(b) == [frame(B, A)]
    b.send(frame(A, B))
    assert drain(a) == [frame(A, B)]
    b.send(frame(BROADCAST, B, vlan=7))
    assert drain(a) == []
    join(two, three_)
    join(three_, one)
    a.send(frame(BROADCAST, A, text=b"round"))
    assert 1 <= len(drain(b)) < 100, "it ends"


def test_a_port_is_in_one_switch() -> None:
    made, a, _, _ = three()
    with pytest.raises(ConfigError):
        Switch().add(a)
    made.remove(a)
    a.send(frame(B, A))  # to nobody
    for bad in (-1, 1 << 48):
        with pytest.raises(ConfigError):
            mac_bytes(bad)


def test_frames_from_several_threads() -> None:
    made, a, b, c = three()
    made.learn(c, C)

    def send(port: Port, own: bytes) -> None:
        for n in range(400):
            port.send(frame(C, own, text=n.to_bytes(2, "big")))

    threads = [threading.Thread(target=send, args=each) for each in ((a, A), (b, B))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = drain(c)
    for own in (A, B):
        assert [int.from_bytes(each[14:16], "big") for each in got if each[6:12] == own] == list(range(400))


# -- captures


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert data[size - 4 : size] == data[4:8]
        found.append((kind, data[8 : size - 4]))
        data = data[size:]
    return found


def record(path: Path) -> list[bytes]:
    times = iter((1_356_998_400_000_000_000, 1_356_998_400_000_000_123, 1_356_998_401_000_000_000, 1 << 61))
    _, a, b, _ = three()
    with Capture(path, clock=lambda: next(times)) as capture:
        b.record(capture)
        a.record(capture)
        a.send(frame(B, A))
        b.send(frame(A, B, text=b"odd size")[:61])
        capture.close()
        a.send(frame(B, A))
    odd = frame(A, B, text=b"odd size")[:61]
    return [frame(B, A), frame(B, A), odd, odd]


def test_bytes_of_a_capture(tmp_path: Path) -> None:
    frames = record(tmp_path / "c.pcapng")
    (section, head), *rest = blocks((tmp_path / "c.pcapng").read_bytes())
    assert section == 0x0A0D0D0A
    assert head[:8] == struct.pack("<IHH", 0x1A2B3C4D, 1, 0)
    assert [kind for kind, _ in rest] == [1, 1, 6, 6, 6, 6]
    for (_, body), name in zip(rest, (b"b", b"a"), strict=False):
        assert struct.unpack_from("<HHI", body) == (1, 0, 0)
        assert struct.pack("<HH", 2, 1) + name in body
    for (_, body), sent, (interface, direction) in zip(
        rest[2:], frames, ((1, INBOUND), (0, OUTBOUND), (0, INBOUND), (1, OUTBOUND)), strict=True
    ):
        number, high, low, size, whole = struct.unpack_from("<IIIII", body)
        assert (number, size, whole) == (interface, len(sent), len(sent))
        assert high << 32 | low >= 1_356_998_400_000_000_000
        assert body[20 : 20 + size] == sent
        assert struct.pack("<HHI", 2, 4, direction) in body[20 + size :]


def test_tshark_reads_a_capture(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    frames = record(tmp_path / "c.pcapng")
    out = subprocess.run(
        [tshark, "-r", str(tmp_path / "c.pcapng"), "-T", "json", "-x"], capture_output=True, text=True, check=True
    ).stdout
    assert [bytes.fromhex(each["_source"]["layers"]["frame_raw"][0]) for each in json.loads(out)] == frames
