"""Power on, power off, pull the cord, list, forget: what `sun4v` does with whole machines."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from emulator.errors import EmulatorError
from emulator.hvctl.client import Hvctl, HvctlError
from emulator.places import Place, holder, machine_names, place, why_off
from emulator.power.children import StartError, companions, end, forget, spawn, wait_end
from emulator.power.options import MachineOptions, read_options

SHUTDOWN_SERVICE = "domain-shutdown"
SHUTDOWN_SECONDS = 60.0


class PowerError(EmulatorError):
    """A machine is not in the state that a command needs, or did not start."""

    code = "power"


@dataclass(frozen=True)
class MachineState:
    """A machine, as `sun4v machines` shows it. `state`: on, off, crashed, or mute: on, but it does not answer."""

    name: str
    state: str
    platform: str = ""
    memory_bytes: int = 0
    domains: int | None = None
    pid: int | None = None
    started_at: float | None = None
    deterministic: bool = False
    ldmd: bool = False
    vntsd: bool = False
    networks: tuple[dict[str, Any], ...] = ()
    """Its network devices, as hvctl's `network.list` tells them."""
    disks: tuple[dict[str, Any], ...] = ()
    """The disks of its guests and what they have done: guest, disk, and the counters of hvctl's `disk_io`."""
    engine: str = ""
    """How its guests' code is executed; `engine_note`: why it is not the engine that was asked for, or ""."""
    engine_note: str = ""


def start_machine(where: Place, options: MachineOptions) -> dict[str, Any]:
    """Power on in the background; returns the answers to hello and machine.info. Raises PowerError."""
    where.make()
    if where.on:
        raise PowerError(f"machine {where.name} is on already (process {holder(where.machine_pid)})")
    arguments = ["emulator.power.process", where.name, "--platform", options.platform]
    arguments += ["--memory", str(options.memory_bytes)]
    arguments += ["--deterministic"] if options.deterministic else []
    arguments += ["--metrics", str(options.metrics)] if options.metrics else []
    arguments += ["--engine", options.engine]
    arguments += [word for device, text in options.nets for word in ("--net", f"{device}={text}")]
    try:
        spawn(arguments, log=where.machine_log)
    except (StartError, OSError) as error:
        raise PowerError(f"machine {where.name} did not start: {error}") from None
    try:
        with _off_if_interrupted(where), Hvctl(where.hvctl) as machine:
            info: dict[str, Any] = machine.call("machine.info")
            return info | machine.hello
    except HvctlError as error:
        end(where.machine_pid, signal.SIGKILL)
        raise PowerError(f"machine {where.name} did not start: {error}; its log is {where.machine_log}") from None


def start_companions(where: Place) -> None:
    """Manager and console server. Raises PowerError, and the machine stays on; interrupted, all of it is off."""
    with _off_if_interrupted(where):
        for each in companions(where):
            if holder(each.pid_file) is not None:
                continue
            try:
                spawn([each.module, "--machine", where.name], log=each.log)
            except (StartError, OSError) as error:
                raise PowerError(
                    f"machine {where.name} is on, but {each.what} did not start: {error}"
                ) from None


@contextlib.contextmanager
def _off_if_interrupted(where: Place) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, of who powers it on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        with contextlib.suppress(PowerError):
            pull_cord(where)
        raise


def power_off(where: Place, *, force: bool, seconds: float = SHUTDOWN_SECONDS,
              tell: Callable[[str], None] = lambda _: None) -> None:  # fmt: skip
    """Shut the guests down, then end the processes: console server, manager, machine. `tell` hears of each step.

    With `force`, or after `seconds`, guests are stopped at once. Raises PowerError where the machine is not on.
    """
    if not where.on:
        why = why_off(where)
        why += " (it had crashed)" if where.crashed else ""
        for each in companions(where):  # of a machine that has crashed they may still be there
            end(each.pid_file)
        forget(where)
        raise PowerError(why)
    if not force:
        with contextlib.suppress(HvctlError), Hvctl(where.hvctl) as machine:
            shut_down(machine, seconds=seconds, tell=tell)
    for each in reversed(companions(where)):
        end(each.pid_file)
    with contextlib.suppress(HvctlError), Hvctl(where.hvctl) as machine:
        machine.call("machine.power_off")
    if not wait_end(where.machine_pid):
        end(where.machine_pid, signal.SIGKILL)
    forget(where)


