"""``monitor`` commands: what a person asks the emulator through GDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.gdb.debuggee import DebugError
from emulator.traps import trap_name
from emulator.units import format_size


class Machine(Protocol):
    """What commands need of a debuggee."""

    name: str

    def registers(self, strand: int) -> Mapping[str, int]:
        """All registers by the core's names."""

    def call(self, op: str, /, **arguments: Any) -> Any:
        """A request of hvctl about the guest. Raises DebugError."""


@dataclass(frozen=True)
class Command:
    """A command, and how it is told of."""

    run: Callable[[Machine, list[str], int], str]
    usage: str
    about: str
    least: int = 0
    most: int = 0
    """Words behind its name."""


def run_command(machine: Machine, text: str, strand: int) -> str:
    """A command's output; what is wrong with it is told there as well. `strand`: of the thread that is selected."""
    name, *words = text.split() or ["help"]
    command = COMMANDS.get(name)
    if command is None:
        return f"monitor {name[:40]}: there is no such command; try monitor help\n"
    if not command.least <= len(words) <= command.most:
        return f"usage: monitor {command.usage}\n"
    try:
        return command.run(machine, words, strand)
    except DebugError as error:
        return f"monitor {name}: {error}\n"


def _help(_machine: Machine, _words: list[str], _strand: int) -> str:
    width = max(len(each.usage) for each in COMMANDS.values())
    return "".join(f"monitor {each.usage:<{width}}  {each.about}\n" for each in COMMANDS.values())


def _info(machine: Machine, _words: list[str], _strand: int) -> str:
    status = machine.call("guest.status")
    told = machine.call("guest.debug.info")
    lines = {
        "domain": f"{machine.name} (guest {status['guest']}, {status['uuid']})",
        "state": f"{status['state']}, {status['soft_state']['text'] or 'no soft state'}",
        "memory": format_size(status["memory_bytes"]),
        "vcpus": str(len(status["vcpus"])),
        "instructions": str(told["insns"]),
        "time": f"{told['time_ns'] / 1e9:.6f} s since power-on"
        + (", virtual: it stands still with the guest" if told["deterministic"] else ""),
        "breakpoints": f"{told['breakpoints']}, watchpoints {told['watchpoints']}",
    }
    return "".join(f"{name:<13} {value}\n" for name, value in lines.items())


def _strands(machine: Machine, _words: list[str], _strand: int) -> str:
    lines = ["thread vcpu strand state    pc                 tl pil\n"]
    for each in machine.call("guest.debug.strands"):
        values = machine.registers(each["strand"])
        lines.append(f"{each['strand'] + 1:>6} {each['strand']:>4} {each['pid']:>6} {each['state']:<8} "
                     f"{values['pc']:#018x} {values['tl']:>2} {values['pil']:>3}\n")  # fmt: skip
    return "".join(lines)


_PSTATE = {"cle": 9, "tle": 8, "mm1": 7, "mm0": 6, "pef": 4, "am": 3, "priv": 2, "ie": 1}


def _regs(machine: Machine, _words: list[str], strand: int) -> str:
    values = machine.registers(strand)
    on = [name for name, bit in _PSTATE.items() if values["pstate"] >> bit & 1]
    lines = [f"vcpu {strand}: tl {values['tl']}, gl {values['gl']}, pil {values['pil']}, "
             f"pstate {values['pstate']:#x} ({' '.join(on) or 'none'})\n"]  # fmt: skip
    lines += [f"level {n}: tt {values[f'tt{n}']:#05x} ({trap_name(values[f'tt{n}'])}), tpc {values[f'tpc{n}']:#x}, "
              f"tnpc {values[f'tnpc{n}']:#x}, tstate {values[f'tstate{n}']:#x}\n"
              for n in range(1, values["tl"] + 1)]  # fmt: skip
    rows = (("tba", "softint", "ccr", "asi"), ("tick", "tick_cmpr", "stick", "stick_cmpr"),
            ("cwp", "cansave", "canrestore", "cleanwin", "otherwin", "wstate"),
            ("context0", "context1", "fault_area", "mmu_enabled"))  # fmt: skip
    lines += [", ".join(f"{name} {values[name]:#x}" for name in row) + "\n" for row in rows]
    return "".join(lines)


def _number(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise DebugError(f"{text[:40]!r} is no address (0x and hexadecimal digits, or a decimal number)")
    return value


def _translate(machine: Machine, words: list[str], strand: int) -> str:
    va = _number(words[0])
    told = machine.call("guest.debug.translate", strand=strand, va=va)
    if told["ra"] is None:
        return f"va {va:#x}: vcpu {strand} has no translation for it\n"
    if told["pa"] is None:
        return f"va {va:#x}: ra {told['ra']:#x}, where the domain has no memory\n"
    return f"va {va:#x}: ra {told['ra']:#x}, pa {told['pa']:#x}\n"


def _break(machine: Machine, _words: list[str], _strand: int) -> str:
    machine.call("console.break")
    return "a break is sent on the console when the domain goes on\n"


def _reset(machine: Machine, _words: list[str], _strand: int) -> str:
    machine.call("guest.reset")
    return "the domain is reset; it stands before OpenBoot's first word\n"


COMMANDS = {
    "help": Command(_help, "help", "list these"),
    "info": Command(_info, "info", "the domain, its instructions and its time"),
    "strands": Command(_strands, "strands", "every virtual CPU: state, pc, trap level, interrupt level"),
    "regs": Command(_regs, "regs", "privileged registers of the selected thread, and its trap stack"),
    "translate": Command(_translate, "translate VA", "real and physical address behind a virtual one", 1, 1),
    "sendbreak": Command(_break, "sendbreak", "a break on the domain's console"),
    "reset": Command(_reset, "reset", "reset the domain, as monitor and ldm can"),
}
