"""vntsd as a telnet client sees it, to the byte."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from vntsd_support import PATIENCE, Telnet, free_port, serving

from ldmd.hostports import listening_ports
from ldmd.vntsd import ConsoleEntry, Settings, service
from ldmd.vntsd.logfile import ConsoleLog

PROMPT = b"\r\nalpha-vnts-two: h, l, c{id}, n{name}, q:"
HELP = (
    b"\r\nh -- this help\r\nl -- list of consoles\r\nq -- quit\r\n"
    b"c{id}, n{name} -- connect to a console of domain {id} or domain {name}\r\n"
)


def drive(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine."""
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE))


def one(port: int, **changes: Any) -> ConsoleEntry:
    """The console of ldg1, alone in its group."""
    return ConsoleEntry(**{"guest": 1, "domain": "ldg1", "group": "ldg1", "port": port, "number": 0, **changes})


def two(port: int) -> list[ConsoleEntry]:
    """Two consoles behind one port."""
    return [ConsoleEntry(guest, f"ldg{guest}", "two", port, guest - 1) for guest in (1, 2)]


def test_one_console_is_connected_at_once_and_bytes_go_both_ways() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            client.type(b"uname\r\0")
            await guests.received(1, b"uname\r")
            await guests.prints(1, b"Li\0nux^@\xff\r\n")
            await client.expect(b"Linux\xff\xff\r\n")

    drive(test)


def test_menu_of_a_group() -> None:
    async def test() -> None:
        port = free_port()
        async with serving(two(port)):
            client = await Telnet.connect(port)
            await client.expect(PROMPT)
            client.type(b"h")
            await client.expect(b"h" + HELP + PROMPT)
            client.type(b"x")
            await client.expect(b"x" + HELP + PROMPT)
            client.type(b"L")
            await client.expect(b"L\r\nDOMAIN ID           DOMAIN NAME                   DOMAIN STATE             \r\n")
            await client.expect(b"0                   ldg1                          online                   \r\n")
            await client.expect(b"1                   ldg2                          online                   \r\n")
            await client.expect(PROMPT)
            client.type(b"c7\r")
            await client.expect(b"c7\r" + HELP + PROMPT)
            client.type(b"nldg\b\bg2\r")
            await client.expect(b"nldg\b \b\b \bg2\r" + HELP + PROMPT)  # "lg2" is no domain
            client.type(b"c1\r")
            await client.expect(b"c1\r")
            await client.connected("ldg2", "two")
            other = await Telnet.connect(port)
            await other.expect(PROMPT)
            other.type(b"l")
            await other.exactly(1 + 2 + 77 + 77)
            await other.expect(b"1                   ldg2                          connected                \r\n")
            other.type(b"q")
            await other.expect(PROMPT + b"q")
            await other.end()
            client.type(b"~.")
            await client.expect(PROMPT)
            client.type(b"n ldg1\r")
            await client.expect(b"n ldg1\r")
            await client.connected("ldg1", "two")

    drive(test)


def test_a_long_prompt_is_the_short_one() -> None:
    async def test() -> None:
        port = free_port()
        entries = [ConsoleEntry(guest, f"ldg{guest}", "g" * 60, port, guest) for guest in (1, 2)]
        async with serving(entries):
            client = await Telnet.connect(port)
            await client.expect(b"\r\nvnts: h, l, c{id}, n{name}, q:")

    drive(test)


def test_next_and_previous_go_round() -> None:
    async def test() -> None:
        port = free_port()
        async with serving(two(port)) as (_, guests):
            client = await Telnet.connect(port)
            await client.expect(PROMPT)
            client.type(b"c0\r")
            await client.expect(b"c0\r")
            await client.connected("ldg1", "two")
            client.type(b"~n")
            await client.connected("ldg2", "two")
            client.type(b"~n")
            await client.connected("ldg1", "two")
            client.type(b"~p")
            await client.connected("ldg2", "two")
            client.type(b"x")
            await guests.received(2, b"x")

    drive(test)


def test_escapes_at_the_beginning_of_a_line_only() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            client.type(b"~?")
            await client.expect(
                b"\r\nVNTSD commands\r\n~# - Send break\r\n~^B - Send alternate break\r\n"
                b"~. - Exit from this console\r\n"
                b"~w - Force write access\r\n~n - Console next\r\n~p - Console previous\r\n~? - Help\r\n"
            )
            client.type(b"~n~pa~.b\r~~c\r~\x02")
            await guests.received(1, b"a~.b\r~c\r\r~\x02")
            client.type(b"~#\xff\xf3~.")
            await client.end()
            await guests.broken([1, 1])

    drive(test)


