"""Networks of several machines, joined through sockets: meshes, VLANs, peers that are slow, dead or hostile."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from network_support import BROADCAST, Peer, Site, frame, joined, mac, until

from emulator.devices.framing import MAX_LENGTH, Deframer, FramingError, enframe
from emulator.errors import ConfigError
from emulator.netdev import parse_outlet, parse_plan, parse_words
from emulator.places import PlaceError
from emulator.server.labnet import Home, hello, parse_hello
from emulator.server.wires import QUEUE_BYTES


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def test_frames_pass_between_two_machines(tmp_path: Path, stack: ExitStack) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    a.port.send(frame(BROADCAST, mac(1)))
    assert b.take() == frame(BROADCAST, mac(1))
    b.port.send(frame(mac(1), mac(2), text=b"answer"))
    assert a.take() == frame(mac(1), mac(2), text=b"answer")
    assert a.switch.where(mac(2)) is a.uplink


def test_three_machines_are_a_mesh_without_a_loop(tmp_path: Path, stack: ExitStack) -> None:
    a, b, c = sites = [stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta", "gamma")]
    joined(*sites)
    for number, site in enumerate(sites, start=1):
        site.port.send(frame(BROADCAST, mac(number)))
    for site in sites:
        found = {site.take()[6:12], site.take()[6:12]}
        own = mac(sites.index(site) + 1)
        assert found == {mac(1), mac(2), mac(3)} - {own}
    a.port.send(frame(mac(3), mac(1), text=b"for gamma alone"))
    assert c.take() == frame(mac(3), mac(1), text=b"for gamma alone")
    b.port.send(frame(mac(3), mac(2), text=b"after it"))
    assert c.take() == frame(mac(3), mac(2), text=b"after it")
    assert [site.port.waiting for site in sites] == [0, 0, 0], "nothing came twice, nothing came to others"


def test_a_machine_that_goes_is_noticed_and_found_again(tmp_path: Path, stack: ExitStack) -> None:
    a, b = Site(tmp_path, "alpha"), stack.enter_context(Site(tmp_path, "beta"))
    joined(a, b)
    a.networks.close()
    until(lambda: b.wires() == [])
    assert not list((tmp_path / "alpha").iterdir()), "the socket goes with the machine"
    with Site(tmp_path, "alpha") as again:
        joined(again, b)
        again.port.send(frame(BROADCAST, mac(1)))
        assert b.take() == frame(BROADCAST, mac(1))


def test_vlans_pass_and_stay_apart(tmp_path: Path, stack: ExitStack) -> None:
    # the default VLAN goes without a tag, whatever its number on either side
    a = stack.enter_context(Site(tmp_path, "alpha", default_vlan=1))
    b = stack.enter_context(Site(tmp_path, "beta", default_vlan=7))
    a5, b5, b_trunk = a.add(pvid=5), b.add(pvid=5), b.add(pvid=7, vids=(5, 6))
    joined(a, b)
    a.port.send(frame(BROADCAST, mac(1)))
    assert b.take() == frame(BROADCAST, mac(1)) == b.take(b_trunk)
    a5.send(frame(BROADCAST, mac(2)))
    assert b.take(b5) == frame(BROADCAST, mac(2))
    assert b.take(b_trunk) == frame(BROADCAST, mac(2))[:12] + b"\x81\x00\x00\x05" + frame(BROADCAST, mac(2))[12:]
    assert b.port.waiting == 0
    b_trunk.send(frame(BROADCAST, mac(3), vlan=6))
    b_trunk.send(frame(BROADCAST, mac(3), vlan=5))
    assert a.take(a5)[6:12] == mac(3)
    assert (a.port.waiting, a5.waiting) == (0, 0)


def test_networks_of_other_names_are_other_networks(tmp_path: Path, stack: ExitStack) -> None:
    a = stack.enter_context(Site(tmp_path, "alpha", nets={"net0": "lan"}))
    b = stack.enter_context(Site(tmp_path, "beta"))
    c = stack.enter_context(Site(tmp_path, "gamma", device="net3", nets={"net3": "lan"}))
    joined(a, c)
    a.port.send(frame(BROADCAST, mac(1)))
    assert c.take() == frame(BROADCAST, mac(1))
    assert b.wires() == [] and b.port.waiting == 0


def test_a_device_is_plugged_in_elsewhere_while_it_is_in_use(tmp_path: Path, stack: ExitStack) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    a.networks.plug("net0", parse_outlet("none"))
    assert not a.networks.up("net0") and a.changes == 1
    until(lambda: b.wires() == [])
    b.port.send(frame(BROADCAST, mac(2)))
    a.networks.plug("net0", parse_outlet("net0"))
    assert a.networks.up("net0") and a.changes == 2
    joined(a, b)
    b.port.send(frame(BROADCAST, mac(2), text=b"now"))
    assert a.take() == frame(BROADCAST, mac(2), text=b"now"), "and not what was sent in between"


def test_a_qemu_guest_joins_and_is_seen_by_all_machines(tmp_path: Path, stack: ExitStack) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    peer = Peer.at(tmp_path / "alpha" / "net.net0")
    stack.callback(peer.close)
    until(lambda: a.wires("guest"), "a connection that says nothing is taken for a guest")
    b.port.send(frame(BROADCAST, mac(2)))
    assert peer.take() == frame(BROADCAST, mac(2))
    peer.send(frame(mac(2), mac(9), text=b"hello"))
    assert b.take() == frame(mac(2), mac(9), text=b"hello")
    other = Peer.at(tmp_path / "alpha" / "net.net0")
    stack.callback(other.close)
    other.send(frame(mac(9), mac(8)))  # speaks at once
    assert peer.take() == frame(mac(9), mac(8))


def test_two_connections_between_two_machines_become_one(tmp_path: Path, stack: ExitStack) -> None:
    """A peer by hand: of two connections the one of the lesser name stays, on whichever side they are made first."""
    b = stack.enter_context(Site(tmp_path, "beta"))
    mine = tmp_path / "alpha"
    mine.mkdir()
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(mine / "net.net0"))
    listener.listen()
    made_by_b = Peer(listener.accept()[0])
    assert parse_hello(made_by_b.take()) == ("beta", "net0")
    made_by_b.send(hello("alpha", "net0"))
    until(lambda: b.wires() == ["alpha"])
    made_by_a = Peer.at(tmp_path / "beta" / "net.net0")
    made_by_a.send(hello("alpha", "net0"))
    assert parse_hello(made_by_a.take()) == ("beta", "net0")
    assert made_by_b.ended()
    assert b.wires() == ["alpha"]
    b.port.send(frame(BROADCAST, mac(2)))
    assert made_by_a.take() == frame(BROADCAST, mac(2))
    third = Peer.at(tmp_path / "beta" / "net.net0")  # made anew by the lesser: it has lost the old one
    third.send(hello("alpha", "net0"))
    assert parse_hello(third.take()) == ("beta", "net0") and made_by_a.ended()
    for peer in (made_by_a, made_by_b, third):
        peer.close()


def test_a_peer_that_does_not_read_loses_frames_and_holds_up_nobody(tmp_path: Path, stack: ExitStack) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    peer = Peer.at(tmp_path / "alpha" / "net.net0")
    stack.callback(peer.close)
    until(lambda: a.wires("guest"))
    big = frame(BROADCAST, mac(1), text=bytes(9000))
    wire = lambda: next(w for w in a.networks.report()[0]["wires"] if w["kind"] == "guest")  # noqa: E731
    sent = 0
    while wire()["dropped"] < 10:
        a.port.send(big)
        sent += 1
        until(lambda: b.port.waiting)  # the other peer goes on
        assert b.port.take() == big
        assert sent < 10_000
    assert wire()["queued_bytes"] <= QUEUE_BYTES + 2 * len(big)
    got = 0
    while got < wire()["out_frames"]:
        assert peer.take() == big, "what it gets is whole"
        got += 1
    a.port.send(frame(BROADCAST, mac(1), text=b"last"))
    assert peer.take() == frame(BROADCAST, mac(1), text=b"last")


@pytest.mark.parametrize("said", [struct.pack(">I", 0), struct.pack(">I", MAX_LENGTH + 1), b"\xff" * 64])
def test_a_peer_that_breaks_the_framing_is_disconnected(tmp_path: Path, stack: ExitStack, said: bytes) -> None:
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    peer = Peer.at(tmp_path / "alpha" / "net.net0")
    peer.sock.sendall(said)
    assert peer.ended()
    peer.close()
    a.port.send(frame(BROADCAST, mac(1)))
    assert b.take() == frame(BROADCAST, mac(1))


def test_nonsense_for_a_greeting_joins_no_machine(tmp_path: Path, stack: ExitStack) -> None:
    a = stack.enter_context(Site(tmp_path, "alpha"))
    for said in (hello("alpha", "net0"), hello("beta", "lan")):  # itself; another network
        peer = Peer.at(tmp_path / "alpha" / "net.net0")
        peer.send(said)
        assert peer.ended()
        peer.close()
    for text in (b"{}", b"[1]", b"{" * 500, b'{"sun4v": 1, "machine": "../x", "network": "net0"}', b"\xff\xfe"):
        assert parse_hello(hello("x", "y")[:14] + text) is None
    assert a.wires() == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_peers_do_no_harm(tmp_path: Path, stack: ExitStack, seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    a, b = (stack.enter_context(Site(tmp_path, name)) for name in ("alpha", "beta"))
    joined(a, b)
    for _ in range(60):
        peer = Peer.at(tmp_path / "alpha" / "net.net0")
        data = b""
        for _ in range(chance.randrange(1, 30)):
            size = chance.choice((0, 1, 13, 14, 17, 18, 60, 1514, 16022, 16023, 65535, MAX_LENGTH))
            body = chance.randbytes(size)
            data += chance.choice((enframe(body) if size else b"", chance.randbytes(3), hello("x", "net0")))
        with suppress(OSError):
            peer.sock.sendall(data[: 1 << 20])
        peer.close()
    until(lambda: not a.wires("guest"))
    while b.port.take() is not None or a.port.take() is not None:
        pass
    a.port.send(frame(mac(77), mac(76), text=b"still here"))
    until(lambda: b.port.waiting)
    while (taken := b.take()) != frame(mac(77), mac(76), text=b"still here"):
        assert taken


@pytest.mark.parametrize("seed", range(8))
def test_framing_in_pieces(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    frames = [chance.randbytes(chance.choice((1, 14, 60, 1514, 9000, MAX_LENGTH))) for _ in range(50)]
    data, found, deframer = b"".join(map(enframe, frames)), [], Deframer()
    while data:
        size = chance.choice((1, 2, 3, 5, 1000, 70000))
        found += deframer.feed(data[:size])
        data = data[size:]
    assert found == frames
    with pytest.raises(FramingError):
        deframer.feed(bytes(4))


def test_a_stream_device_connects_loses_its_peer_and_connects_again(tmp_path: Path, stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    outlet = f"stream:127.0.0.1:{listener.getsockname()[1]}"
    a = stack.enter_context(Site(tmp_path, "alpha", nets={"net0": outlet}))
    peer = Peer(listener.accept()[0])
    until(lambda: a.networks.up("net0"))
    a.port.send(frame(BROADCAST, mac(1)))
    assert peer.take() == frame(BROADCAST, mac(1))
    peer.close()
    until(lambda: not a.networks.up("net0"))
    peer = Peer(listener.accept()[0])
    until(lambda: a.networks.up("net0"))
    peer.send(frame(mac(1), mac(2)))
    assert a.take() == frame(mac(1), mac(2))
    assert a.changes == 3, "up, down, up"
    peer.close()


def test_a_passt_socket_may_come_later(tmp_path: Path, stack: ExitStack) -> None:
    path = tmp_path / "passt.sock"
    a = stack.enter_context(Site(tmp_path, "alpha", nets={"net0": f"passt:{path}"}))
    until(lambda: "No such file" in a.networks.report()[0]["why"])
    assert not a.networks.up("net0")
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(path))
    listener.listen()
    peer = Peer(listener.accept()[0])
    until(lambda: a.networks.up("net0"))
    a.port.send(frame(BROADCAST, mac(1)))
    assert peer.take() == frame(BROADCAST, mac(1))
    peer.close()


def test_what_a_device_can_be_plugged_into() -> None:
    for text in ("net0", "lan", "none", "passt:/run/p.sock", "stream:localhost:4000", "stream:[::1]:4000", "tap:tap0"):
        assert str(parse_outlet(text)) == text
    assert parse_outlet("stream:[::1]:4000").host_port == ("::1", 4000)
    for text in ("", "passt:", "stream:x", "stream::1", "stream:h:0", "stream:h:70000", "tap:", "tap:" + "x" * 16,
                 "vde:x", "a/b", "n" * 33):  # fmt: skip
        with pytest.raises(ConfigError):
            parse_outlet(text)
    for words in (["net0"], ["net0=lan", "net0=none"], ["net0=tap:t", "net1=tap:t"], ["/=lan"]):
        with pytest.raises(ConfigError):
            parse_words(words)
    assert parse_plan({"net0": "lan", "net1": "lan"})


def test_a_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    root = tmp_path / ("x" * (107 - len(str(tmp_path)) - 20))
    with Site(root, "alpha", nets={"net0": "n" * 32}, started=False) as site, pytest.raises(PlaceError, match="107"):
        site.networks.open(Home(root, "alpha"))
