"""The source's side: rounds over pages that were written, until what is left fits the pause; then that and the state.

A round: marks are cleared, the machine passes its barrier, and only then the channels fetch the marked pages. It
ends with a BARRIER on every channel, which carries the digest: a page never is on its way in two channels in no order.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable

from emulator._core_stream import Audit, Chunk, Image
from emulator.errors import EmulatorError
from emulator.faults.injector import Firing, Injector
from emulator.faults.points import Place
from emulator.stream import chunks, codec, links
from emulator.stream.bucket import Bucket
from emulator.stream.chunks import Type, state_digest
from emulator.stream.codec import Chooser, LinkFacts
from emulator.stream.control import Control, Sample
from emulator.stream.outgoing import Counters, Item, Outgoing, RefusedByPeerError
from emulator.stream.requests import MAX_STATE_BYTES, PAGE_BYTES, Begin, Final, RequestError

STRICT_BYTES = 64 << 20
"""Hashed again in the pause by default, on both sides at once; more is audited after the success."""
TICK_SECONDS = 0.01
PROGRESS_SECONDS = 0.25
CALM_SECONDS = 0.1
"""Between two rounds once the pause would be short enough."""
Tell = Callable[..., None]


class _OverError(Exception):
    """The transfer is over; the thread that sees it ends."""


class Sender:
    """One migration's source. `tell(event, **fields)` is the way to the manager."""

    def __init__(self, request: Begin, tell: Tell) -> None:
        """Raises EmulatorError. The request's descriptors stay the caller's."""
        self._request, self._tell = request, tell
        self.mid = request.mid
        key = chunks.hash_key(request.credentials.secret, request.mid)
        self._security = links.Security(request.credentials, plain=request.options.plain, server=False)
        self.image = Image(request.blocks, key, marks=True)
        self.bucket = Bucket(request.options.bandwidth_bps, time.monotonic)
        self.chooser = Chooser("none", (), time.monotonic)
        self.faults = Injector(Place.WORKER, tell=self._struck)
        self.faults.arm(request.options.faults, fired=dict(request.options.fired))
        self._control = Control(request.options, request.channels)
        self.over = threading.Event()
        self.round = 0
        self._changed = threading.Condition()
        self._gate = False
        self._busy = 0
        self._barrier_asked = self._barrier_passed = 0
        self._final: Final | None = None
        self._stands = False  # the guest is suspended
        self._result: bytes | None = None
        self._failed = self._done = self._strict = False
        self._converged = self._partial = False
        self._common: frozenset[str] = frozenset()  # features of both sides
        self.serving = False
        self._alone = False  # without a manager
        self._populated = 0
        self._up: set[int] = set()
        self._down_since = dict.fromkeys(range(request.channels), time.monotonic())
        self._phase = "connect"
        self._begun = self._measured = self._told = self._sampled = time.monotonic()
        self._audit: Audit | None = None
        self._channels = [Outgoing(self, number) for number in range(request.channels)]
        self._threads = [threading.Thread(target=channel.run, daemon=True) for channel in self._channels]
        self._threads.append(threading.Thread(target=self._run, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def _struck(self, firing: Firing) -> None:
        self._tell("fault", rule=firing.rule, facts=dict(firing.facts))

    # -- requests

    def barrier(self, number: int) -> None:
        """The machine has passed barrier `number`."""
        with self._changed:
            if number > self._barrier_asked:
                raise RequestError(f"barrier: {number} was not asked for")
            self._barrier_passed = max(self._barrier_passed, number)
            self._changed.notify_all()

    def stands(self) -> None:
        """The guest is suspended: send the rest; `final` brings its state."""
        with self._changed:
            self._stands = True
            self._changed.notify_all()

    def final(self, request: Final) -> None:
        """The guest is suspended: send the rest and its state. The descriptor is this one's."""
        with self._changed:
            if self._final is not None:
                raise RequestError("final: once only")
            self._final, self._stands = request, True
            self._changed.notify_all()

    def audit(self) -> None:
        """Compare all memory with what was sent, and tell."""
        if not self._done:
            raise RequestError("audit: only after the event final")
        found = self._audit or self.image.audit(self.over.is_set)
        self._tell("audited", mismatches=found.mismatches, pages=found.pages, examples=_addresses(found))

    def state(self, fd: int) -> None:
        """A source has no buffer for the state."""
        os.close(fd)
        raise RequestError("state: only a target is given one")

    def presence(self, fd: int, bell: int) -> None:
        """A source misses nothing."""
        os.close(fd)
        os.close(bell)
        raise RequestError("presence: only a target is given it")

    def stop(self) -> None:
        """End everything, and wait for it."""
        self._end()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for channel in self._channels:
            channel.close()
        self.image.close()
        if self._final is not None:
            os.close(self._final.fd)

    def _end(self) -> None:
        self.over.set()
        for channel in self._channels:
            channel.hang_up()
        with self._changed:
            self._changed.notify_all()

    # -- from the channels

    def address(self) -> tuple[str, int]:
        """Where the target listens."""
        return self._request.host, self._request.port

    def security(self) -> links.Security:
        """How links are protected."""
        return self._security

    def hello(self, channel: int, binding: bytes) -> bytes:
        """Body of the HELLO of a connection."""
        proof = chunks.proof(
            self._request.credentials.secret, "source", Chunk(type=Type.HELLO, mid=self.mid, channel=channel), binding
        )
        ranges = chunks.joined([(block.ra, block.size) for block in self._request.blocks])
        return chunks.pack({
            "channel": channel, "channels": len(self._channels), "proof": proof, "algorithms": list(codec.available()),
            "required": [], "optional": sorted(chunks.FEATURES), "ranges": [list(pair) for pair in ranges],
        })  # fmt: skip

    def welcomed(self, body: chunks.Welcome, header: Chunk, binding: bytes) -> None:
        """The target's answer. Raises RefusedByPeerError where it is not the one, or does not fit."""
        wanted = chunks.proof(self._request.credentials.secret, "target", header, binding)
        if not hmac.compare_digest(wanted, body.proof):
            raise links.StrangerError("the target does not know the secret of this migration")
        if header.major != chunks.VERSION[0]:
            raise RefusedByPeerError("peer", f"the target speaks version {header.major}, not {chunks.VERSION[0]}")
        with self._changed:
            self._common = chunks.FEATURES & frozenset(body.features)
            if not self._up and self.round == 0 and not self._gate:
                common = tuple(name for name in codec.available() if name in body.algorithms)
                self.chooser = Chooser(self._request.options.compress, common, time.monotonic)

    def serve_out(self) -> None:
        """Where pages follow a guest: until all are there, or the link is gone for too long. Else at once."""
        with self._changed:
            self._alone = True
            self._changed.wait_for(lambda: not self.serving or self._done or self._failed or self.over.is_set())

    def enter(self) -> bool:
        """May a channel fetch pages now? Then it says `leave` when their chunk has its number."""
        with self._changed:
            if not self._gate or self.over.is_set():
                return False
            self._busy += 1
            return True

    def background(self, channel: int) -> bool:
        """May a channel push pages that nobody has asked for? Where there are several, the last one is kept free."""
        return not self.serving or len(self._channels) == 1 or channel < len(self._channels) - 1

    def leave(self) -> None:
        """See `enter`."""
        with self._changed:
            self._busy -= 1
            if self._busy == 0 and (not self._gate or self.image.pending() == 0):
                self._changed.notify_all()

    def link_up(self, channel: int) -> None:
        """A channel stands."""
        with self._changed:
            self._down_since.pop(channel, None)
            self._up.add(channel)
            whole = not self._down_since
            self._changed.notify_all()
        if whole:
            self._tell("connected")

    def link_lost(self, channel: int, why: str, *, refused: bool = False) -> None:
        """A channel's link is gone, or could not be made. `refused`: nobody listens there any more."""
        with self._changed:
            told = channel in self._down_since
            self._down_since.setdefault(channel, time.monotonic())
        if not told and not self.over.is_set():
            self._tell("lost", why=why)
        if refused and self._alone:  # it has all, or will never have: nobody is left who could say which
            self.fail("link", "the target's worker has gone")

    def lost_too_long(self, channel: int) -> bool:
        """Has it been gone longer than the options say?"""
        since = self._down_since.get(channel)
        return since is not None and time.monotonic() - since > self._request.options.reconnect_seconds

    def result(self, body: bytes) -> None:
        """The target has verified everything; its digest."""
        with self._changed:
            self._result = body
            self._changed.notify_all()

    def fail(self, code: str, why: str) -> None:
        """Give up, once."""
        with self._changed:
            if self._failed or self._done or self.over.is_set():
                return
            self._failed = True
        self._end()
        self._take_back_limit()
        self._tell("failed", code=code, why=why[:1000])

    # -- the engine's thread

    def _run(self) -> None:
        try:
            self._wait_for(lambda: len(self._up) == len(self._channels))
            self._phase = "copy"
            self._begun = time.monotonic()
            self._first_round()
            while not self._stands:
                self._another_round()
            self._finish()
        except _OverError:
            return
        except EmulatorError as error:
            self.fail(error.code, str(error))
        except Exception as error:
            self.fail("internal", f"{type(error).__name__}: {error}")

    def _wait_for(self, ready: Callable[[], bool], seconds: float | None = None) -> None:
        """Until it is so, or the time is over. Raises _OverError."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            with self._changed:
                if self.over.is_set():
                    raise _OverError
                if ready() or (until is not None and time.monotonic() >= until):
                    return
                self._changed.wait(TICK_SECONDS)
            if time.monotonic() - self._sampled >= TICK_SECONDS:
                self._tick()

    def _pass_barrier(self) -> None:
        with self._changed:
            self._barrier_asked += 1
            number = self._barrier_asked
        self._tell("barrier", n=number)
        self._wait_for(lambda: self._barrier_passed >= number or self._stands)

    def _harvest(self) -> int:
        found = self.image.harvest()
        self._control.cleared(time.monotonic())
        return found

    def _open(self) -> None:
        with self._changed:
            self._gate = True
        for channel in self._channels:
            channel.wake()

    def _first_round(self) -> None:
        """All populated pages. Marks go first: what is written from then on is marked anew.

        Nothing is fetched before the walk is over: a page that is found again would be on its way twice.
        """
        self._harvest()
        self._pass_barrier()
        at = 0
        while at < self.image.pages:
            at, found = self.image.populated(at)
            self._populated += found
            self._wait_for(lambda: True)
        self._open()
        wish, populated = self._request.options.verify, self._populated * PAGE_BYTES
        self._strict = wish == "strict" or (wish == "auto" and populated <= STRICT_BYTES)
        self._control.strict_bytes = populated if self._strict else 0
        self._drain()
        self._end_round()

    def _drain(self) -> None:
        """Until nothing is pending. When the guest stands it ends at once: what is pending goes on after a barrier."""
        self._wait_for(lambda: (self._stands and self._phase not in ("final", "serve"))
                       or (self._busy == 0 and self.image.pending() == 0))  # fmt: skip

    def _end_round(self) -> None:
        with self._changed:
            self._gate = False
        self._wait_for(lambda: self._busy == 0)
        item = Item(type=Type.BARRIER, round=self.round, body=chunks.pack({"digest": self.image.digest()}))
        for channel in self._channels:
            channel.put(item)
        self.round += 1
        self._progress()

    def _another_round(self) -> None:
        now = self._tick()
        self._consider(now)
        calm = CALM_SECONDS if self._converged else TICK_SECONDS
        arriving = self._control.short_enough(now) and self._control.worth_going_on(now)
        if now.marked == 0 or (arriving and not self._converged):
            self._wait_for(lambda: self._stands, calm)
            return
        if self._converged:
            self._wait_for(lambda: self._stands, calm)
        if self._stands:
            return
        if self._converged and self._control.loosen():
            self._tell("limit", pages_per_second=self._control.limit)
        left = self._harvest()
        if not self._converged and self._control.round_begins(left, now):
            self._tell("limit", pages_per_second=self._control.limit)
        self._pass_barrier()
        self._open()
        self._drain()
        self._end_round()

    def _consider(self, now: Sample) -> None:
        """Converged? At a limit?"""
        if self._converged:
            return
        options, pause = self._request.options, self._control.pause_ms(now)
        slow = options.max_seconds is not None and now.at - self._begun > options.max_seconds
        limit = slow or self.round >= options.max_rounds
        enough = self._control.short_enough(now)
        if enough and not limit and self._control.worth_going_on(now):
            return
        follow = options.postcopy == "auto" and chunks.POSTCOPY in self._common
        if not enough and follow and (limit or self._control.hopeless):
            self._converged = self._partial = True
            self._tell("converged", predicted_downtime_ms=round(self._control.floor_ms(), 1), round=self.round,
                       partial=True)  # fmt: skip
            return
        if not enough and not limit:
            return
        if not enough and options.at_limit == "fail":
            what = f"{options.max_seconds} s" if slow else f"{self.round} rounds"
            self.fail("limit", f"not converged after {what}: the pause would be {pause:.0f} ms")
            raise _OverError
        self._converged = True
        self._tell("converged", predicted_downtime_ms=round(pause, 1), round=self.round)

    # -- the pause

    def _finish(self) -> None:
        self._phase = "final"
        clock = [time.monotonic()]
        self._end_round()
        self._take_back_limit()
        self._harvest()  # the guest stands: no barrier
        clock.append(time.monotonic())
        if self._partial:
            self._strict = False
        else:
            self._open()
            self._drain()
            self._end_round()
        digest = self.image.digest()
        clock.append(time.monotonic())
        self._wait_for(lambda: self._final is not None)
        clock.append(time.monotonic())
        assert self._final is not None
        self._send_state(self._final, digest)
        clock.append(time.monotonic())
        if self._strict:
            self._verify()
        clock.append(time.monotonic())
        self._wait_for(lambda: self._result is not None)
        clock.append(time.monotonic())
        confirmed = chunks.octets(chunks.body_fields(self._result or b"", "RESULT"), "digest", chunks.DIGEST_BYTES)
        if confirmed != digest:
            raise RefusedByPeerError("integrity", "the target's memory is not what was sent (digests differ)")
        self._finished(digest, clock)
        if self._partial:
            self._serve()

    def _serve(self) -> None:
        """The guest runs there, or will: what is missing goes, first what it asks for."""
        self._phase = "serve"
        self.image.serve()
        self.serving = True
        self._open()
        self._drain()
        self._end_round()
        self._wait_for(lambda: all(channel.quiet() for channel in self._channels))
        with self._changed:
            self._done = True
            self._changed.notify_all()
        self._phase = "done"
        self._progress(whole=True)
        total = self._total()
        self._tell("whole", pages=total.pages, bytes=total.wire_bytes, asked=sum(each.asked for each in self._channels))

    def _finished(self, digest: bytes, clock: list[float]) -> None:
        with self._changed:
            if self._failed or self.over.is_set():
                raise _OverError
            self._done = not self._partial
        self._phase = "serve" if self._partial else "done"
        self._progress(whole=not self._partial)
        names = ("harvest", "pages", "saved", "state", "verify", "confirm")
        parts = {name: round((b - a) * 1000, 2) for name, a, b in zip(names, clock, clock[1:], strict=False)}
        total = self._total()
        self._tell("final", digest=digest.hex(), pages=total.pages, bytes=total.wire_bytes, raw_bytes=total.raw_bytes,
                   state_bytes=self._final.size if self._final else 0, rounds=self.round, strict=self._strict,
                   resent_bytes=total.resent_bytes, parts=parts,
                   missing=self.image.pending() if self._partial else 0)  # fmt: skip

    def _send_state(self, final: Final, digest: bytes) -> None:
        assert final.size <= MAX_STATE_BYTES
        if os.fstat(final.fd).st_size < final.size or state_digest(final.fd, final.size) != final.sha256:
            raise RequestError("final: the descriptor's bytes are not those of the SHA-256")
        body = {"digest": digest, "state_bytes": final.size, "sha256": final.sha256, "strict": self._strict,
                "missing": self._partial}  # fmt: skip
        missing = self.image.pending_ranges(chunks.MISSING_RANGES) if self._partial else iter(())
        for ranges in missing:
            self._channels[0].put(Item(type=Type.MISSING, round=self.round, body=chunks.pack_numbers(ranges)))
        items = [Item(type=Type.FINAL, round=self.round, body=chunks.pack(body))]
        for at in range(0, final.size, chunks.STATE_PIECE):
            piece = min(chunks.STATE_PIECE, final.size - at)
            items.append(Item(type=Type.STATE, round=self.round, argument=at, state=(final.fd, piece)))
        self._channels[0].put(*items)

    def _verify(self) -> None:
        self._audit = self.image.audit(self.over.is_set)
        if self._audit.mismatches:
            shown = ", ".join(f"{ra:#x}" for ra in _addresses(self._audit)[:4])
            raise RefusedByPeerError(
                "integrity", f"{self._audit.mismatches} pages were written without a mark (real addresses {shown})"
            )

    def _take_back_limit(self) -> None:
        if self._control.limit is not None:
            self._control.limit = None
            self._tell("limit", pages_per_second=None)

    # -- measuring

    def _total(self) -> Counters:
        if len(self._channels) == 1:
            return self._channels[0].counters
        found = [vars(channel.counters) for channel in self._channels]
        return Counters(*(sum(values) for values in zip(*(each.values() for each in found), strict=True)))

    def _sample(self) -> Sample:
        total = self._total()
        in_flight = sum(channel.in_flight() for channel in self._channels)
        pending = self.image.pending()
        return Sample(
            at=time.monotonic(), acked_bytes=total.acked_bytes, wire_bytes=total.wire_bytes, raw_bytes=total.raw_bytes,
            in_flight=in_flight, pending=pending, marked=self.image.marked(),
            busy=in_flight > 0 or (self._gate and pending > 0), send_seconds=total.send_seconds,
            send_cpu_seconds=total.send_cpu_seconds, cap_seconds=total.cap_seconds,
            window_seconds=total.window_seconds, peer_idle_seconds=total.peer_idle_seconds,
        )  # fmt: skip

    def _tick(self) -> Sample:
        """Look at everything; now and then tell, and choose the compression."""
        now = self._sample()
        self._sampled = now.at
        self._control.sample(now)
        self._control.rtt_seconds = min(channel.rtt_seconds for channel in self._channels)
        if now.at - self._measured >= PROGRESS_SECONDS:
            self._measured = now.at
            if now.busy:
                facts = LinkFacts(bytes_per_second=self._control.rate, link_bound=self._control.link_bound())
                self.chooser.measured(facts)
        if now.at - self._told >= PROGRESS_SECONDS:
            self._progress()
        if self._phase == "copy" and self._gate:
            self._inside_round(now)
        return now

    def _inside_round(self, now: Sample) -> None:
        """What need not wait for a round's end: a limit, a pause that would be short enough, the end of the time."""
        if not self._converged and not self._stands and self.round and self._control.inside_round(now):
            self._tell("limit", pages_per_second=self._control.limit)
        self._consider(now)

    def _progress(self, *, whole: bool = False) -> None:
        now, total = self._sample(), self._total()
        self._told = now.at
        percent = 100.0 if whole else self._control.percent(total.looked * PAGE_BYTES, now)
        self._tell("progress", phase=self._phase, round=self.round, pages=total.pages, bytes=total.wire_bytes,
                   total_bytes=self._populated * PAGE_BYTES, remaining=(now.pending + now.marked) * PAGE_BYTES,
                   dirty_rate=int(self._control.dirty_rate), wire_rate=int(self._control.rate),
                   ratio=round(self._control.ratio, 3), predicted_downtime_ms=round(self._control.pause_ms(now), 1),
                   percent=round(percent, 1), limited_by=self._control.limited_by())  # fmt: skip


def _addresses(found: Audit) -> list[int]:
    return [number * PAGE_BYTES for number in found.examples]
