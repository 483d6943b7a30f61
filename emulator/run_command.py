"""`sun4v run`: one machine, its console on standard input and output, until it ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import runner
from emulator.arguments import EXIT_USAGE, Parser, argument, complain
from emulator.devices.lab import build_domain
from emulator.devices.options import DISK_USAGE, NET_USAGE, make_nets, parse_disk, parse_net
from emulator.devices.switch import Switch
from emulator.disasm import listing
from emulator.engines import DEFAULT_ENGINE, ENGINES
from emulator.errors import ConfigError, EmulatorError, StateError
from emulator.firmware.nvram import NvramFile
from emulator.firmware.program import Program, add_initrd, wants_firmware
from emulator.firmware.variables import VariableError, Variables
from emulator.guest import StopReason
from emulator.loader import Image, read_image
from emulator.machine import Machine
from emulator.terminal import HostConsole, QuitError
from emulator.units import parse_count, parse_size

if TYPE_CHECKING:
    from emulator.gdb.standalone import GdbServer
    from emulator.run_faults import RunFaults
    from emulator.timeline import Timeline

TIMELINE = ".json"
EPILOG = """\
exit status:
  the guest's exit code (MACH_EXIT), modulo 256, or
  2    bad command line, image that cannot be loaded, impossible machine
  3    the guest died: trap at the last trap level, wrong use of a hypercall
  124  --max-insns reached
  130  interrupted: Ctrl-C, or Ctrl-] on a terminal
  141  standard output was closed

