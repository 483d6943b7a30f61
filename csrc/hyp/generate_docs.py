"""Writes the reference page of the hypercalls, docs/reference/hypercalls.md.

``python -m csrc.hyp.generate_docs`` in the top directory. Calls, numbers, groups, arguments and results come from
``hcall.def``, the errors from the C functions behind it; the sentences stand here. The page is committed; a test
compares it with its sources.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "reference" / "hypercalls.md"

GROUPS = {0x000: "SUN4V 1", 0x001: "CORE 1", 0x002: "INTR 1", 0x003: "SOFT_STATE 1", 0x101: "LDOM 1",
          0x103: "NCS", 0x104: "RNG", 0x110: "REBOOT_DATA 1"}
# section title -> names, in the order of the page
SECTIONS: dict[str, dict[str, str]] = {
    "API versions and the CORE trap": {
        "API_SET_VERSION": "Chooses the version of a group. The minor granted is the smaller of the one asked for and "
                           "the one there is; major 0 gives the group up. A major that is not there: result 0.",
        "API_PUTCHAR": "CONS_PUTCHAR under another number.",
        "API_EXIT": "MACH_EXIT under another number.",
        "API_GET_VERSION": "The version in force. EINVAL for a group that is unknown or given up (inferred).",
    },
    "Machine": {
        "MACH_EXIT": "Ends the domain; does not return. The code is the exit status of `sun4v run`.",
        "MACH_DESC": "Copies the machine description to a buffer aligned to 16 bytes. The size is a result also of EINVAL, "
                     "the buffer being too small: ask with (0, 0). ENOTSUPPORTED and size 0: there is none.",
        "MACH_SIR": "Asks for a restart; does not return. `sun4v run` ends there.",
        "MACH_SET_WATCHDOG": "The machine stops (the client's policy follows) when the time is up before the next call. "
                             "Time is the guest's, rounded up to a second, at most 31536000000 ms; 0: off.",
        "MACH_SUSPEND": "Everything stands still until the client resumes the domain, maybe elsewhere; the other strands "
                        "must be quiet.",
        "CPU_TICK_NPT": "Sets TICK.NPT of the caller: user code that reads TICK then traps privileged_action.",
        "CPU_STICK_NPT": "Sets STICK.NPT of the caller.",
    },
    "CPU": {
        "CPU_START": "Starts a stopped strand: privileged, TL 0, MMU off, PIL 15, the argument in %o0, without queues, "
                     "TSBs, permanent mappings or fault area, even if it ran before.",
        "CPU_STOP": "Stops another strand.",
        "CPU_YIELD": "Sleeps until something comes that would be a disrupting trap if PSTATE.IE were 1, or CPU_POKE.",
        "CPU_POKE": "Wakes a strand from CPU_YIELD; one that does not sleep returns from its next CPU_YIELD at once "
                    "(inferred).",
        "CPU_QCONF": "Places a queue of the caller (0x3c CPU mondo, 0x3d device mondo, 0x3e resumable, 0x3f "
                     "non-resumable error): a power of two of 64-byte entries, at most 16384, aligned to its size. "
                     "Head and tail become 0; 0 entries take the queue away.",
        "CPU_QINFO": "What CPU_QCONF has set; 0 entries: not configured.",
        "CPU_MYID": "The number of the caller.",
        "CPU_STATE": "1 stopped, 2 running, 3 error.",
        "CPU_SET_RTBA": "Sets the real trap base address, aligned to 256 bytes. %tba is not touched.",
        "CPU_GET_RTBA": "What CPU_SET_RTBA has set.",
        "CPU_MONDO_SEND": "Puts 64 bytes in the CPU mondo queue of every strand of a list of 16-bit numbers. A number "
                          "that was served becomes 0xffff, also when the call fails for another one.",
    },
    "MMU": {
        "MMU_MAP_ADDR": "Enters a translation into the TLB of the caller. Flags: 1 data, 2 instructions.",
        "MMU_UNMAP_ADDR": "Drops a translation that is not permanent.",
        "MMU_TSB_CTX0": "Sets the TSBs of context 0. A TSB has 512 to 2^24 entries; its index page size must be the "
                        "smallest of its mask. 0 descriptors: none.",
        "MMU_TSB_CTXNON0": "Sets the TSBs of all other contexts.",
        "MMU_DEMAP_PAGE": "Drops the translations of a page. A list of CPUs (the two zeros) is not supported.",
        "MMU_DEMAP_CTX": "Drops the translations of a context.",
        "MMU_DEMAP_ALL": "Drops all translations but the permanent ones.",
        "MMU_MAP_PERM_ADDR": "A permanent translation of context 0, at most 8. The same address and TTE with the other "
                             "flag joins the first; the same call twice is EINVAL.",
        "MMU_FAULT_AREA_CONF": "Places the fault status area, aligned to 64 bytes. Without one an MMU fault stops the "
                               "strand.",
        "MMU_ENABLE": "Turns the MMU on (target: VA) or off (target: RA) and goes on at the target.",
        "MMU_UNMAP_PERM_ADDR": "Takes a permanent translation away, for data, instructions or both.",
        "MMU_TSB_CTX0_INFO": "Writes the descriptors of MMU_TSB_CTX0 to a buffer.",
        "MMU_TSB_CTXNON0_INFO": "Writes the descriptors of MMU_TSB_CTXNON0 to a buffer.",
        "MMU_FAULT_AREA_INFO": "What MMU_FAULT_AREA_CONF has set, 0: nothing.",
    },
    "Memory, time, console": {
        "MEM_SCRUB": "Fills pages with zeros, at most 64 MiB a call; the result says how far it came.",
        "MEM_SYNC": "Writes caches back: nothing to do.",
        "TOD_GET": "Seconds since the epoch.",
        "TOD_SET": "Sets the clock of the domain; the host's stays as it is.",
        "CONS_GETCHAR": "A character, or -1 for BREAK, -2 for a hang-up once the input is used up.",
        "CONS_PUTCHAR": "Writes a character; -1 (BREAK) is taken and dropped. While the buffer is full the call waits, "
                        "so the guest never sees EWOULDBLOCK.",
        "CONS_READ": "At most 512 bytes; -1 and -2 as in CONS_GETCHAR.",
        "CONS_WRITE": "At most 4096 bytes a call. Waits as CONS_PUTCHAR does.",
    },
    "Soft state, reboot data, random numbers": {
        "SOFT_STATE_SET": "1 normal, 2 transition, and a text of up to 31 characters with its NUL in 32 aligned bytes.",
        "SOFT_STATE_GET": "What SOFT_STATE_SET has set; at start 2 and an empty text.",
        "REBOOT_DATA_GET": "Length 0 asks for the length. EINVAL for a buffer that is too small; the length comes back.",
        "REBOOT_DATA_SET": "At most 512 bytes, aligned to 16, that survive a reset; length 0 forgets them.",
        "RNG_GET_DIAG_CONTROL": "Version 1 alone: takes control of the unit, where the guest may have it "
                                "(`Machine(rng_control=True)`); else ENOACCESS, as of the next three.",
        "RNG_CTL_READ": "State (0 unconfigured, 1 configured, 2 health check, 3 error), STICKs until it is ready, and the "
                        "four control words in 32 bytes at RA, which may be 0. Version 1: no unit, no last two results.",
        "RNG_CTL_WRITE": "A new state; configured and health check take the control words at RA. Version 1: no unit; "
                         "version 2: no result.",
        "RNG_DATA_READ_DIAG": "8 bytes to 128 KiB. Without a noise source in the control words: the word of the shift "
                              "register that Linux's self-test looks for.",
        "RNG_DATA_READ": "8 bytes of a stream that the machine's seed determines: not for secrets. EIO while the unit is "
                         "not configured, ENOACCESS in the error state.",
    },
    "Crypto units of the T1, T2 and T3": {
        "NCS_REQUEST": "Version 1 alone, modular arithmetic units by number. 1 configures a queue {unit, base, end, "
                       "entries}, 2 works off descriptors {unit, tail index, asynchronous}.",
        "NCS_QCONF": "Type 1 modular arithmetic, 2 ciphers and hashes: the unit of the caller's core. 2 to 64 entries of "
                     "64 bytes, aligned to the queue's size; 0 and the handle take the queue away. Without a unit "
                     "ENOACCESS; without any unit in the machine the group is unknown.",
        "NCS_QINFO": "What NCS_QCONF has set.",
        "NCS_GETHEAD": "Offset of the first entry that is not done: the tail, for work is done at once.",
        "NCS_GETTAIL": "What NCS_SETTAIL has set.",
        "NCS_SETTAIL": "Does the work up to the tail. The caller must be a strand of the unit's core.",
        "NCS_QHANDLE_TO_DEVINO": "The unit's interrupt among the virtual devices.",
        "NCS_SETHEAD_MARKER": "The interrupt is raised while the marker is not at the head and something was done that "
                              "asked for it.",
        "NCS_ULQCONF": "Queues for user programs: none (inferred).",
    },
    "Interrupts": {
        "INTR_DEVINO2SYSINO": "Sysino = handle + devino. Handles: 0x100 virtual-devices (the console's devino is 0x11), 0x200 "
                              "channel-devices. Every call: EINVAL for a source that is not there.",
        "INTR_GETENABLED": "1: enabled.",
        "INTR_SETENABLED": "Enables or disables the source. Like every call that sets something it looks at the source "
                           "again: while its event lasts and it is enabled and idle, a device mondo goes out, with the cookie "
                           "in word 0 or else the sysino, and the state is delivered. A full queue delays it.",
        "INTR_GETSTATE": "0 idle, 1 received, 2 delivered.",
        "INTR_SETSTATE": "0 ends an interrupt.",
        "INTR_GETTARGET": "The CPU that gets the mondos; 0 at start.",
        "INTR_SETTARGET": "Sets it.",
        "VINTR_GETCOOKIE": "0: none. The VINTR calls reach the same sources as the INTR calls.",
        "VINTR_SETCOOKIE": "1 to 2047 are EINVAL; 0 takes the cookie away and disables the source. Cookies end with a reset.",
        "VINTR_GETVALID": "As INTR_GETENABLED.",
        "VINTR_SETVALID": "As INTR_SETENABLED.",
        "VINTR_GETSTATE": "As INTR_GETSTATE.",
        "VINTR_SETSTATE": "As INTR_SETSTATE.",
        "VINTR_GETTARGET": "As INTR_GETTARGET.",
        "VINTR_SETTARGET": "As INTR_SETTARGET.",
    },
    "Trap trace and dump": {
        "TTRACE_BUF_CONF": "Places the trap trace buffer of the caller: 2 to 2^20 entries of 64 bytes, the first one for "
                           "control; 0: none. Tracing is off then.",
        "TTRACE_BUF_INFO": "What TTRACE_BUF_CONF has set.",
        "TTRACE_ENABLE": "Of the caller. EINVAL without a buffer.",
        "TTRACE_FREEZE": "Of all strands. EINVAL without a buffer.",
        "TTRACE_ADDENTRY": "Enters a record of the guest. The hypervisor enters none of its own. EOK without effect while off "
                           "or frozen (inferred).",
        "DUMP_BUF_UPDATE": "Remembers a buffer of at least 8 KiB, aligned to 64; nothing is ever written there. Size 0: none.",
        "DUMP_BUF_INFO": "What DUMP_BUF_UPDATE has set.",
    },
    "Channels (LDC)": {
        "LDC_TX_QCONF": "Places the transmit queue: a power of two of 64-byte packets, 2 to 262144, aligned to its size. Head "
                        "and tail become 0, packets in it are lost; 0 entries take it away. Every call: ECHANNEL for a "
                        "channel that is not there.",
        "LDC_TX_QINFO": "What LDC_TX_QCONF has set; 0 entries: not configured.",
        "LDC_TX_GET_STATE": "0 down: nobody at the other end, 1 up, 2 reset: the other end has started anew, reported once. "
                            "EINVAL without a queue.",
        "LDC_TX_SET_QTAIL": "Hands packets over. What finds no room at the other end stays queued. A tail that passes the "
                            "head is EINVAL.",
        "LDC_RX_QCONF": "As LDC_TX_QCONF; the other end sees another state.",
        "LDC_RX_QINFO": "As LDC_TX_QINFO.",
        "LDC_RX_GET_STATE": "As LDC_TX_GET_STATE.",
        "LDC_RX_SET_QHEAD": "Frees entries; packets that wait at the other end follow. A head that passes the tail is EINVAL.",
        "LDC_SET_MAP_TABLE": "Places the table of exported pages: a power of two of 16-byte entries, 2 to 2^24, aligned to its "
                             "size; 0 entries: none.",
        "LDC_GET_MAP_TABLE": "What LDC_SET_MAP_TABLE has set.",
        "LDC_COPY": "Copies from (0) or to (1) memory that the other end exports, the client's memory by the cookies 0 and up. Cookie, RA and length are multiples of 8. "
                    "Goes on over page ends, at most 1 MiB a call; an error after the first page shows as a shorter length.",
        "LDC_MAPIN": "Maps in a page of the other end, at a real address beyond memory: rights 1 read, 2 write, 4 execute, "
                     "and above them those of the map table entry. 1024 pages a domain; what the client exports is "
                     "mapped in as well. The address is no argument of hypercalls, but of MMU_MAP_ADDR.",
        "LDC_UNMAP": "Takes such a page away.",
        "LDC_REVOKE": "Takes a page of the caller's own map table away from whoever has mapped it in; the revocation "
                      "cookie stands in word 1 of the entry.",
    },
}
MISSING = """## Not there yet

