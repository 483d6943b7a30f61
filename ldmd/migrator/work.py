"""The worker of an attempt: started by a job, ended by `StopTransfer`, its events taken up by the attempt's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ldmd.migrator.means import Killed
from ldmd.migrator.worker import Worker

if TYPE_CHECKING:
    from ldmd.migrator.attempt import Attempt


class Work:
    """Holds at most one worker. `begin` from jobs; `stop` from the attempt's thread, after which no event comes."""

    def __init__(self, attempt: Attempt, on_event: Callable[[dict[str, Any]], None],
                 at_once: Callable[[dict[str, Any], Worker], bool] = lambda event, worker: False) -> None:
        """`at_once`: answers an event in the worker's own thread, where that cannot wait; True: it was answered."""
        self._attempt, self._on_event, self._at_once = attempt, on_event, at_once
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._starting = threading.Lock()
        self._ready = -1  # the job whose worker has been started, and has no task yet

    @property
    def worker(self) -> Worker | None:
        """The one there is."""
        return self._worker

    def prepare(self, number: int, current: Callable[[], int]) -> None:
        """Start the process of job `number`, whose task comes with `begin`: an interpreter takes its time.

        Raises OSError.
        """
        with self._starting:
            if self._worker is None and self._start(number, current) is not None:
                self._ready = number

    def begin(self, number: int, current: Callable[[], int], op: str, fds: Sequence[int], **members: Any) -> bool:
        """Give job `number`'s worker its task; it is started where it has not been. False: the job was stopped
        meanwhile. Raises OSError.
        """
        with self._starting:
            ready, self._ready = self._ready, -1
            worker = self._worker if ready == number else None
            worker = worker or self._start(number, current)
        if worker is None:
            return False
        worker.request(op, fds, **members)
        return True

    def tell(self, op: str) -> None:
        """A request without members, to the worker that there may be."""
        worker = self._worker
        if worker is not None:
            worker.request(op)

    def _start(self, number: int, current: Callable[[], int]) -> Worker | None:
        """None: the job was stopped meanwhile."""
        holder: list[Worker] = []

        def arrived(event: dict[str, Any]) -> None:
            if holder and self._worker is holder[0]:
                faults = self._attempt.means.faults
                if event.get("event") == "fault":
                    if faults is not None:
                        faults.told(event)
                    return
                if faults is not None:
                    phase = self._attempt.state.phase.name.lower()
                    faults.worker(self._attempt.side, str(event.get("event")), phase, holder[0])
                try:
                    if not self._at_once(event, holder[0]):
                        self._attempt.act(lambda: self._on_event(event), job=number)
                except Killed:
                    return

        worker = Worker(arrived, start=self._attempt.means.start_worker)
        holder.append(worker)
        with self._lock:
            stale = number != current()
            if not stale:
                self._worker = worker
        if stale:
            worker.stop()
            return None
        return worker

    def stop(self, *, kill: bool = False, leave: bool = False, wait: bool = True) -> None:
        """End it. Without `wait` it ends by itself, in its own time; no event of it comes in any case.

        `leave`: the manager ends, and the worker need not (`Worker.leave`).
        """
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is None:
            return
        if kill:
            worker.kill()
        elif leave:
            worker.leave()
        elif wait:
            worker.stop()
        else:
            threading.Thread(target=worker.stop, name="migration-worker-end", daemon=True).start()