A kernel (Linux, or a program that says so in an ELF note) is booted by OpenBoot,
with ARGs and --append as its command line; its console has the escapes ~. (end)
and ~# (break) at the start of a line, and Ctrl-C is the guest's. Other programs
are loaded at their ELF physical addresses and started at their entry on one
strand: privileged, MMU off, trap level 0. Write -- before arguments that begin
with a dash.
"""


def add_run(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """The parser of `sun4v run`."""
    run = commands.add_parser(
        "run",
        usage="sun4v run [OPTION ...] IMAGE [ARG ...]",
        help="boot a kernel, or run a freestanding SPARC V9 program",
        description="Boot a kernel, or run a freestanding SPARC V9 program; its console is standard input and output.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument(
        "operands", metavar="IMAGE [ARG ...]", nargs="*", help="static 64-bit SPARC V9 ELF executable; its arguments"
    )
    _add_machine(run)
    _add_devices(run)
    _add_boot(run)
    _add_observation(run)
    run.set_defaults(handler=command_run)
    return run


def _add_machine(run: Parser) -> None:
    run.add_argument(
        "--memory", metavar="SIZE", default=256 << 20, type=argument(parse_size),
        help="guest memory, e.g. 64M, 1G (default 256M)",
    )  # fmt: skip
    run.add_argument("--vcpus", metavar="N", default=1, type=argument(parse_count), help="virtual CPUs (default 1)")
    run.add_argument(
        "--platform", metavar="NAME", default="t5-2",
        help="server to be, a chip's name, or a file ending in .toml (default t5-2; see `sun4v platforms`)",
    )  # fmt: skip
    run.add_argument(
        "--cpu-arch", metavar="ARCH", default="native",
        help="native, generic, migration-class1 or sparc64-class1 (default native)",
    )  # fmt: skip
    run.add_argument(
        "--deterministic", action="store_true",
        help="count time in instructions; read all of a piped standard input before the start",
    )  # fmt: skip
    run.add_argument(
        "--engine", choices=sorted(ENGINES),
        help="how code is executed: translator to x86-64 code (default, where the host can), or interpreter",
    )  # fmt: skip


def _add_devices(run: Parser) -> None:
    run.add_argument(
        "--disk", metavar="FILE[,WORD ...]", action="append", default=[],
        help=f"a virtual disk: {DISK_USAGE}; ro: read-only, cow: writes are lost at the end, overlay=FILE: they go to "
        "that file, sync: every write is on stable storage before the guest goes on, cd: a CD-ROM",
    )  # fmt: skip
    run.add_argument(
        "--net", metavar="WORD[,WORD ...]", action="append", default=[],
        help=f"a virtual network interface, all on one switch of this machine: {NET_USAGE}",
    )  # fmt: skip


def _add_boot(run: Parser) -> None:
    run.add_argument("--initrd", metavar="FILE", help="initial RAM disk of a Linux kernel")
    run.add_argument("--append", metavar="TEXT", default="", help="command line of a kernel")
    run.add_argument(
        "--firmware", action="store_true", help="boot by OpenBoot whatever the image; without an IMAGE: the ok prompt"
    )
    run.add_argument("--nvram", metavar="FILE", help="keep OpenBoot's configuration variables in FILE")
    run.add_argument(
        "--setenv", metavar="NAME=VALUE", action="append", default=[], help="give a configuration variable a value"
    )
    run.add_argument(
        "--input-after", metavar="TEXT", default="", help="hold standard input until the guest has written TEXT"
    )
    run.add_argument(
        "--save", metavar="FILE",
        help="write the machine's state to FILE when the run is ended from outside (~., Ctrl-], "
        "SIGINT, SIGTERM, --max-insns)",
    )  # fmt: skip
    run.add_argument(
        "--load", metavar="FILE", help="go on from a state that --save wrote; all other options as at that run"
    )
    run.add_argument("--no-reboot", action="store_true", help="end where the guest asks to be restarted (status 0)")


def _add_observation(run: Parser) -> None:
    run.add_argument(
        "--max-insns", metavar="N", type=argument(parse_count), help="stop after N instructions (as 5M) with status 124"
    )
    run.add_argument(
        "--stats", action="store_true",
        help="print instructions, seconds and MIPS as one line of JSON on standard error",
    )  # fmt: skip
    run.add_argument(
        "--trace", metavar="FILE",
        help="one line an instruction to FILE (--trace=FILE), or to standard error (--trace); FILE.json: strands, "
        "traps, hypercalls, disks and console as a trace for ui.perfetto.dev",
    )  # fmt: skip
    run.add_argument(
        "--gdb", metavar="ADDRESS",
        help="let GDB debug the program: --gdb for port 1234 of this host, --gdb=PORT (0: a free one), "
        "--gdb=ADDRESS:PORT, or --gdb=unix:PATH",
    )  # fmt: skip
    run.add_argument(
        "--gdb-wait", action="store_true", help="as --gdb, and nothing runs before GDB has come and lets it go on"
    )
    run.add_argument(
        "--faults", metavar="PLAN.toml",
        help="what goes wrong on purpose (sun4v faults list); --stats tells what has fired",
    )  # fmt: skip
    run.add_argument(
        "--seed", metavar="N", type=argument(parse_count), help="seed of its chance, in the place of the plan's"
    )
    run.add_argument("--disasm", action="store_true", help="print the program's code as assembler; do not run it")


def command_run(options: argparse.Namespace) -> int:
    """`sun4v run`."""
    path = Path(options.operands[0]) if options.operands else None
    try:
        image = read_image(path) if path else None
        if options.disasm and image:
            return print_disassembly(image)
        return run_machine(options, image, path)
    except EmulatorError as error:
        complain(f"{path}: {error}" if error.code.startswith("image.") else str(error))
        return EXIT_USAGE


def run_machine(options: argparse.Namespace, image: Image | None, path: Path | None) -> int:
    """Build the machine, run, report."""
    with ExitStack() as stack:
        machine = _build(options, stack)
        if (note := machine.prefer_engine(options.engine or DEFAULT_ENGINE)) and options.engine:
            complain(f"--engine {options.engine}: {note}; the machine interprets, with the same results")
        booted = _start(machine, options, image, path)
        if options.load:
            load_state(machine, options.load)
        trace = timeline = None
        if options.trace is not None and options.trace.endswith(TIMELINE):
            timeline = stack.enter_context(timeline_into(machine, options.trace))
        elif options.trace is not None:
            name = options.trace
            trace = sys.stderr if name == "-" else stack.enter_context(open(name, "w", encoding="ascii"))
        gdb = _debugged(machine, options, stack)
        faults = _faulty(machine, options, timeline)
        session = runner.Session(
            machine, HostConsole(raw=booted), max_insns=options.max_insns, trace=trace, timeline=timeline,
            reboot=not options.no_reboot, input_after=options.input_after, bench=gdb.bench if gdb else None,
            faults=faults,
        )  # fmt: skip
        outcome = _run_and_save(session, options.save)
        if gdb is not None:
            gdb.close(outcome.report or "the program has ended", outcome.status)
        if faults is not None:
            session.timing.more = {"faults": faults.report(), "digest": machine.digest().hex()}
        figures = session.timing.as_json(outcome, machine)  # before it is closed
    if outcome.report:
        complain(outcome.report)
    if options.stats:
        print(figures, file=sys.stderr, flush=True)
    return outcome.status


def _faulty(machine: Machine, options: argparse.Namespace, timeline: Timeline | None) -> RunFaults | None:
    """What goes wrong on purpose, if anything. Raises FaultsError."""
    if options.faults is None:
        if options.seed is not None:
            raise ConfigError("--seed: it is of --faults")
        return None
    from emulator.faults.rules import read_plan
    from emulator.run_faults import RunFaults

    plan = read_plan(Path(options.faults))
    if options.seed is not None:
        plan = replace(plan, seed=options.seed)
    return RunFaults(machine, plan, _program_name(options), trace=timeline.trace if timeline else None)


def _program_name(options: argparse.Namespace) -> str:
    return Path(options.operands[0]).name if options.operands else "openboot"


def _debugged(machine: Machine, options: argparse.Namespace, stack: ExitStack) -> GdbServer | None:
    """Where GDB comes in, if it may. Raises ConfigError."""
    if options.gdb is None and not options.gdb_wait:
        return None
    from emulator.gdb.doors import Address, parse_address
    from emulator.gdb.standalone import GdbServer

    address = Address() if options.gdb is None else parse_address(options.gdb)
    server = GdbServer(machine, _program_name(options), address, wait=options.gdb_wait, say=complain)
    stack.callback(server.close, "the emulator was ended", runner.EXIT_INTERRUPTED)
    return server


@contextmanager
def timeline_into(machine: Machine, path: str) -> Iterator[Timeline]:
    """What the machine does meanwhile goes into a file, in whatever way it ends. Raises OSError."""
    from emulator.timeline import Timeline
    from emulator.trace import Trace

    trace = Trace()
    timeline = Timeline(machine, trace, "machine")
    try:
        yield timeline
    finally:
        timeline.close()
        trace.write(path)


def _build(options: argparse.Namespace, stack: ExitStack) -> Machine:
    """A bare machine, or one with devices; `stack` closes them."""
    if not options.disk and not options.net:
        return Machine(
            options.memory,
            strands=options.vcpus,
            platform=options.platform,
            cpu_arch=options.cpu_arch,
            deterministic=options.deterministic,
        )
    disks = [parse_disk(text) for text in options.disk]
    nets, captures = make_nets([parse_net(text) for text in options.net], Switch())
    for capture in captures:
        stack.enter_context(capture)
    domain = build_domain(
        options.memory, disks=disks, nets=nets, strands=options.vcpus, platform=options.platform,
        cpu_arch=options.cpu_arch, deterministic=options.deterministic,
    )  # fmt: skip
    stack.enter_context(domain)
    return domain.machine


def _start(machine: Machine, options: argparse.Namespace, image: Image | None, path: Path | None) -> bool:
    """Boot by firmware (True), or start at the entry."""
    asked = options.firmware or options.initrd or options.append
    variables = _variables(options)
    if image is None or path is None:
        machine.power_on(variables=variables)
        return True
    if asked or wants_firmware(image):
        arguments = " ".join(filter(None, [options.append, *options.operands[1:]]))
        program = Program(name=path.name, image=image, arguments=arguments)
        program = add_initrd(program, options.initrd) if options.initrd else program
        machine.power_on(program, variables=variables)
        return True
    runner.prepare(machine, image, path, options.operands[1:])
    return False


def _variables(options: argparse.Namespace) -> Variables:
    """Configuration variables from the file and from the command line. Raises NvramError, VariableError."""
    variables = NvramFile(options.nvram, complain).load() if options.nvram else Variables()
    for setting in options.setenv:
        name, equals, value = setting.partition("=")
        if not equals:
            raise VariableError(f"--setenv wants NAME=VALUE, not {setting!r}")
        variables.set(name, value)
    return variables


def load_state(machine: Machine, path: str) -> None:
    """Go on from a file. Raises StateError, also where it cannot be read."""
    try:
        state = Path(path).read_bytes()
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from error
    machine.load(state)


def save_state(machine: Machine, path: str) -> None:
    """Write a machine's state: the whole file or none. Raises OSError."""
    beside = Path(f"{path}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.write(machine.save())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _run_and_save(session: runner.Session, path: str | None) -> runner.Outcome:
    """Run; where the run is ended from outside, also by SIGTERM, the machine is saved."""
    if path is None:
        return run_session(session)
    try:
        outcome = run_session(session)
    except SystemExit:
        save_state(session.machine, path)
        raise
    if outcome.status in (runner.EXIT_INTERRUPTED, runner.EXIT_LIMIT) and not _ended_itself(outcome):
        save_state(session.machine, path)
        return replace(outcome, report=f"{outcome.report}; state saved to {path}")
    return outcome


def _ended_itself(outcome: runner.Outcome) -> bool:
    return outcome.stop is not None and outcome.stop.reason is StopReason.EXIT


def run_session(session: runner.Session) -> runner.Outcome:
    """Run with the terminal set up; a quit and a closed output become outcomes."""
    try:
        with session.host:
            return session.run()
    except QuitError as quit_:
        return runner.Outcome(runner.EXIT_INTERRUPTED, f"quit ({quit_})")
    except KeyboardInterrupt:
        return runner.Outcome(runner.EXIT_INTERRUPTED, "interrupted")
    except BrokenPipeError:
        return runner.Outcome(runner.EXIT_PIPE, "")


def print_disassembly(image: Image) -> int:
    """The executable segments as assembler, at their real addresses."""
    for segment in image.segments:
        if segment.executable:
            print(f"\nsegment {segment.ra:#x}..{segment.end - 1:#x}")
            for line in listing(segment.data, segment.ra):
                print(line)
    return 0
