"""A process that can be told to die at any step: `test_manager_crash.py` starts it.

Single-threaded, it reads a line of JSON for each run, forks, and has the child do the work: a manager on the parent's
machine (over its socket), the changes of a seed from a place in their sequence on. The child writes "ack n" when
change n is acknowledged, and is gone, with os._exit, at the step it was told; "end STATUS" says how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import changes  # noqa: E402
from manager_support import commit  # noqa: E402

import ldmd.daemon  # noqa: E402, F401 - imported before the fork
from ldmd.hvctl import Link  # noqa: E402
from ldmd.manager import Manager  # noqa: E402
from ldmd.store import Store  # noqa: E402

CRASHED = 111


def main() -> None:
    for text in sys.stdin:
        order = json.loads(text)
        child = os.fork()
        if child == 0:
            try:
                work(order)
                os._exit(0)
            except BaseException as error:
                print(f"error {error!r}", flush=True)
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(f"end {os.waitstatus_to_exitcode(status)}", flush=True)


def work(order: dict[str, Any]) -> None:
    count = 0

    def step(name: str) -> None:
        nonlocal count
        count += 1
        if count == order["crash"]:
            print(f"crash {name}", flush=True)
            if order["kill"]:
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(CRASHED)

    link = Link(Path(order["socket"]))
    link.connect()
    manager = Manager(link, Store(order["store"], step=step), step=step)
    manager.start()
    if order["first"]:
        commit(manager, changes.roomy(manager.configuration))
    else:
        path = changes.sequence(changes.read_back(order["root"]), order["seed"], order["count"])
        for number in range(order["reached"] + 1, len(path)):
            commit(manager, path[number])
            print(f"ack {number}", flush=True)
    manager.close()
    link.close()


if __name__ == "__main__":
    main()