The hypervisor does not know these; they answer EBADTRAP, their groups EINVAL.

| Calls | Group | Needed by |
| --- | --- | --- |
| SVC_* | 0x102 SVC | firmware services of old domains |
| MACH_PRI, MACH_VARS | 0x105 | the control domain |
| PCI, IOTSB, TPM, DAX, performance counters, global demap | their own | not planned, or with the devices |
"""
INTRODUCTION = """# Hypercalls

Generated from `csrc/hyp/hcall.def` and the C behind it by `python -m csrc.hyp.generate_docs`; do not edit.

{count} calls. A guest makes one with `ta` in privileged mode: trap 0x80 with the function number in %o5, trap 0xff (CORE)
likewise, or a trap number of its own. Arguments are %o0 to %o4. The status comes back in %o0, results from %o1 on; every
other register stays as it was. In user mode bit 7 of the trap number is ignored: no user program reaches the hypervisor.

*Version* is the least version of the group that has the call. Before it is negotiated the call gives EBADTRAP, as an
unknown one does. At start SUN4V 1.0 and CORE 1.1 are in force, as firmware leaves them. Addresses are real addresses (RA)
unless they are named VA.

*Errors* are those the code can give, apart from EBADTRAP. EOK is 0,
{errors}.

Source: UltraSPARC Virtual Machine Specification 3.0, chapters 11 to 25. Where that is silent the choice is marked
(inferred).
"""


@dataclass(frozen=True)
class Call:
    """One line of hcall.def."""

    trap: int
    function: int
    group: int
    minor: int
    scope: str
    name: str
    handler: str
    text: str

    @property
    def number(self) -> str:
        """Trap, and function where the trap has them."""
        return f"{self.trap:#x} / {self.function:#x}" if self.trap in (0x80, 0xFF) else f"{self.trap:#x}"

    @property
    def version(self) -> str:
        """Group and version; the CORE trap and INTR, which Linux uses without asking, are always there."""
        if self.trap == 0xFF or self.group == 0x002:
            return "always"
        name = GROUPS[self.group]
        if name[-1].isdigit():
            return f"{name}.{self.minor}"
        return f"{name} {self.minor >> 8}.{self.minor & 0xFF}" if self.minor else f"{name} 1.0, 2.0"


_LINE = re.compile(r'^HCALL\((\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*"([^"]*)"\)', re.MULTILINE)
_FUNCTION = re.compile(r"^(?:static )?(?:u32|bool|u64 \*|i64|void) ?(\w+)\([^;{]*\) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ONE_LINE = re.compile(r"^(?:static )?(?:u32|bool) (\w+)\([^;{]*\) \{([^\n]*)\}$", re.MULTILINE)


@cache
def calls() -> tuple[Call, ...]:
    """The calls in the order of hcall.def."""
    text = (HERE / "hcall.def").read_text()
    rows = [Call(*(int(v, 0) for v in m[:4]), *m[4:]) for m in _LINE.findall(text)]  # type: ignore[arg-type]
    if len(rows) != len(re.findall(r"^HCALL\(", text, re.MULTILINE)):
        raise ValueError("hcall.def: a line is not HCALL(trap, function, group, minor, scope, NAME, handler, text)")
    return tuple(rows)


@cache
def functions() -> dict[str, str]:
    """The bodies of the C functions of this directory by name."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("*.c")):
        text = path.read_text()
        found |= dict(_ONE_LINE.findall(text))
        found |= dict(_FUNCTION.findall(_ONE_LINE.sub("", text)))
    return found


