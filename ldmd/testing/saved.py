"""A domain that was saved where a test failed, as it stood: it runs on, in a server of its own."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from emulator.hvctl.local import LocalHvctl
from emulator.machine import Machine
from emulator.server import Server
from emulator.server.guest import Guest
from ldmd.testing.console import Console
from ldmd.testing.errors import SetupError
from ldmd.testing.evidence import CONSOLE, SPEC, STATE, paths_of

STEP_NS = 1_000_000


class Saved:
    """A context manager. `console` as in the test, `machine` for registers and memory, `advance` for time."""

    def __init__(self, folder: str | Path, domain: str) -> None:
        """Raises SetupError for a folder that has no such domain."""
        where = Path(folder) / domain
        try:
            about = json.loads((where / SPEC).read_text(encoding="utf-8"))
            state = (where / STATE).read_bytes()
            said = (where / CONSOLE).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SetupError(f"{where}: no saved domain: {error}") from None
        self._scratch = Path(tempfile.mkdtemp(prefix="s4v-saved-"))
        self.server = Server(about["platform"], name=about["name"], memory_bytes=about["memory_bytes"],
                             deterministic=True, seed=about["seed"])
        self._hvctl = LocalHvctl(self.server)
        spec = about["spec"]
        for path in paths_of(spec):
            copy = about["disks"].get(path.get("backend"))
            if copy:  # the saved one stays as it is
                path["backend"] = str(shutil.copyfile(where / copy, self._scratch / copy))
        self._hvctl.call("service.configure", **about["services"])
        self._hvctl.call("guest.configure", spec=spec)
        self._number = spec["id"]
        self._hvctl.call("guest.start", guest=self._number)
        self.guest.post(lambda: self.machine.load(state)).result()
        prompt = re.compile(about["prompt"]) if about["prompt_is_pattern"] else about["prompt"]
        self.console = Console(domain, self.guest.console.type, self._until, prompt)
        self.console.hear(said.encode())
        self.console.position = len(self.console.text)
        self.guest.console.attach(self.console.hear)

    @property
    def guest(self) -> Guest:
        """What it is to the server."""
        return self.server.guest(self._number)

    @property
    def machine(self) -> Machine:
        """Its strands and memory."""
        return self.guest.powered()

    def advance(self, ns: int) -> None:
        """Let virtual time pass."""
        self.server.advance(ns)

    def _until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        for _ in range(int(seconds * 1e9 / STEP_NS)):
            if condition():
                return True
            self.advance(STEP_NS)
        return condition()

    def close(self) -> None:
        """Off."""
        self._hvctl.close()
        self.server.power_off()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Saved:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
