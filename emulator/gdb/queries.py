"""`q` and `Q` packets: what the server can do, threads, the target description, commands of a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from emulator.gdb.parse import PacketError, data, two_numbers
from emulator.gdb.registers import target_description
from emulator.gdb.wire import MAX_PACKET

if TYPE_CHECKING:
    from emulator.gdb.session import Session

TEXT_BYTES = 1024
"""Console text in one `O` packet."""
_IDS_IN_PACKET = 256
SUPPORTED = (f"PacketSize={MAX_PACKET:x};QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;vContSupported+;"
             "swbreak+;hwbreak+")  # fmt: skip


class Queries:
    """Of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ids: list[int] = []
        self._by_name: dict[str, Callable[[str], bytes]] = {
            "qSupported": self._supported, "qC": lambda _: b"QC%x" % (session.client.general + 1),
            "qAttached": lambda _: b"1", "qfThreadInfo": self._first_threads, "qsThreadInfo": self._more_threads,
            "qThreadExtraInfo": self._extra, "qXfer": self._transfer, "qSymbol": lambda _: b"OK",
            "QStartNoAckMode": self._no_ack, "QNonStop": self._non_stop,
        }  # fmt: skip

    def answer(self, text: str) -> list[bytes]:
        """To one packet."""
        if text.startswith("qRcmd,"):
            return self._monitor(text.removeprefix("qRcmd,"))
        ends = [text.find(mark) for mark in ":,;" if mark in text]
        end = min(ends) if ends else len(text)
        query = self._by_name.get(text[:end])
        return [query(text[end + 1 :]) if query else b""]

    def _supported(self, rest: str) -> bytes:
        said = rest.split(";")
        self._session.client.swbreak = "swbreak+" in said
        self._session.client.hwbreak = "hwbreak+" in said
        return SUPPORTED.encode()

    def _no_ack(self, _: str) -> bytes:
        self._session.client.ack = False
        return b"OK"

    def _non_stop(self, rest: str) -> bytes:
        return b"OK" if rest == "0" else b"E16"

    # -- threads

    def _first_threads(self, _: str) -> bytes:
        self._ids = [each.strand + 1 for each in self._session.debuggee.threads()]
        return self._more_threads("")

    def _more_threads(self, _: str) -> bytes:
        some, self._ids = self._ids[:_IDS_IN_PACKET], self._ids[_IDS_IN_PACKET:]
        return b"m" + ",".join(f"{each:x}" for each in some).encode() if some else b"l"

    def _extra(self, rest: str) -> bytes:
        strand = self._session.thread(rest)
        return self._describe(self._session.client.general if strand is None else strand).encode().hex().encode()

    def _describe(self, strand: int) -> str:
        for each in self._session.debuggee.threads():
            if each.strand == strand:
                return f"{each.state}{f', {each.text}' if each.text else ''}"
        return "gone"

    def _thread_list(self) -> str:
        lines = ['<?xml version="1.0"?>', "<threads>"]
        for each in self._session.debuggee.threads():
            lines.append(f'<thread id="{each.strand + 1:x}" core="{each.pid}" name="vcpu {each.strand}">'
                         f"{self._describe(each.strand)}</thread>")  # fmt: skip
        return "\n".join([*lines, "</threads>", ""])

    # -- documents

    def _transfer(self, rest: str) -> bytes:
        kind, _, rest = rest.partition(":")
        action, _, rest = rest.partition(":")
        annex, _, where = rest.rpartition(":")
        if action != "read" or kind not in ("features", "threads"):
            return b""
        offset, length = two_numbers(where)
        if kind == "features":
            if annex != "target.xml":
                return b"E00"
            document = target_description().encode()
        elif annex:
            raise PacketError
        else:
            document = self._thread_list().encode()
        part = document[offset : offset + min(length, MAX_PACKET // 2)]
        return (b"m" if offset + len(part) < len(document) else b"l") + part

    # -- the rest

    def _monitor(self, raw: str) -> list[bytes]:
        try:
            command = data(raw).decode()
        except UnicodeDecodeError:
            raise PacketError from None
        text = self._session.debuggee.monitor(command.strip(), self._session.client.general).encode()
        self._session.memory.forget()
        parts = [text[at : at + TEXT_BYTES] for at in range(0, len(text), TEXT_BYTES)]
        return [*(b"O" + part.hex().encode() for part in parts), b"OK"]
