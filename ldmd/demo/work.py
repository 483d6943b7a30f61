"""What the domain does meanwhile, and whether all of it is as it must be."""

from __future__ import annotations

import re
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from emulator.places import place
from ldmd.demo.console import PATIENCE, Console
from ldmd.demo.stage import ADDRESSES, MOVER, OTHER, DemoError
from ldmd.rpc.client import Client

STAMPS, STAMPED = 2000, "16M"
WRITES, BLOCKS, BLOCK = 200, 256, 512
MESSAGES, NUMBERS = 100, 50
PORT = 7
GOES_ON_BYTES = 16 * 256
_KEY, _M64 = 0x736372696265, (1 << 64) - 1


@dataclass(frozen=True)
class Seen:
    """What was found after a move. `wrong`: one line for each thing that did not hold; none: all did."""

    stamps: int
    pages: int
    writes: int
    write_wait_ms: int
    said_bytes: int
    sent_again: int
    silence_ms: int
    numbers: int
    wrong: tuple[str, ...] = ()


def port_of(machine: str, domain: str) -> int:
    """The console port of a domain that is there."""
    with Client(place(machine).rpc) as client:
        listed = client.call("list-domain", {"domains": [domain], "sections": ""})["domains"]
    if not listed or not str(listed[0]["console"]).isdecimal():
        raise DemoError(f"{domain} has no console on {machine}")
    return int(listed[0]["console"])


def state_of(machine: str, domain: str) -> str:
    """Its state; "" where it is not."""
    with Client(place(machine).rpc) as client:
        listed = client.call("list-domain", {"sections": ""})["domains"]
    return next((str(each["state"]) for each in listed if each["name"] == domain), "")


def begin(machine: str) -> None:
    """Have both domains at work."""
    for domain in (MOVER, OTHER):
        with Console(domain, port_of(machine, domain)) as console:
            console.prompt()
            console.do(f"ifconfig vnet0 {ADDRESSES[domain]}/24")
            if domain == MOVER:
                console.find(f"dirty {STAMPS} {STAMPED}", r"stamps/s")
                console.find(f"scribe c0d1 {WRITES} {BLOCKS}", r"writes/s")
                console.find(f"tcp-echo {PORT}", rf"port {PORT}")
            else:
                console.find(f"ping {ADDRESSES[MOVER]}", r"is alive")
                console.find(f"tcp-talk {ADDRESSES[MOVER]} {PORT} {MESSAGES}", r"begun")


class Numbers:
    """Numbers that the domain prints: in the logs of its console, on one server and on the next, each once."""

    def __init__(self, machine: str) -> None:
        self._logs = {machine: self._log(machine)}
        with Console(MOVER, port_of(machine, MOVER)) as console:
            console.prompt()
            console.type(f"tally {NUMBERS}")
            console.until(b"=1\r\n")

    @staticmethod
    def _log(machine: str) -> int:
        try:
            return place(machine).console_log(MOVER).stat().st_size
        except OSError:
            return 0

    def moving_to(self, machine: str) -> None:
        """The next server's log counts from here on."""
        self._logs.setdefault(machine, self._log(machine))

    def _text(self) -> str:
        whole = b""
        for machine, begin in self._logs.items():
            try:
                with place(machine).console_log(MOVER).open("rb") as file:
                    file.seek(begin)
                    whole += file.read()
            except OSError:
                continue
        return whole.decode("utf-8", "replace").replace("\r", "")

    def end(self, machine: str) -> tuple[int, str]:
        """How many there were; and what is wrong with them, or "". """
        with Console(MOVER, port_of(machine, MOVER)) as console:
            console.type("tally stop")
            count = re.search(r"tally: (\d+) numbers", console.until(b" numbers\r\n"))
        if count is None:
            raise DemoError("the domain does not say how many numbers it printed")
        end = time.monotonic() + PATIENCE
        while f"tally: {count[1]} numbers" not in self._text() and time.monotonic() < end:
            time.sleep(0.05)
        # what is typed is echoed wherever the printing has come to, so a line may begin with a piece of it
        seen = [int(number) for number in re.findall(r"=(\d+)$", self._text(), re.MULTILINE)]
        wanted = list(range(int(count[1])))
        if seen == wanted:
            return len(seen), ""
        if sorted(seen) == wanted:
            return len(seen), "console: numbers are out of order"
        lost, doubled = len(set(wanted) - set(seen)), len(seen) - len(set(seen))
        return len(seen), f"console: {lost} numbers lost, {doubled} there twice, of {len(wanted)}"