def test_one_writer_many_readers() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            writer, reader = await Telnet.connect(port), await Telnet.connect(port)
            await writer.connected("ldg1", "ldg1")
            await reader.connected("ldg1", "ldg1")
            await guests.prints(1, b"hello")
            await writer.expect(b"hello")
            await reader.expect(b"hello")
            reader.type(b"\rx~#")
            await reader.expect(b"You do not have write access\r\n")
            reader.type(b"\r~#")
            for _ in range(3):  # "~" and "#" in the line, then the break
                await reader.expect(b"You do not have write access\r\n")
            assert guests.breaks == []
            writer.type(b"w\r~w")
            await writer.expect(b"You have write permission\r\n")
            await guests.received(1, b"w\r")
            warning = (
                b"\r\nWarning: another user currently has write permission\r\nto this console and forcibly removing "
                b"him/her will terminate\r\nany current write action and all work will be lost.\r\n\r\n"
            )
            question = b"Would you like to continue?[y/n] "
            reader.type(b"\r~w")
            await reader.expect(warning + question)
            reader.type(b"x")
            await reader.expect(b"x\r\nInvalid response. Try again.\r\n" + question)
            reader.type(b"n")
            await reader.expect(b"n\r\n")
            reader.type(b"\r~w")
            await reader.expect(warning + question)
            reader.type(b"Y")
            await reader.expect(b"Y\r\n")
            await writer.expect(b"Warning: Console connection forced into read-only mode\r\n")
            reader.type(b"r")
            await guests.received(1, b"r")
            writer.type(b"x")
            await writer.expect(b"You do not have write access\r\n")
            reader.type(b"\r~.")
            await reader.end()
            await guests.received(1, b"\r")
            writer.type(b"again")
            await guests.received(1, b"again")

    drive(test)


def test_flow_control_stops_and_goes_on() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            client.type(b"a\x13")
            await guests.received(1, b"a")
            client.type(b"b")
            await guests.received(1, b"b")  # so the console is stopped by now
            await guests.prints(1, b"output")
            client.type(b"\xff\xf6")
            await client.expect(b"\xf6")
            client.type(b"\x11")
            await client.expect(b"output")

    drive(test)


def test_telnet_commands() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            client.type(bytes((255, 253, 1, 255, 254, 3, 255, 251, 34, 255, 252, 24, 255, 244, 255, 241)))
            await client.expect(bytes((255, 251, 1, 255, 251, 3)))
            client.type(b"\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0a\xff\xffb\r\nc")
            await guests.received(1, b"a\xffb\rc")

    drive(test)


def test_a_console_that_goes_away() -> None:
    async def test() -> None:
        port = free_port()
        async with serving(two(port)) as (server, guests):
            first, second, third = [await Telnet.connect(port) for _ in range(3)]
            for number, client in enumerate((first, second, third)):
                await client.expect(PROMPT)
                if number < 2:
                    client.type(b"c%d\r" % number)
                    await client.expect(b"c%d\r" % number)
                    await client.connected(f"ldg{number + 1}", "two")
            await server.apply(two(port)[1:])
            await first.connected("ldg2", "two")  # the only one that is left
            third.type(b"h")
            await third.expect(b"h")
            await third.connected("ldg2", "two")
            second.type(b"x")
            await guests.received(2, b"x")
            await server.apply(())
            for client in (first, second, third):
                await client.end()
            with pytest.raises(ConnectionRefusedError):
                await Telnet.connect(port)

    drive(test)


