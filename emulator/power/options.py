"""How a machine was powered on, in its file machine.toml: what the next power-on takes where it is told nothing."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.engines import DEFAULT_ENGINE, ENGINES, check_engine
from emulator.errors import ConfigError
from emulator.netdev import parse_plan, parse_words
from emulator.places import Place
from emulator.platforms import Platform, find_platform
from emulator.units import parse_size

DEFAULT_PLATFORM = "t5-2"


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """`platform`: a name, or the absolute path of a file. `memory_bytes`: installed. `nets`: pairs of a network device
    and where it is plugged in (emulator.netdev); the others are in the lab networks of their names. `metrics`:
    TCP port of the loopback where they are served; 0: they are not. `engine`: how guests' code is executed.
    """

    platform: str
    memory_bytes: int
    deterministic: bool = False
    nets: tuple[tuple[str, str], ...] = ()
    metrics: int = 0
    engine: str = DEFAULT_ENGINE

    def check(self) -> Platform:
        """The server. Raises ConfigError for memory that it cannot have, or networks it cannot be plugged into."""
        server = find_platform(self.platform)
        server.fill(self.memory_bytes)
        plan = parse_plan(dict(self.nets))
        outward = [f"{device}={outlet}" for device, outlet in plan.items() if outlet.outward]
        if self.deterministic and outward:
            raise ConfigError(
                f"{outward[0]}: a machine in virtual time is not joined to what is outside; use --no-deterministic"
            )
        return server


def read_options(place: Place) -> MachineOptions | None:
    """Of the last power-on; None: there was none. Raises ConfigError for a file that is damaged."""
    try:
        values = tomllib.loads(place.options.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{place.options}: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{place.options}: {error}; remove it to start anew") from None
    platform, memory, deterministic = (values.get(name) for name in ("platform", "memory", "deterministic"))
    if not isinstance(platform, str) or not isinstance(memory, int) or not isinstance(deterministic, bool):
        raise ConfigError(f"{place.options}: platform, memory and deterministic are wanted; remove it to start anew")
    nets = values.get("net", {})
    if not isinstance(nets, dict) or not all(isinstance(text, str) for text in nets.values()):
        raise ConfigError(f"{place.options}: [net] has lines like net0 = \"lan\"; remove it to start anew")
    pairs, metrics = tuple(nets.items()), values.get("metrics", 0)
    if type(metrics) is not int or not 0 <= metrics < 65536:
        raise ConfigError(f"{place.options}: metrics is no TCP port; remove it to start anew")
    engine = values.get("engine", DEFAULT_ENGINE)
    if engine not in ENGINES:
        raise ConfigError(f"{place.options}: engine is none of {', '.join(ENGINES)}; remove it to start anew")
    return MachineOptions(
        platform=platform, memory_bytes=memory, deterministic=deterministic, nets=pairs, metrics=metrics, engine=engine)


def write_options(place: Place, options: MachineOptions) -> None:
    """Keep them for the next power-on. Raises OSError."""
    lines = [
        "# written by sun4v power-on",
        f"platform = {json.dumps(options.platform)}",
        f"memory = {options.memory_bytes}",
        f"deterministic = {'true' if options.deterministic else 'false'}",
    ]
    if options.engine != DEFAULT_ENGINE:
        lines.append(f"engine = {json.dumps(options.engine)}")
    if options.metrics:
        lines.append(f"metrics = {options.metrics}")
    if options.nets:
        lines += ["", "[net]", *(f"{device} = {json.dumps(text)}" for device, text in options.nets)]
    fresh = place.options.with_suffix(".new")
    fresh.write_text("\n".join([*lines, ""]), encoding="utf-8")
    os.replace(fresh, place.options)


def choose_options(
    place: Place, *, platform: str | None, memory: str | int | None, deterministic: bool | None,
    nets: Sequence[str] | None = None, metrics: int | None = None,
    engine: str | None = None,
) -> MachineOptions:  # fmt: skip
    """What the command line says, else what was at the last power-on, else a t5-2 with all memory it can have.

    Another platform than the last one brings its own memory. `nets`: words like ``net0=lan``, instead of all that was
    before; one that is empty: none of them. Raises ConfigError, UnitError.
    """
    last = read_options(place)
    if metrics is None:
        metrics = last.metrics if last else 0
    if not 0 <= metrics < 65536:
        raise ConfigError(f"--metrics {metrics}: a TCP port from 1 to 65535 is wanted, or 0: no metrics")
    if engine is None:
        engine = last.engine if last else DEFAULT_ENGINE
    pairs = last.nets if last and nets is None else tuple(parse_words(word for word in nets or () if word).items())
    if platform is not None and platform.lower().endswith(".toml"):
        platform = str(Path(platform).resolve())
    if platform is not None and last is not None and last.platform != platform:
        last = None
    name = platform or (last.platform if last else DEFAULT_PLATFORM)
    server = find_platform(name)
    before = last.memory_bytes if last else server.memory_bytes
    size = before if memory is None else parse_size(memory)
    kept = bool(last and last.deterministic)
    options = MachineOptions(
        platform=name, memory_bytes=size, deterministic=kept if deterministic is None else deterministic, nets=pairs,
        metrics=metrics, engine=check_engine(engine),
    )
    options.check()
    return options