def shut_down(machine: Hvctl, *, seconds: float, tell: Callable[[str], None] = lambda _: None) -> None:
    """Ask every guest that can be asked to shut down, and wait for them. Raises HvctlError."""
    machine.call("events.subscribe")
    asked: dict[int, str] = {}
    for guest in machine.call("guest.list"):
        if guest["state"] != "running" or SHUTDOWN_SERVICE not in guest["services"]:
            continue
        with contextlib.suppress(HvctlError):
            machine.call("guest.shutdown", guest=guest["guest"], delay_ms=0)
            asked[guest["guest"]] = guest["name"]
            tell(f"{guest['name']} is shutting down")
    deadline = time.monotonic() + seconds
    while asked and (left := deadline - time.monotonic()) > 0:
        event = next(machine.events(seconds=left), None)
        if event is None:
            break
        if event["event"] == "guest.state" and event["state"] in ("halted", "defined"):
            name = asked.pop(event["guest"], None)
            if name:
                tell(f"{name} has ended")
    for name in asked.values():
        tell(f"{name} has not ended within {seconds:g} seconds; it is stopped")


def pull_cord(where: Place) -> None:
    """SIGKILL to all of the machine's processes. Raises PowerError where none of them lives."""
    why = why_off(where)
    hit = end(where.machine_pid, signal.SIGKILL)
    for each in companions(where):
        hit = end(each.pid_file, signal.SIGKILL) or hit
    forget(where)
    if not hit:
        raise PowerError(why)


def check_off(where: Place) -> None:
    """A machine can be forgotten. Raises PowerError where there is none, or it is on."""
    if where.name not in machine_names():
        raise PowerError(why_off(where))
    if where.on:
        raise PowerError(f"machine {where.name} is on; power it off first")


def delete(where: Place) -> None:
    """Forget the state of a machine that is off. Raises PowerError."""
    check_off(where)
    for each in companions(where):
        end(each.pid_file)
    for path in (where.run, where.state):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise PowerError(f"{error.filename or path}: {error.strerror or error}") from None


def machine_states(names: Iterable[str] | None = None) -> list[MachineState]:
    """Of the named machines, or of all."""
    return [machine_state(place(name)) for name in (machine_names() if names is None else names)]


def machine_state(where: Place) -> MachineState:
    """How a machine stands."""
    platform, memory, deterministic = "", 0, False
    with contextlib.suppress(EmulatorError):
        options = read_options(where)
        if options is not None:
            platform, memory, deterministic = options.platform, options.memory_bytes, options.deterministic
            platform = os.path.basename(platform)
    pid = holder(where.machine_pid)
    if pid is None:
        state = "crashed" if where.crashed else "off"
        return MachineState(where.name, state, platform, memory, deterministic=deterministic)
    alive = [holder(each.pid_file) is not None for each in companions(where)]
    networks: tuple[dict[str, Any], ...] = ()
    disks: tuple[dict[str, Any], ...] = ()
    try:
        with Hvctl(where.hvctl, seconds=5.0) as machine:
            info = machine.call("machine.info")
            with contextlib.suppress(HvctlError):  # one that was powered on by an earlier version has none
                networks = tuple(machine.call("network.list")["devices"])
                disks = tuple({"guest": guest["name"], "disk": name} | counters
                              for guest in machine.call("guest.list")
                              for name, counters in guest.get("disk_io", {}).items())  # fmt: skip
    except HvctlError:
        return MachineState(where.name, "mute", platform, memory, pid=pid, ldmd=alive[0], vntsd=alive[1])
    return MachineState(
        where.name, "on", info["platform"], info["memory_bytes"], info["domains"], pid, info["started_at"],
        info["deterministic"], alive[0], alive[1], networks, disks,
        info.get("engine", ""), info.get("engine_note", ""),
    )  # fmt: skip