def check(machine: str, other: str) -> Seen:
    """Ask both domains; `machine` has the one that moves, `other` the one that talks with it."""
    wrong = []
    with Console(MOVER, port_of(machine, MOVER)) as console:
        console.prompt()
        dirty = console.find("dirty check", r"dirty: (\d+) stamps, (\d+) pages, (\d+) wrong")
        scribe = console.find("scribe check", r"scribe: (\d+) writes, \d+ blocks, (\d+) wrong; longest wait (\d+) ms"
                                              r"(.*)")
    talk = _conversation(other)
    if int(dirty[3]):
        wrong.append(f"memory: {dirty[3]} of {dirty[2]} pages wrong")
    if int(scribe[2]) or scribe[4].strip():
        wrong.append(f"disk: {scribe[2]} blocks wrong{scribe[4].rstrip()}")
    if not talk.goes_on:
        wrong.append(f"network: nothing came back for {PATIENCE:g} s")
    if talk.problem:
        wrong.append(f"network: {talk.problem}")
    return Seen(stamps=int(dirty[1]), pages=int(dirty[2]), writes=int(scribe[1]), write_wait_ms=int(scribe[3]),
                said_bytes=talk.heard_bytes, sent_again=talk.sent_again, silence_ms=talk.silence_ms, numbers=0,
                wrong=tuple(wrong))


@dataclass(frozen=True)
class _Talk:
    """What the other domain says of the conversation. `goes_on`: what was sent since comes back."""

    heard_bytes: int
    problem: str
    sent_again: int
    silence_ms: int
    goes_on: bool


def _conversation(machine: str) -> _Talk:
    """Ask until it goes on: a connection that stands still is as good as a lost one."""
    pattern = r"(\d+) bytes came back(.*); (\d+) segments sent again, longest silence (\d+) ms"
    first, silence, end = -1, 0, time.monotonic() + PATIENCE
    with Console(OTHER, port_of(machine, OTHER)) as console:
        console.prompt()
        while True:
            said = console.find("tcp-talk check", pattern)  # which begins to count the silence anew
            heard, silence = int(said[1]), max(silence, int(said[4]))
            first = heard if first < 0 else first
            goes_on = heard >= first + GOES_ON_BYTES
            if goes_on or time.monotonic() > end:
                break
            console.do("sleep 1")
    problem = "" if said[2] == ", every byte right" else said[2].strip(", ")
    return _Talk(heard, problem, int(said[3]), silence, goes_on)


def finish(machine: str, other: str, data: Path) -> list[str]:
    """End the work; what is wrong then, seen from outside too: the disk's file holds what was acknowledged."""
    with Console(OTHER, port_of(other, OTHER)) as console:
        console.prompt()
        talk = console.do("tcp-talk stop")
    with Console(MOVER, port_of(machine, MOVER)) as console:
        console.prompt()
        writes = int(console.find("scribe stop", r"after (\d+) writes")[1])
        console.do("dirty stop")
    wrong = [] if "every byte right" in talk else [f"network: {talk.strip()}"]
    content = data.read_bytes()
    for block in range(min(BLOCKS, writes)):
        last = (writes - 1 - block) // BLOCKS * BLOCKS + block
        if content[block * BLOCK : (block + 1) * BLOCK] != _block(last):
            wrong.append(f"disk: block {block} of the file does not hold write {last}")
    return wrong


def _block(number: int) -> bytes:
    """What labos writes as its write of this number (images/labos/scribe.c)."""
    words = [number]
    for word in range(1, BLOCK // 8):
        z = ((_KEY ^ number ^ (word * 0x9E3779B97F4A7C15 & _M64)) + 0x9E3779B97F4A7C15) & _M64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _M64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _M64
        words.append(z ^ (z >> 31))
    return struct.pack("<64Q", *words)
