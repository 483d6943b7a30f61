"""The network stack of labos (images/labos/net), built for the host under ASan and UBSan.

Two stacks are connected by a link that loses, doubles, delays and damages frames by seeded chance (net_link.h); one
talks to the Linux kernel through a tap device.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from pathlib import Path

import pytest
from net_support import Segment, build, numbers, read_capture, run

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))
DEPTH = int(os.environ.get("SUN4V_NET_DEPTH", "1"))  # multiplies bytes and rounds
FIN, SYN, RST, ACK = 1, 2, 4, 16


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("net"), "net_stream", "net/*.c")


def test_cases(tmp_path: Path) -> None:
    """Addresses, ARP, ping, UDP; TCP: opening, closing, resets, closed windows, dead links, attacks, overlaps."""
    assert run(build(tmp_path, "net_cases", "net/*.c")) == "ok\n"


@pytest.mark.parametrize(
    ("bytes_", "faults"),
    [
        (4_000_000, (0, 0, 0, 0)),
        (2_000_000, (10, 0, 0, 0)),
        (2_000_000, (0, 0, 200, 0)),
        (1_000_000, (0, 300, 50, 0)),
        (1_000_000, (50, 20, 100, 10)),
        (200_000, (200, 100, 300, 50)),
    ],
    ids=["clean", "loss", "reorder", "duplicates", "bad", "terrible"],
)
def test_stream_survives(stream: Path, bytes_: int, faults: tuple[int, ...]) -> None:
    """Every byte arrives once and in order both ways, whatever the link does; both ends then forget the connection."""
    print(f"seed {SEED}")
    found = numbers(run(stream, SEED, bytes_ * DEPTH, *faults, 1500, 1500, "-"))
    assert found["bytes"] == bytes_ * DEPTH
    lost, _, late, damaged = faults
    assert (found["bad"] > 0) == (damaged > 0)
    assert found["retransmits"] > 10 or not lost
    assert found["out-of-order"] > 0 or not (late or lost)
    assert found["probes"] > 0 or lost  # the server's stalls close the window


def test_streams_of_many_links(stream: Path) -> None:
    """Chance picks faults and the MTU of each side."""
    rng = random.Random(SEED)
    for seed in range(SEED, SEED + 25 * DEPTH):
        faults = [rng.choice((0, rng.randrange(150))) for _ in range(4)]
        mtu = [rng.choice((576, 1500, 9000, rng.randrange(576, 16001))) for _ in range(2)]
        print("seed", seed, "faults", faults, "mtu", mtu)
        assert numbers(run(stream, seed, 150_000, *faults, *mtu, "-"))["bytes"] == 150_000


def _after(a: int, b: int) -> bool:
    """Sequence number a comes after b."""
    return 0 < (a - b) & 0xFFFFFFFF < 1 << 31


def _check_way(segments: list[Segment], back: list[Segment]) -> int:
    """One direction of a connection: within the window the other end told, and the same bytes at the same place."""
    assert segments[0].flags & SYN
    mss = int.from_bytes(back[0].options[2:4], "big")
    base = segments[0].seq
    stream: dict[int, int] = {}
    edges = sorted(((s.time_us, (s.ack + s.window) & 0xFFFFFFFF) for s in back if s.flags & ACK), key=lambda e: e[0])
    seen, edge = 0, (base + 1) & 0xFFFFFFFF
    for segment in segments:
        while seen < len(edges) and edges[seen][0] <= segment.time_us:
            if _after(edges[seen][1], edge):
                edge = edges[seen][1]
            seen += 1
        assert len(segment.data) <= mss
        end = (segment.seq + len(segment.data)) & 0xFFFFFFFF
        probe = len(segment.data) == 1
        assert not _after((end - probe) & 0xFFFFFFFF, edge), "sent beyond the window"
        for n, byte in enumerate(segment.data):
            assert stream.setdefault((segment.seq + n - base) & 0xFFFFFFFF, byte) == byte, "other bytes, same number"
    assert sorted(stream) == list(range(1, len(stream) + 1)), "holes"
    return len(stream)


@pytest.mark.parametrize("faults", [(0, 0, 0, 0), (80, 30, 100, 0)], ids=["clean", "bad"])
def test_capture_is_correct_on_the_wire(stream: Path, tmp_path: Path, faults: tuple[int, ...]) -> None:
    """A parser of our own reads what was sent: checksums, lengths, windows, no byte changes when it is sent again."""
    path = tmp_path / "link.pcap"
    print(f"seed {SEED}")
    run(stream, SEED, 150_000, *faults, 1500, 900, path)
    ways: dict[tuple[int, int], list[Segment]] = defaultdict(list)
    for segment in read_capture(path):
        assert segment.options == (b"\x02\x04" + segment.options[2:4] if segment.flags & SYN else b"")
        ways[segment.source].append(segment)
    there, back = ways.values()
    for segment in [s for s in there + back if s.flags & RST]:  # late copies find the connection gone
        assert all(any(s.flags & FIN and s.time_us < segment.time_us for s in way) for way in (there, back))
    there, back = ([s for s in way if not s.flags & RST] for way in (there, back))
    assert _check_way(there, back) == _check_way(back, there) == 150_000
    assert max(len(segment.data) for segment in there) == 860  # the smaller MTU
    assert any(segment.flags & FIN for segment in there)
    assert any(segment.flags & FIN for segment in back)


def test_hostile_frames(tmp_path: Path) -> None:
    """Changed frames never break the stack's numbers or memory; afterwards it works as before."""
    program = build(tmp_path, "net_fuzz", "net/*.c")
    print(f"seed {SEED}")
    for seed in range(SEED, SEED + 3 * DEPTH):
        found = numbers(run(program, seed, 400))
        assert found["frames"] > 50_000
        del found["frames"]
        assert min(found.values()) > 20, found


@pytest.mark.parametrize("lost", [0, 20])
def test_against_linux(tmp_path: Path, lost: int) -> None:
    """Ping, UDP and TCP with the kernel of the host, we calling it and it calling us, on a good and on a bad link."""
    print(f"seed {SEED}")
    output = run(build(tmp_path, "net_linux", "net/*.c"), SEED, 400_000, lost).split()
    assert output[0] == "ok"
    assert int(output[2]) > 0 or not lost
