"""Convergence: what was measured, how long the pause would be, and what to do where it does not get shorter. Pure.

pause = (pending + marked pages) / ratio / wire rate + bytes on their way / wire rate
        + what is written until the guest stands + fixed parts + 1.5 round trips (+ hashing again, when strict)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from emulator.stream.requests import PAGE_BYTES, Options

FIXED_MS = 8.0
"""Suspending, two synced records of the journals, state without memory."""
STOP_SECONDS = 0.005
"""From `converged` to the moment in which the guest stands."""
WINDOW_SECONDS = 1.0
LEAST_MEMORY_MS = 5.0
"""Of the pause, that memory may always take: a goal below the fixed parts is no reason to go on for ever."""
FIRST_RATE = 100e6
"""Bytes a second, while nothing was measured."""
STRICT_RATE = 1.5e9
STALLED = 0.7
"""A round that leaves more than this part of the last one's pages does not converge."""
FIRST_LIMIT, NEXT_LIMIT = 0.25, 0.7
"""Of the pages that the link carries; of the limit before."""
LOOSE_LIMIT = 8192
"""Pages a second; a limit above that is none."""
LEAST_LIMIT = 64
"""Pages a second."""
ROUNDS_BEFORE_LIMIT = 2
LIMITS_BEFORE_POSTCOPY = 2
HALF = 0.5
LOOKS_APART = 0.05
LEAST_APART = 0.01
"""Looks at a round's marks that are kept: each is later than the one before by this part of it, and these seconds."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at everything. Bytes that are acked, wire, raw, and seconds, are totals of all channels."""

    at: float
    acked_bytes: int
    wire_bytes: int
    raw_bytes: int
    in_flight: int
    pending: int
    marked: int
    busy: bool
    send_seconds: float = 0.0
    send_cpu_seconds: float = 0.0
    cap_seconds: float = 0.0
    window_seconds: float = 0.0
    peer_idle_seconds: float = 0.0


@dataclass(frozen=True)
class Share:
    """Parts of a thread's time, 0 to 1: blocked in sending, at the cap, at a full window; the target without input."""

    blocked: float
    cap: float
    window: float
    peer_idle: float