def test_what_stays_is_not_disturbed() -> None:
    async def test() -> None:
        port, other = free_port(), free_port()
        async with serving([one(port)]) as (server, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            await server.apply([one(port), one(other, guest=2, domain="ldg2", group="ldg2")])
            await (await Telnet.connect(other)).connected("ldg2", "ldg2")
            client.type(b"still")
            await guests.received(1, b"still")
            await asyncio.wait_for(guests.prints(2, b"new"), PATIENCE)  # its stream may still be on its way
            assert guests.opened == 2

    drive(test)


def test_a_machine_stream_that_breaks_is_opened_again() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            await guests.prints(1, b"before")
            await client.expect(b"before")
            guests.streams.pop(1).close()
            await asyncio.wait_for(guests.prints(1, b"after"), PATIENCE)
            await client.expect(b"after")

    drive(test)


def test_idle_clients_are_disconnected_after_whole_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        delays: list[float] = []
        over = []
        real = loop.call_later

        def call_later(delay: float, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
            if getattr(function, "__name__", "") == "disconnected":
                delays.append(delay)
                delay = 0 if over else 3600
            return real(delay, function, *arguments, **more)

        monkeypatch.setattr(loop, "call_later", call_later)
        port = free_port()
        async with serving([one(port)], settings=Settings(timeout_minutes=2)) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            await guests.prints(1, b"output")
            await client.expect(b"output")
            client.type(b"x")
            await guests.received(1, b"x")
            assert len(delays) == 7  # at the beginning, for four things sent, for output and for input
            over.append(True)
            client.type(b"y")
            await client.end()
            assert set(delays) == {120}

    drive(test)


def test_authorization() -> None:
    user = pwd.getpwuid(os.getuid()).pw_name

    async def test(granted: tuple[str, ...], welcome: bool) -> None:
        port = free_port()
        settings = Settings(listen_addr="any", authorization=True, authorizations={user: granted})
        assert settings.address == "127.0.0.1"
        async with serving([one(port)], settings=settings):
            if welcome:
                await (await Telnet.connect(port)).connected("ldg1", "ldg1")
            else:
                with pytest.raises(asyncio.IncompleteReadError):
                    await Telnet.connect(port)

    for granted, welcome in (
        (("solaris.vntsd.consoles",), True), (("solaris.vntsd.console-ldg1",), True),
        (("solaris.vntsd.console-other",), False), ((), False),
    ):  # fmt: skip
        drive(lambda: test(granted, welcome))  # noqa: B023 - called at once


def test_listen_addresses() -> None:
    assert Settings().address == "127.0.0.1"
    assert Settings(listen_addr="any").address == "0.0.0.0"
    assert Settings(listen_addr="127.0.0.2").address == "127.0.0.2"
    with pytest.raises(ValueError, match="Invalid listen address 'nowhere'"):
        _ = Settings(listen_addr="nowhere").address


def test_the_log_has_everything_and_is_rotated(tmp_path: Path) -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)], log_folder=tmp_path) as (_, guests):
            await guests.prints(1, b"boot\r\n\0")
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            await guests.prints(1, b"login: ")
            while await client.exactly(1) != b":":
                pass
        assert (tmp_path / "ldg1" / "console-log").read_bytes() == b"boot\r\n\0login: "

    drive(test)
    log = ConsoleLog(tmp_path / "small", limit_bytes=10)
    for number in range(12):
        log.write(b"%08d" % number)
    log.close()
    names = sorted(path.name for path in (tmp_path / "small").iterdir())
    assert names == ["console-log", *(f"console-log.{n}" for n in range(4))]
    assert (tmp_path / "small" / "console-log").read_bytes() == b"00000011"
    assert (tmp_path / "small" / "console-log.3").read_bytes() == b"00000007"


def test_a_log_that_cannot_be_written_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ldg1").write_text("in the way")

    async def test() -> None:
        port = free_port()
        async with serving([one(port)], log_folder=tmp_path) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            for text in (b"one", b"two"):
                await guests.prints(1, text)
                await client.expect(text)

    drive(test)
    assert len([record for record in caplog.records if "not logged" in record.getMessage()]) == 1


def test_no_log_where_it_is_off(tmp_path: Path) -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port, log=False)], log_folder=tmp_path) as (_, guests):
            client = await Telnet.connect(port)
            await client.connected("ldg1", "ldg1")
            await guests.prints(1, b"x")
            await client.expect(b"x")

    drive(test)
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_does_not_read_is_disconnected() -> None:
    async def test() -> None:
        port = free_port()
        async with serving([one(port)]) as (_, guests):
            lazy, busy = await Telnet.connect(port), await Telnet.connect(port)
            await lazy.connected("ldg1", "ldg1")  # and reads no more
            await busy.connected("ldg1", "ldg1")
            sent = 16 << 20

            async def guest_prints() -> None:
                for _ in range(sent >> 16):
                    await guests.prints(1, b"x" * (1 << 16))

            printing = asyncio.create_task(guest_prints())
            got = 0
            while got < sent:
                got += len(await asyncio.wait_for(busy.reader.read(1 << 20), PATIENCE))
            await printing
            busy.type(b"hello")  # the lazy one was the writer
            await guests.received(1, b"hello")

    drive(test)


def test_a_port_that_another_program_has_is_served_when_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.0)

    async def test() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            assert port in listening_ports()
            async with serving([one(port)]) as (vntsd, _):
                await vntsd.apply([one(port), one(port, guest=2, domain="ldg2", number=1)])  # nor is it asked for twice
                other.close()
                client = await retried(port)
                await client.expect(b"\r\nalpha-vnts-ldg1: h, l, c{id}, n{name}, q:")
        async with serving([one(port)]):
            assert port in listening_ports()

    drive(test)


async def retried(port: int) -> Telnet:
    """A connection, as soon as there is one."""
    while True:
        try:
            return await Telnet.connect(port)
        except ConnectionRefusedError:
            continue


def test_ports_that_somebody_listens_at(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue\n"
        "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n"
        "   1: 0100007F:1389 0100007F:1388 01 00000000:00000000 00:00000000 00000000     0        0 2\n"
        "   2: 00000000000000000000000000000000:138A 00000000000000000000000000000000:0000 0A\n"
        "   3: short\n")
    assert listening_ports((table, tmp_path / "none")) == {5000, 5002}
