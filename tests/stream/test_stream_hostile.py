"""Peers that are not what they should be: strangers at the target's port, a source and a target that lie."""

from __future__ import annotations

import hashlib
import random
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from stream_support import DEADLINE, PAGE, Memory, Pair, fill, make_certificate

from emulator._core_stream import Buffer, Chunk, seal
from emulator.hvctl.wire import EndError
from emulator.stream import chunks
from emulator.stream.chunks import Type
from emulator.stream.inbox import Inbox

CERTIFICATES = (make_certificate("one"), make_certificate("two"))
RANGES = [(0, 64 * PAGE)]
SECRET = hashlib.sha256(b"secret").digest()
MID = 7


@pytest.fixture(autouse=True)
def _lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S4V_STREAM_PLAIN", "1")


@pytest.fixture
def pair() -> Iterator[Pair]:
    source, target = Memory(RANGES), Memory(RANGES)
    fill(source, random.Random(3), populated=1.0)
    made = Pair(source, target, CERTIFICATES, plain=True)
    yield made
    made.stop()
    source.close()
    target.close()


class Liar:
    """A source by hand, over a plain link."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.inbox = Inbox()

    def send(self, kind: int, body: bytes = b"", **fields: int) -> None:
        header = Chunk(**{"type": kind, "mid": MID, **fields})  # type: ignore[arg-type]
        self.sock.sendall(seal(header, body))

    def hello(self, **change: object) -> None:
        header = Chunk(type=Type.HELLO, mid=MID)
        body = {
            "channel": 0,
            "channels": 1,
            "proof": chunks.proof(SECRET, "source", header, b"plain"),
            "algorithms": ["zlib"],
            "required": [],
            "optional": ["a-later-one"],
            "ranges": [[0, 64 * PAGE]],
            "new": 1,
        }
        self.send(Type.HELLO, chunks.pack(body | change))  # fmt: skip

    def answer(self) -> tuple[Chunk, bytes] | None:
        """The next chunk; None: the link was closed."""
        try:
            while (chunk := self.inbox.chunk()) is None:
                self.inbox.fill(self.sock)
        except (EndError, ConnectionError):
            return None
        body = bytes(self.inbox.payload())
        self.inbox.done()
        return chunk, body


def seal_zero(sequence: int, number: int, round_: int) -> bytes:
    """A DATA chunk of one page that is zero."""
    buffer = Buffer()
    buffer.payload[:8] = number.to_bytes(8, "little")
    buffer.seal(Chunk(type=Type.DATA, mid=MID, sequence=sequence, round=round_, zeros=1, raw_bytes=8, wire_bytes=8))
    return bytes(buffer.wire())


def test_strangers_get_nothing_and_disturb_nobody(pair: Pair) -> None:
    port, rng = pair.listen(), random.Random(1)
    strangers = []
    for n in range(24):
        sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        if n % 3:
            sock.sendall(rng.randbytes(rng.choice((1, 64, 5000))))
        strangers.append(sock)
    pair.begin(port)
    pair.source.wait("converged")
    pair.final(b"state")
    pair.source.wait("final")
    assert pair.source.memory.content() == pair.target.memory.content()
    assert not pair.target.seen("failed")
    for sock in strangers:
        sock.close()


@pytest.mark.parametrize(
    "change",
    [{"proof": bytes(32)}, {"proof": b"short"}, {"ranges": "no"}, {"channels": 0}, {"channel": -1}],
    ids=["proof", "short", "ranges", "channels", "channel"],
)
def test_who_cannot_prove_itself_is_hung_up_on(pair: Pair, change: dict[str, object]) -> None:
    liar = Liar(pair.listen())
    liar.hello(**change)
    assert liar.answer() is None
    assert not pair.target.seen("connected", "failed")
    liar.sock.close()


def test_another_major_version_is_told_so(pair: Pair) -> None:
    liar = Liar(pair.listen())
    liar.send(Type.HELLO, b"whatever that version says", major=2)
    answer = liar.answer()
    assert answer is not None and answer[0].type == Type.REFUSE
    assert "version 1" in chunks.parse_text(answer[1])[1]
    assert not pair.target.seen("failed")
    liar.sock.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"required": ["teleport"]}, "teleport"),
        ({"ranges": [[0, 63 * PAGE]]}, "real addresses"),
        ({"channels": 999}, "channels"),
    ],
)
def test_a_source_that_does_not_fit_is_refused_with_the_reason(
    pair: Pair, change: dict[str, object], text: str
) -> None:
    liar = Liar(pair.listen())
    liar.hello(**change)
    answer = liar.answer()
    assert answer is not None and answer[0].type == Type.REFUSE
    assert text in chunks.parse_text(answer[1])[1]
    assert text in str(pair.target.wait("failed")["why"])
    liar.sock.close()


EMPTY = chunks.pack({"digest": bytes(16)})
LIES = {
    "a page that is not there": [seal_zero(1, 64, 0)],
    "a page beyond all": [seal_zero(1, (1 << 64) - 1, 0)],
    "a later round": [seal_zero(1, 0, 1)],
    "a gap": [seal_zero(2, 0, 0)],
    "an unknown type": [seal(Chunk(type=9, mid=MID, sequence=1))],
    "a type of the target": [seal(Chunk(type=Type.ACK, mid=MID, sequence=1))],
    "another migration": [seal(Chunk(type=Type.BARRIER, mid=8, sequence=1), chunks.pack({"digest": bytes(16)}))],
    "another channel": [seal(Chunk(type=Type.BARRIER, mid=MID, channel=1, sequence=1))],
    "a barrier that says nothing": [seal(Chunk(type=Type.BARRIER, mid=MID, sequence=1), b"\xc1")],
    "a barrier too far": [seal(Chunk(type=Type.BARRIER, mid=MID, sequence=1, round=5), EMPTY)],
    "a wrong digest": [seal(Chunk(type=Type.BARRIER, mid=MID, sequence=1), chunks.pack({"digest": b"x" * 16}))],
    "a state first": [seal(Chunk(type=Type.STATE, mid=MID, sequence=1), b"state")],
    "an end before the barrier": [seal(Chunk(type=Type.FINAL, mid=MID, sequence=1), chunks.pack(
        {"digest": bytes(16), "state_bytes": 0, "sha256": bytes(32), "strict": False}))],
    "a state too long": [seal(Chunk(type=Type.BARRIER, mid=MID, sequence=1), chunks.pack({"digest": bytes(16)})),
                         seal(Chunk(type=Type.FINAL, mid=MID, sequence=2), chunks.pack(
                             {"digest": bytes(16), "state_bytes": 1 << 40, "sha256": bytes(32), "strict": False}))],
    "another state than was said": [seal(Chunk(type=Type.BARRIER, mid=MID, sequence=1), EMPTY),
                                    seal(Chunk(type=Type.FINAL, mid=MID, sequence=2, round=1), chunks.pack(
                                        {"digest": bytes(16), "state_bytes": 5, "sha256": bytes(32), "strict": False})),
                                    seal(Chunk(type=Type.STATE, mid=MID, sequence=3), b"other")],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_source_that_lies_ends_its_transfer(pair: Pair, lie: str) -> None:
    liar = Liar(pair.listen())
    liar.hello()
    answer = liar.answer()
    assert answer is not None and answer[0].type == Type.WELCOME
    for chunk in LIES[lie]:
        liar.sock.sendall(chunk)
    assert pair.target.wait("failed")["code"] in ("peer", "integrity")
    assert pair.target.memory.content() == bytes(64 * PAGE)
    liar.sock.close()


def test_a_certificate_of_another_is_refused(pair: Pair) -> None:
    del pair.options["plain"]
    pair.options["reconnect_seconds"] = 2
    port = pair.listen()
    pair.certificates = (make_certificate("one"), CERTIFICATES[1])  # not whom the target expects
    pair.begin(port)
    assert pair.source.wait("failed")["code"] == "link"
    assert not pair.target.seen("connected")


def test_a_target_with_another_certificate_is_not_spoken_to(pair: Pair) -> None:
    del pair.options["plain"]
    port = pair.listen()
    pair.certificates = (CERTIFICATES[0], make_certificate("two"))
    pair.begin(port)
    assert pair.source.wait("failed")["code"] == "peer"
    assert not pair.target.seen("connected")


def test_tls_1_2_is_not_spoken(pair: Pair) -> None:
    del pair.options["plain"]
    port = pair.listen()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock, pytest.raises(ssl.SSLError):
        context.wrap_socket(sock)


def test_a_source_survives_a_target_that_says_anything(pair: Pair) -> None:
    """After a right WELCOME: acknowledgements of the future, of nothing, unknown types, and noise."""
    rng = random.Random(11)
    listener = socket.create_server(("127.0.0.1", 0))

    def lie() -> None:
        for n in range(6):
            sock, _ = listener.accept()
            header = Chunk(type=Type.WELCOME, mid=MID)
            body = {"proof": chunks.proof(SECRET, "target", header, b"plain"), "applied": 0, "algorithms": [],
                    "features": [], "minor": 9}  # fmt: skip
            sock.sendall(seal(header, chunks.pack(body)))
            sock.sendall((seal(Chunk(type=Type.ACK, mid=MID, sequence=(1 << 64) - 1)),
                          seal(Chunk(type=Type.NACK, mid=MID, sequence=99)), seal(Chunk(type=200, mid=MID)),
                          rng.randbytes(2000), seal(Chunk(type=Type.ACK, mid=1)), b"")[n])  # fmt: skip
            sock.close()
        sock, _ = listener.accept()
        sock.sendall(seal(Chunk(type=Type.REFUSE, mid=MID), chunks.pack({"code": "peer", "text": "enough"})))
        sock.close()

    thread = threading.Thread(target=lie, daemon=True)
    thread.start()
    pair.begin(listener.getsockname()[1])
    failed = pair.source.wait("failed")
    assert failed["code"] == "peer" and "enough" in str(failed["why"])
    thread.join(DEADLINE)
    listener.close()
