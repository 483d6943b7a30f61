"""Messages and records: what is written is read back, and nothing else is accepted."""

from __future__ import annotations

import json
from random import Random

import msgpack
import pytest
from migration_world import UUID

from ldmd.migration import records as rec
from ldmd.migration.phases import Kind

DIGEST = "0123456789abcdef" * 2
MESSAGES = [
    rec.Offer(1, UUID, Kind.LIVE, True, False), rec.Accept(1), rec.Refuse(2, ("no memory", "no strands")),
    rec.Final(3, DIGEST), rec.Ready(3, DIGEST), rec.Commit(rec.MID_MAX), rec.Running(1), rec.Running(1, started=False),
    rec.Paging(1), rec.Never(1), rec.Abort(1), rec.Rescue(1), rec.Close(1)]
RECORDS = [
    rec.Prepared(1, Kind.BOUND, False, "system2"), rec.Released(1), rec.Done(1), rec.Aborted(1, "cancelled"),
    rec.Aborted(1, "declared dead", "root, 12:00", True), rec.Promised(1, Kind.INACTIVE, True), rec.Owned(1),
    rec.Denied(1), rec.Closed(1)]


def test_all_kinds_are_tried() -> None:
    assert {type(each) for each in MESSAGES} == set(rec.MESSAGES.values())
    assert {type(each) for each in RECORDS} == set(rec.RECORDS.values())


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_is_read_back(message: rec.Message) -> None:
    assert rec.unpack(rec.pack(message)) == message


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_a_record_is_read_back(record: rec.Record) -> None:
    assert rec.record_of(json.loads(json.dumps(rec.plain(record)))) == record


@pytest.mark.parametrize("data", [
    None, [], {}, {"type": 1}, {"type": "owned", "mid": 1}, {"type": "commit"}, {"type": "commit", "mid": 0},
    {"type": "commit", "mid": -1}, {"type": "commit", "mid": 2**62 + 1}, {"type": "commit", "mid": True},
    {"type": "commit", "mid": "1"}, {"type": "commit", "mid": 1, "more": 1}, {"type": "final", "mid": 1},
    {"type": "final", "mid": 1, "digest": "0" * 31}, {"type": "final", "mid": 1, "digest": "0" * 32 + "\n"},
    {"type": "refuse", "mid": 1, "problems": []}, {"type": "refuse", "mid": 1, "problems": ["x"] * 65},
    {"type": "refuse", "mid": 1, "problems": ["a\nb"]}, {"type": "refuse", "mid": 1, "problems": ["x" * 1001]},
    {"type": "offer", "mid": 1, "uuid": "x", "kind": "live", "lease": False, "dry_run": False},
    {"type": "offer", "mid": 1, "uuid": UUID, "kind": "warm", "lease": False, "dry_run": False}], ids=repr)
def test_what_is_not_a_message_is_refused(data: object) -> None:
    with pytest.raises(rec.RecordError):
        rec.unpack(msgpack.packb(data))


def test_any_bytes_are_a_message_or_refused() -> None:
    """Seeded damage to real messages, and noise: RecordError, or a message that is read back from its own bytes."""
    rng = Random(62)
    refused = 0
    for _ in range(20_000):
        packed = bytearray(rec.pack(rng.choice(MESSAGES)))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(packed))
            packed[at:at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 3))
        try:
            message = rec.unpack(bytes(packed))
        except rec.RecordError:
            refused += 1
        else:
            assert rec.unpack(rec.pack(message)) == message
    assert refused > 10_000


def test_a_long_message_is_refused() -> None:
    with pytest.raises(rec.RecordError):
        rec.unpack(b"\xdb\x7f\xff\xff\xff")
    with pytest.raises(rec.RecordError):
        rec.unpack(b"\x00" * (rec.PACKED_MAX + 1))
    with pytest.raises(rec.RecordError):
        rec.pack(rec.Refuse(1, ("\U00010300" * rec.PROBLEM_MAX,) * rec.PROBLEMS_MAX))