class Control:
    """What is known of the transfer, and what follows from it."""

    def __init__(self, options: Options, channels: int) -> None:
        self._options, self._channels = options, channels
        self._samples: deque[Sample] = deque()
        self._steps: deque[tuple[float, int]] = deque()  # between two of them: seconds busy, bytes acknowledged then
        self._busy, self._moved = 0.0, 0
        self._rate = self._dirty_rate = 0.0
        self._ratio = 1.0
        self._percent = 0.0
        self._last_left: int | None = None
        self._stalled = 0
        self._judged = False  # of the round under way it is known that it stalls
        self._cleared_at = 0.0
        self._marks: list[tuple[float, int]] = []  # seconds since the marks were cleared, how many there were then
        self._last_marks: list[tuple[float, int]] = []  # of the time before they were cleared last
        self.limit: int | None = None
        self.rtt_seconds = 0.0
        self.strict_bytes = 0

    # -- measuring

    def cleared(self, at: float) -> None:
        """Marks were cleared: from now on they are counted anew."""
        self._cleared_at = at
        self._last_marks, self._marks = self._marks, []

    def sample(self, now: Sample) -> None:
        """Take a look into account."""
        if self._samples:
            last = self._samples[-1]
            self._step(now.at - last.at if now.busy else 0.0, now.acked_bytes - last.acked_bytes if now.busy else 0)
        self._samples.append(now)
        while len(self._samples) > 2 and now.at - self._samples[0].at > WINDOW_SECONDS:
            self._samples.popleft()
            seconds, count = self._steps.popleft()
            self._busy, self._moved = self._busy - seconds, self._moved - count
        if self._busy > 0.005 and self._moved > 0:
            self._rate = self._moved / self._busy
        first = self._samples[0]
        if now.wire_bytes - first.wire_bytes > 1 << 16:
            self._ratio = max(0.1, (now.raw_bytes - first.raw_bytes) / (now.wire_bytes - first.wire_bytes))
        since = now.at - self._cleared_at
        if since > 0.02:
            self._dirty_rate = now.marked * PAGE_BYTES / since
        if not self._marks or since >= self._marks[-1][0] * (1 + LOOKS_APART) + LEAST_APART:
            self._marks.append((since, now.marked))

    def _step(self, seconds: float, count: int) -> None:
        self._steps.append((seconds, count))
        self._busy, self._moved = self._busy + seconds, self._moved + count

    @property
    def hopeless(self) -> bool:
        """What can be done against the guest's writing was done, and rounds still do not get shorter."""
        return self._stalled >= ROUNDS_BEFORE_LIMIT + (LIMITS_BEFORE_POSTCOPY if self._options.dirty_limit else 0)

    @property
    def rate(self) -> float:
        """Wire bytes a second while there is something to send."""
        return self._rate

    @property
    def ratio(self) -> float:
        """Memory bytes of a wire byte."""
        return self._ratio

    @property
    def dirty_rate(self) -> float:
        """Bytes a second of distinct pages written."""
        return self._dirty_rate

    def pause_ms(self, now: Sample) -> float:
        """The pause, were the guest suspended now."""
        return self._memory_ms(now) + self.floor_ms()

    def _memory_ms(self, now: Sample) -> float:
        rate = self._rate or FIRST_RATE
        memory = (now.pending + now.marked) * PAGE_BYTES + self._dirty_rate * STOP_SECONDS
        return (memory / self._ratio + now.in_flight) / rate * 1000

    def floor_ms(self) -> float:
        """What no further round makes less."""
        return FIXED_MS + 1500 * self.rtt_seconds + self.strict_bytes / STRICT_RATE * 1000

    def short_enough(self, now: Sample) -> bool:
        """Is the pause what was asked for, or as good as what it can be?"""
        return self._memory_ms(now) <= max(self._options.downtime_ms - self.floor_ms(), LEAST_MEMORY_MS)

    def worth_going_on(self, now: Sample) -> bool:
        """Where all would fit the pause: does what is on its way arrive faster than pages are marked?

        Then it goes while the guest runs. The same bytes take the same time, and are not in the pause.
        """
        rate = self._rate or FIRST_RATE
        on_its_way = (now.pending * PAGE_BYTES / self._ratio + now.in_flight) / rate * 1000
        return on_its_way > LEAST_MEMORY_MS and self._dirty_rate < HALF * rate * self._ratio

    def share(self) -> Share:
        """Where the time of the last second went."""
        first, last = self._samples[0], self._samples[-1]
        wall = max(1e-6, (last.at - first.at) * self._channels)

        def part(name: str) -> float:
            return min(1.0, max(0.0, float(getattr(last, name) - getattr(first, name)) / wall))

        blocked = max(0.0, part("send_seconds") - part("send_cpu_seconds"))
        return Share(blocked, part("cap_seconds"), part("window_seconds"), part("peer_idle_seconds"))

    def link_bound(self) -> bool:
        """The sender waits for the link, and the target for input."""
        share = self.share()
        return share.blocked + share.cap + share.window > 0.3 and share.peer_idle > 0.3

    def limited_by(self) -> str:
        """What keeps it from being faster: the word of `progress`."""
        if len(self._samples) < 2 or not self._samples[-1].busy:
            return "dirty-rate" if self._stalled else "nothing"
        share = self.share()
        if self._stalled:
            return "dirty-rate"
        if share.cap > 0.3:
            return "bandwidth"
        if share.blocked + share.window > 0.3:
            return "network" if share.peer_idle > 0.3 else "target"
        return "cpu"

    def percent(self, looked_bytes: int, now: Sample) -> float:
        """How far it is: never less than before, 99 at most until all is verified."""
        again = min(0.9, self._dirty_rate / (self._rate * self._ratio)) if self._rate else 0.0
        left = (now.pending + now.marked) * PAGE_BYTES / (1 - again)
        if looked_bytes:
            self._percent = max(self._percent, 99.0 * looked_bytes / (looked_bytes + left))
        return self._percent

    # -- deciding

    def round_begins(self, left: int, now: Sample) -> bool:
        """A round has `left` pages. True: the guest's rate of dirtying is limited (more) from now on: `limit`."""
        last, self._last_left = self._last_left, left
        judged, self._judged = self._judged, False
        if judged or self.short_enough(now):
            return False
        if self._foreseen(left):
            self._stalled = max(self._stalled, ROUNDS_BEFORE_LIMIT - 1)
            return self._stalls()
        if last is None or left <= STALLED * last:
            return False
        return self._stalls()

    def _foreseen(self, left: int) -> bool:
        """Will the round that begins leave as much as one that stalls, as far as the guest writes as it has written?

        In the time that the round takes as many pages become marked as in the same time after the marks were cleared
        last. To know that costs nothing; to try it, the round. Only where a limit can help, and there is none yet.
        """
        if not self._options.dirty_limit or self.limit is not None or not self._rate:
            return False
        seconds = left * PAGE_BYTES / (self._rate * self._ratio)
        return self._marked_within(seconds) > STALLED * left

    def _marked_within(self, seconds: float) -> float:
        """Pages that the guest marked in so many seconds after the marks were cleared, the time before last."""
        before, count = 0.0, 0
        for at, marked in self._last_marks:
            if at >= seconds:
                return count + (marked - count) * (seconds - before) / (at - before)
            before, count = at, marked
        return count

    def inside_round(self, now: Sample) -> bool:
        """In a round it is clear already that it stalls: as `round_begins`, and not again at its end.

        Marks only become more: as many as STALLED of the round's pages are a stall for certain. From half of the
        round on what they grow by is taken to go on: that leads to more pages than the round has.
        """
        left = self._last_left
        if self._judged or not left or self.short_enough(now):
            return False
        sent = left - now.pending
        grows = sent >= HALF * left and now.marked * left > left * sent
        if now.marked <= STALLED * left and not grows:
            return False
        self._judged = True
        return self._stalls()

    def loosen(self) -> bool:
        """The guest shall suspend itself, and must write to do so: the limit doubles, until there is none.

        To be called for each round in which it has not done it yet. True where the limit changed.
        """
        if self.limit is None:
            return False
        self.limit = 2 * self.limit if self.limit < LOOSE_LIMIT else None
        return True

    def _stalls(self) -> bool:
        self._stalled += 1
        if not self._options.dirty_limit or self._stalled < ROUNDS_BEFORE_LIMIT:
            return False
        pages = self._rate * self._ratio / PAGE_BYTES
        wanted = FIRST_LIMIT * pages if self.limit is None else min(NEXT_LIMIT * self.limit, FIRST_LIMIT * pages)
        before, self.limit = self.limit, max(LEAST_LIMIT, int(wanted))
        return self.limit != before
