"""Records of TLS below the interpreter, against Python's ssl, which we did not write, and against whoever lies."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import random
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from stream_support import PAGE, Memory, Pair, fill, make_certificate

from emulator._core_stream import Records, records_available
from emulator.stream import records
from emulator.stream.records import RecordLink

pytestmark = pytest.mark.skipif(not records.wanted(), reason="needs a libcrypto of OpenSSL 3 and ssl's keylog_filename")
SUITES = {1: (AESGCM, 16, "sha256"), 2: (AESGCM, 32, "sha384"), 3: (ChaCha20Poly1305, 32, "sha256")}


def _context(identity: tuple[str, str], *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if server:
        context.num_tickets = 0
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(identity[0] + identity[1])
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _wrap(sock: socket.socket, identity: tuple[str, str], *, server: bool, ours: bool, rekey: int) -> object:
    context = _context(identity, server=server)
    sock.settimeout(20)
    with records.key_file(context) as keys:
        link = context.wrap_socket(sock, server_side=server)
        if not ours:
            return link
        taken = records.take_over(link, keys, server=server, bound=b"", rekey_after=rekey)
        assert taken is not None
        return taken


@contextlib.contextmanager
def _links(*, ours: tuple[bool, bool], rekey: int = 0) -> Iterator[tuple[object, object]]:
    """(client, server)."""
    identity = make_certificate("records")
    near, far = socket.socketpair()
    found: list[object] = []
    server = threading.Thread(
        target=lambda: found.append(_wrap(far, identity, server=True, ours=ours[1], rekey=rekey)), daemon=True
    )
    server.start()
    client = _wrap(near, identity, server=False, ours=ours[0], rekey=rekey)
    server.join(20)
    try:
        yield client, found[0]
    finally:
        client.close()  # type: ignore[attr-defined]
        found[0].close()  # type: ignore[attr-defined]


def _read(link: object, size: int, rng: random.Random) -> bytes:
    data = bytearray()
    while len(data) < size:
        room = bytearray(rng.choice((1, 100, 16384, 70000, 300000)))
        count = link.recv_into(room)  # type: ignore[attr-defined]
        assert count > 0
        data += room[:count]
    return bytes(data)


@pytest.mark.parametrize("ours", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("rekey", [0, 3])
def test_what_goes_in_comes_out_at_the_other_library(ours: tuple[bool, bool], rekey: int) -> None:
    rng = random.Random(repr((ours, rekey)))
    pieces = [rng.randbytes(size) for size in (1, 16383, 16384, 16385, 270400, 5, 100000, 700001)]
    whole = b"".join(pieces)
    with _links(ours=ours, rekey=rekey) as (client, server):
        for one, other in ((client, server), (server, client)):

            def send(link: object = one) -> None:
                for piece in pieces:
                    link.sendall(piece)  # type: ignore[attr-defined]

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            assert _read(other, len(whole), rng) == whole
            sender.join(20)
            assert not sender.is_alive()


def test_the_end_is_an_end_with_and_without_goodbye() -> None:
    with _links(ours=(True, True)) as (client, server):
        client.sendall(b"last")  # type: ignore[attr-defined]
        client.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        room = bytearray(10)
        assert server.recv_into(room) == 4  # type: ignore[attr-defined]
        assert server.recv_into(room) == 0  # type: ignore[attr-defined]
    with _links(ours=(True, False)) as (client, server):
        server.settimeout(0)  # type: ignore[attr-defined]
        with contextlib.suppress(ssl.SSLWantReadError):
            server.unwrap()  # type: ignore[attr-defined]
        assert client.recv_into(bytearray(10)) == 0  # type: ignore[attr-defined]


def test_nothing_there_is_said_and_costs_no_wait() -> None:
    with _links(ours=(True, True)) as (client, server):
        server.setblocking(False)  # type: ignore[attr-defined]
        with pytest.raises(BlockingIOError):
            server.recv_into(bytearray(10))  # type: ignore[attr-defined]
        server.settimeout(0.05)  # type: ignore[attr-defined]
        with pytest.raises(TimeoutError):
            server.recv_into(bytearray(10))  # type: ignore[attr-defined]
        client.sendall(bytes(20000))  # type: ignore[attr-defined]
        server.settimeout(20)  # type: ignore[attr-defined]
        assert server.recv_into(bytearray(10)) == 10  # type: ignore[attr-defined]
        assert server.pending()  # type: ignore[attr-defined]


def test_who_does_not_read_is_waited_for_so_long() -> None:
    with _links(ours=(True, True)) as (client, _):
        client.settimeout(0.1)  # type: ignore[attr-defined]
        with pytest.raises(TimeoutError):
            client.sendall(bytes(64 << 20))  # type: ignore[attr-defined]


@pytest.mark.parametrize("suite", [0, 2])
def test_what_will_come_is_waited_for_in_one_call(suite: int) -> None:
    near, far = socket.socketpair()
    with near, far:
        secret = b"" if suite == 0 else bytes(48)
        one, other = (Records.open(each.fileno(), suite, secret, secret) for each in (near, far))
        assert one is not None and other is not None
        room = bytearray(70000)
        assert other.receive(room) is None
        assert other.receive(room, least=5, wait_ms=1) is None
        waited = other.waited_ns()
        assert waited > 0
        one.send(b"abc", 1000)
        assert other.receive(room, least=5, wait_ms=1) == 3
        sender = threading.Thread(target=lambda: [one.send(bytes([n]) * 10000, 10000) for n in range(6)])
        sender.start()
        assert other.receive(room, least=60000, wait_ms=20000) == 60000
        assert room[:60000] == b"".join(bytes([n]) * 10000 for n in range(6))
        sender.join(20)
        near.shutdown(socket.SHUT_RDWR)
        assert other.receive(room, least=5, wait_ms=20000) == 0
        one.close()
        other.close()


class Peer:
    """The other end, made here by RFC 8446 with another library: it can say whatever it likes."""

    def __init__(self, suite: int) -> None:
        aead, self.key_bytes, self.hash = SUITES[suite]
        self.aead = aead
        self.sock, theirs = socket.socketpair()
        size = hashlib.new(self.hash).digest_size
        self.secret, other = bytes(range(size)), bytes(range(100, 100 + size))
        found = Records.open(theirs.fileno(), suite, other, self.secret)
        assert found is not None
        theirs.settimeout(20)
        self.link = RecordLink(theirs, found, b"")
        self._rekey()

    def _expand(self, label: str, size: int) -> bytes:
        name = b"tls13 " + label.encode()
        info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
        return hmac.digest(self.secret, info + b"\1", self.hash)[:size]

    def _rekey(self) -> None:
        self.cipher, self.iv = self.aead(self._expand("key", self.key_bytes)), self._expand("iv", 12)
        self.sequence = 0

    def update(self) -> None:
        """New keys."""
        self.secret = self._expand("traffic upd", len(self.secret))
        self._rekey()

    def record(self, content: bytes, kind: int, *, padding: int = 0) -> bytes:
        """A record of content."""
        inner = content + bytes([kind]) + bytes(padding)
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self.iv, "big") ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return header + self.cipher.encrypt(nonce, inner, header)

    def close(self) -> None:
        """Both ends."""
        self.link.close()
        self.sock.close()


@pytest.fixture(params=[1, 2, 3])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    made = Peer(request.param)
    yield made
    made.close()


def test_padding_and_empty_records_are_no_data(peer: Peer) -> None:
    peer.sock.sendall(peer.record(b"ab", 23, padding=255) + peer.record(b"", 23) + peer.record(b"cd", 23))
    room = bytearray(10)
    got = peer.link.recv_into(room)
    while got < 4:
        got += peer.link.recv_into(memoryview(room)[got:])
    assert room[:4] == b"abcd"


def test_new_keys_of_the_peer_and_wished_for(peer: Peer) -> None:
    update = b"\x18\0\0\1"
    peer.sock.sendall(peer.record(b"a", 23) + peer.record(update + b"\1", 22))
    peer.update()
    peer.sock.sendall(peer.record(b"b", 23))
    room = bytearray(10)
    got = peer.link.recv_into(room)
    if got == 1:
        got += peer.link.recv_into(memoryview(room)[1:])
    assert room[:got] == b"ab"
    peer.link.sendall(b"x")  # first a KeyUpdate with the old keys, since it was asked for
    assert len(peer.sock.recv(100)) == (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


HOSTILE: dict[str, Callable[[Peer], bytes]] = {
    "a bit of the content": lambda p: _flip(p.record(b"abc", 23), 6),
    "a bit of the tag": lambda p: _flip(p.record(b"abc", 23), -1),
    "a bit of the header's version": lambda p: _flip(p.record(b"abc", 23), 2),
    "another type outside": lambda p: b"\x16" + p.record(b"abc", 23)[1:],
    "in clear": lambda p: b"\x15\x03\x03\x00\x02\x01\x00",
    "the same twice": lambda p: (r := p.record(b"abc", 23)) + r,
    "one left out": lambda p: (p.record(b"abc", 23), p.record(b"def", 23))[1],
    "too long": lambda p: b"\x17\x03\x03\xff\xff" + bytes(100),
    "longer than content may be": lambda p: p.record(bytes(16385), 23),
    "too short": lambda p: b"\x17\x03\x03\x00\x10" + bytes(16),
    "nothing but padding": lambda p: p.record(b"", 0, padding=10),
    "a ticket": lambda p: p.record(b"\x04\0\0\1\0", 22),
    "a KeyUpdate that wants something else": lambda p: p.record(b"\x18\0\0\1\2", 22),
    "a KeyUpdate of another length": lambda p: p.record(b"\x18\0\0\1\0\0", 22),
    "an empty handshake": lambda p: p.record(b"", 22),
    "an alert": lambda p: p.record(b"\2\x28", 21),
    "an unknown type": lambda p: p.record(b"abc", 24),
    "no end of empty ones": lambda p: b"".join(p.record(b"", 23) for _ in range(40)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_peer_may_not_send_ends_the_link(peer: Peer, name: str) -> None:
    peer.sock.sendall(HOSTILE[name](peer))
    with pytest.raises(OSError, match="damaged, or that no side of ours sends"):
        _read(peer.link, 1 << 20, random.Random(1))


def test_keys_of_another_length_are_refused() -> None:
    assert records_available()
    near, far = socket.socketpair()
    with near, far:
        assert Records.open(near.fileno(), 2, bytes(32), bytes(32)) is None
        assert Records.open(near.fileno(), 9, bytes(32), bytes(32)) is None


@pytest.mark.parametrize("sides", [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")])
def test_either_side_may_do_it_itself_or_leave_it_to_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, sides: tuple[str, str]
) -> None:
    """As between releases; and where the process has no libcrypto of its own."""
    made: list[bool] = []
    take_over = records.take_over

    def counted(*arguments: object, **named: object) -> RecordLink | None:
        found: RecordLink | None = take_over(*arguments, **named)  # type: ignore[arg-type]
        made.append(found is not None)
        return found

    monkeypatch.setattr(records, "take_over", counted)
    source, target = Memory([(0, 600 * PAGE)]), Memory([(0, 600 * PAGE)])
    fill(source, random.Random(5))
    pair = Pair(source, target, (make_certificate("one"), make_certificate("two")))
    monkeypatch.setenv(records.VARIABLE, sides[1])
    port = pair.listen()
    monkeypatch.setenv(records.VARIABLE, sides[0])
    pair.begin(port, channels=2)
    pair.source.wait("converged")
    pair.final(b"state")
    pair.source.wait("final")
    pair.target.wait("received")
    pair.stop()
    assert target.content() == source.content()
    assert made == [True] * 2 * sides.count("1")
    source.close()
    target.close()