@cache
def error_numbers() -> dict[str, int]:
    """Error -> number, from hyp.h."""
    return {name: int(number) for name, number in re.findall(r"HV_(E\w+) = (\d+)", (HERE / "hyp.h").read_text())}


def errors_of(handler: str) -> list[str]:
    """The errors in a C function and in those it calls, in the order of their numbers."""
    names, open_, seen = set(), [handler], set()
    while open_:
        name = open_.pop()
        if name in seen:
            continue
        seen.add(name)
        body = functions()[name]
        given = re.sub(r"[!=]= HV_\w+", "", body)  # a comparison looks at an error and does not give it
        names |= set(re.findall(r"HV_(E\w+)", given))
        open_ += [word for word in re.findall(r"\b\w+(?=\()", body) if word in functions()]
    return sorted(names - {"EOK"}, key=error_numbers().__getitem__)


def call_line(call: Call, sentence: str) -> str:
    """One line of a table."""
    arguments, _, results = (part.strip() for part in call.text.partition("->"))
    results = results.removeprefix("status").removeprefix(",").strip()
    errors = ", ".join(errors_of(call.handler))
    return f"| {call.number} | `{call.name}` | {call.version} | {arguments} | {results} | {errors} | {sentence} |"


def section(title: str, sentences: dict[str, str]) -> str:
    """One section."""
    by_name = {call.name: call for call in calls()}
    lines = [f"## {title}", "", "| Number | Call | Version | Arguments | Results | Errors | What it does |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [call_line(by_name[name], sentence) for name, sentence in sentences.items()]
    return "\n".join(lines) + "\n"


def page_text() -> str:
    """The whole page. Raises ValueError where a call has no sentence, or a sentence no call."""
    named = {name for sentences in SECTIONS.values() for name in sentences}
    if named != {call.name for call in calls()}:
        raise ValueError(f"sentences and calls differ: {sorted(named ^ {call.name for call in calls()})}")
    errors = ", ".join(f"{name} {number}" for name, number in error_numbers().items() if number)
    errors = textwrap.fill(errors, 120)
    head = INTRODUCTION.format(count=len(calls()), errors=errors)
    return "\n".join([head, *(section(title, rows) for title, rows in SECTIONS.items()), MISSING])


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page_text())
    print(PAGE.relative_to(HERE.parents[1]))
