"""Commands that show the registers of the program that ran, and its calls. Their layout is OpenBoot's for sun4v."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emulator.firmware.commands import CommandList
from emulator.firmware.forth import throw

if TYPE_CHECKING:
    from emulator.firmware.prompt import Prompt

commands = CommandList("Registers")
NO_STATE = "No saved state"
BIAS = 2047
WINDOWS = 64
"""Windows that ``ctrace`` and ``w`` follow at most."""
MASK = (1 << 64) - 1
WINDOW_NAMES = tuple(f"{kind}{index}" for kind in "iol" for index in range(8))
SPECIAL = ("pc", "npc", "tba", "ccr", "y", "pstate", "tl", "asi", "cwp", "pil", "fprs", "gl")


def saved(prompt: Prompt) -> Mapping[str, int]:
    """The registers of the current strand. Raises ThrowError where no program ran."""
    found = prompt.host.registers(prompt.host.facts().cpu)
    if found is None:
        raise throw.abort(NO_STATE)
    return found


def _caller(prompt: Prompt, window: dict[str, int]) -> dict[str, int] | None:
    """The window of the caller: its outs are these ins, the rest is where the window was spilled to."""
    pointer = window["i6"]
    if not pointer & 1:
        return None
    data = prompt.host.peek(pointer + BIAS & MASK, 128)
    if data is None:
        return None
    cells = [int.from_bytes(data[place : place + 8], "big") for place in range(0, 128, 8)]
    out = {f"o{index}": window[f"i{index}"] for index in range(8)}
    out |= {f"l{index}": cells[index] for index in range(8)}
    return out | {f"i{index}": cells[8 + index] for index in range(8)}


def _window(prompt: Prompt) -> dict[str, int]:
    """The window that ``w`` chose; the innermost one without."""
    registers = saved(prompt)
    window = {name: registers.get(name, 0) for name in WINDOW_NAMES}
    for _ in range(prompt.window):
        window = _caller(prompt, window) or window
    return window


@commands("w", "( n -- )", help="Choose a register window: 0 is the innermost")
def _choose_window(prompt: Prompt) -> None:
    wanted = prompt.forth.pop()
    registers = saved(prompt)
    window = {name: registers.get(name, 0) for name in WINDOW_NAMES}
    prompt.window = 0
    while prompt.window < min(wanted, WINDOWS):
        outer = _caller(prompt, window)
        if outer is None:
            break
        window = outer
        prompt.window += 1
    if prompt.window != wanted:
        prompt.forth.emit(f"Window number too large.  The maximum number is {prompt.window:x} \n")


def _cc(bits: int) -> str:
    return "".join(name if bits & mask else name.lower() for name, mask in (("N", 8), ("Z", 4), ("V", 2), ("C", 1)))


def _ccr_text(ccr: int) -> str:
    """Both condition codes: capitals are set."""
    return f"XCC:{_cc(ccr >> 4)}   ICC:{_cc(ccr)}"


@commands(".registers", "( -- )", help="Show the globals, %pc, %npc, %tba and %ccr")
def _registers(prompt: Prompt) -> None:
    registers, forth = saved(prompt), prompt.forth
    forth.fresh_line()
    forth.to_column(8)
    forth.emit("Normal")
    forth.to_column(24)
    forth.emit("GL=1\n")
    for index in range(8):
        other = registers.get(f"a{index}", 0)
        forth.emit(f"{index}: {registers.get(f'g{index}', 0):17x}{other:17x}\n")
    forth.emit(f"%PC  {registers.get('pc', 0):x} %nPC {registers.get('npc', 0):x} \n")
    ccr = registers.get("ccr", 0)
    forth.emit(f"%TBA {registers.get('tba', 0):x} %CCR {ccr:x} {_ccr_text(ccr)}\n")


@commands(".locals", "( -- )", help="Show the ins, locals and outs of the window")
def _locals(prompt: Prompt) -> None:
    window, forth = _window(prompt), prompt.forth
    forth.to_column(8)
    forth.emit("INs")
    forth.to_column(24)
    forth.emit("LOCALs")
    forth.to_column(40)
    forth.emit("OUTs\n")
    for index in range(8):
        forth.emit(f"{index}: " + "".join(f"{window[f'{kind}{index}']:17x}" for kind in "ilo") + "\n")


@commands(".window", "( n -- )", help="As w .locals")
def _dot_window(prompt: Prompt) -> None:
    _choose_window(prompt)
    _locals(prompt)


PSTATE_FIELDS = (
    ("IE", 1, 1), ("PRIV", 2, 1), ("AM", 3, 1), ("PEF", 4, 1), ("MM", 6, 3), ("TLE", 8, 1), ("CLE", 9, 1),
    ("TCT", 12, 1),
)  # fmt: skip


def _pstate_text(pstate: int) -> str:
    """The fields of PSTATE, as sun4v has them."""
    return "".join(f"{name}:{pstate >> shift & mask:x} " for name, shift, mask in PSTATE_FIELDS)


@commands(".pstate", "( -- )", help="Show the fields of %pstate")
def _pstate(prompt: Prompt) -> None:
    prompt.forth.emit(_pstate_text(saved(prompt).get("pstate", 0)))


@commands(".ccr", "( -- )", help="Show the condition codes")
def _ccr(prompt: Prompt) -> None:
    prompt.forth.emit(_ccr_text(saved(prompt).get("ccr", 0)))


@commands(".trap-registers", "( -- )", help="Show the saved registers of trap level 1")
def _trap_registers(prompt: Prompt) -> None:
    registers = saved(prompt)
    tt, pc, npc, tstate = (registers.get(name, 0) for name in ("tt1", "tpc1", "tnpc1", "tstate1"))
    ccr = tstate >> 32 & 0xFF
    prompt.forth.emit(f"%TL:1 %TT:{tt:x} %TPC:{pc:x} %TnPC:{npc:x} \n")
    prompt.forth.emit(f"%TSTATE:{tstate:x}  %CWP:{tstate & 0x1F:x} \n")
    pstate = tstate >> 8 & 0xFFFF
    prompt.forth.emit(f"   %PSTATE:{pstate:x} {_pstate_text(pstate)}\n")
    prompt.forth.emit(f"   %ASI:{tstate >> 24 & 0xFF:x}  %CCR:{ccr:x}   {_ccr_text(ccr)}\n")


def _call_text(prompt: Prompt, address: int) -> str:
    """What the call instruction at an address calls."""
    data = prompt.host.peek(address, 4) if address and not address & 3 else None
    if data is None:
        return "XXXXXXX "
    word = int.from_bytes(data, "big")
    if word >> 30 == 1:
        displacement = (word & 0x3FFF_FFFF) - (word << 1 & 1 << 30)
        return f"call {address + 4 * displacement & MASK:x} "
    return "jmpl  ????  " if word & 0xC1F8_0000 == 0x81C0_0000 else "????  "


@commands("ctrace", "( -- )", help="Show the calls that lead to where the program stopped")
def _ctrace(prompt: Prompt) -> None:
    registers, forth = saved(prompt), prompt.forth
    window: dict[str, int] | None = {name: registers.get(name, 0) for name in WINDOW_NAMES}
    forth.emit(f"PC: {registers.get('pc', 0):x} \nLast leaf: ")
    for number in range(WINDOWS):
        if window is None or (number and not window["o7"]):
            break
        forth.emit(f"{_call_text(prompt, window['o7'])}   from {window['o7']:x} \n")
        outs = "".join(f"{window[f'o{index}']:x} " for index in range(8))
        forth.emit(f"    {number:2x}  w  %o0-%o7: ({outs})\n\n")
        window = _caller(prompt, window)


def _register_word(prompt: Prompt, name: str) -> None:
    source = _window(prompt) if name in WINDOW_NAMES else saved(prompt)
    prompt.forth.push(source.get(name, 0))


for _name in (*(f"g{index}" for index in range(8)), *WINDOW_NAMES, *SPECIAL):
    commands(f"%{_name}", "( -- n )", help="A saved register")(
        lambda prompt, name=_name: _register_word(prompt, name)  # type: ignore[misc]
    )


@commands("set-pc", "( addr -- )", help="Let go continue at an address")
def _set_pc(prompt: Prompt) -> None:
    address = prompt.forth.pop()
    saved(prompt)
    cpu = prompt.host.facts().cpu
    if address & 3 or not (
        prompt.host.set_register(cpu, "pc", address) and prompt.host.set_register(cpu, "npc", address + 4 & MASK)
    ):
        raise throw.abort("Can't change that register")
