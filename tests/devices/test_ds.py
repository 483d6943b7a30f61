"""Domain services: the manager's end, with a guest that speaks as Linux's ds.c does."""

from __future__ import annotations

import struct

import pytest
from driver_support import RESET, RX_STATE, DriverGuest, ServicesDriver

from emulator.devices.ds import CpuAction, DomainServices, Reply, ServiceError, SuspendResult, UnitResult
from emulator.firmware.variables import Variables

ALL = ("md-update", "domain-shutdown", "domain-panic", "dr-cpu", "domain-suspend", "dr-crypto-mau", "var-config")


def services(**options: object) -> tuple[ServicesDriver, DomainServices]:
    guest = DriverGuest()
    server = DomainServices("ds", 0, **options)  # type: ignore[arg-type]
    guest.machine.attach(server)
    return ServicesDriver(guest, 0), server


def up(**options: object) -> tuple[ServicesDriver, DomainServices]:
    driver, server = services(**options)
    driver.bring_up(ALL)
    return driver, server


def request(driver: ServicesDriver, reply: Reply) -> tuple[str, bytes]:
    ((service, body),) = driver.requests()
    assert service == reply.service
    assert struct.unpack_from(">Q", body)[0] == reply.number
    assert not reply.done
    return service, body[8:]


def test_the_server_starts_and_the_guest_registers() -> None:
    seen: list[str] = []
    driver, server = services(on_register=seen.append)
    answers = driver.bring_up(ALL)
    assert server.services == ALL
    assert seen == list(ALL)
    for answer, name in zip(answers, ALL, strict=True):
        kind, size, handle, minor = struct.unpack_from(">IIQH", answer)
        assert (kind, size, handle, minor) == (4, len(answer) - 8, driver.handles[name], 0)


def test_services_that_are_refused() -> None:
    driver, server = up()
    assert struct.unpack_from(">I4xQQ", driver.register(20, "pri")) == (5, driver.handles["pri"], 4)
    assert struct.unpack_from(">I4xQQ", driver.register(21, "md-update")) == (5, driver.handles["md-update"], 2)
    driver.ldc.send(driver.message(3, struct.pack(">QHH", 0x1600000000, 9, 0) + b"var-config-backup"))
    (answer,) = driver.ldc.receive()
    assert struct.unpack_from(">I4xQQH", answer) == (5, 0x1600000000, 1, 1), "offers version 1"
    driver.ldc.send(driver.message(3, struct.pack(">QHH", 0x1600000000, 1, 0) + b"var-config-backup\0"))
    (answer,) = driver.ldc.receive()
    assert struct.unpack_from(">I4xQ", answer) == (4, 0x1600000000)
    assert set(server.services) == {*ALL, "var-config-backup"}


def test_services_go() -> None:
    driver, server = up()
    handle = driver.handles["md-update"]
    for kind in (7, 8):
        driver.ldc.send(driver.message(6, handle.to_bytes(8, "big")))
        (answer,) = driver.ldc.receive()
        assert struct.unpack_from(">I4xQ", answer) == (kind, handle)
    with pytest.raises(ServiceError, match="md-update"):
        server.md_update()


@pytest.mark.parametrize(("major", "minor", "answer"), [(1, 7, (1, 0)), (2, 0, (2, 1)), (0, 9, (2, 0))])
def test_versions(major: int, minor: int, answer: tuple[int, int]) -> None:
    driver, _ = services()
    driver.ldc.bind()
    driver.ldc.accept()
    driver.ldc.send(driver.message(0, struct.pack(">HH", major, minor)))
    (got,) = driver.ldc.receive()
    assert struct.unpack_from(">I4xH", got) == answer


def test_requests_and_answers() -> None:
    driver, server = up()
    for make, result, reason, sent in (
        (server.md_update, 0, "", b""),
        (server.panic, 0, "", b""),
        (lambda: server.shutdown(5000), 1, "busy", (5000).to_bytes(4, "big")),
    ):
        reply = make()
        service, body = request(driver, reply)
        assert body == sent
        driver.data(service, struct.pack(">QI", reply.number, result) + reason.encode() + b"\0")
        assert (reply.done, reply.result, reply.reason, reply.ok) == (True, result, reason, result == 0)
    assert server.pending() == ()


def test_answers_to_nothing() -> None:
    driver, server = up()
    reply = server.md_update()
    service, _ = request(driver, reply)
    driver.data(service, struct.pack(">QI", reply.number + 1, 0))
    driver.data("domain-panic", struct.pack(">QI", reply.number, 0))
    assert not reply.done
    driver.ldc.send(driver.message(10, struct.pack(">QQ", driver.handles[service], 3)))
    assert (reply.done, reply.result, reply.ok) == (True, None, False)
    driver.data(service, struct.pack(">QI", reply.number, 0))
    assert not reply.ok, "too late"


def test_cpus() -> None:
    driver, server = up()
    reply = server.cpu(CpuAction.CONFIGURE, [4, 5, 6])
    service, body = request(driver, reply)
    assert body == struct.pack(">5I", 0x43, 3, 4, 5, 6)
    records = struct.pack(">12I", 4, 0, 2, 0, 5, 3, 1, 0, 6, 2, 2, 64) + b"bound\0"
    driver.data(service, struct.pack(">QII", reply.number, 0x6F, 3) + records)
    assert reply.units == (UnitResult(4, 0, 2), UnitResult(5, 3, 1), UnitResult(6, 2, 2, "bound"))
    assert (reply.done, reply.ok) == (True, False)
    reply = server.cpu(CpuAction.STATUS, [0])
    service, _ = request(driver, reply)
    driver.data(service, struct.pack(">QII", reply.number, 0x6F, 1) + struct.pack(">4I", 0, 0, 2, 0))
    assert reply.ok
    reply = server.cpu(CpuAction.FORCE, [1])
    service, body = request(driver, reply)
    driver.data(service, struct.pack(">QII", reply.number, 0x65, 0) + b"no such type\0")
    assert (reply.done, reply.ok, reply.reason) == (True, False, "no such type")
    reply = server.cpu(CpuAction.UNCONFIGURE, [1])
    service, body = request(driver, reply)
    driver.data(service, struct.pack(">QII", reply.number, 0x6F, 0xFFFFFFFF) + bytes(16))
    assert len(reply.units) == 1, "as many as there are"


def test_crypto_units() -> None:
    driver, server = up()
    reply = server.crypto("mau", CpuAction.UNCONFIGURE, [8])
    service, body = request(driver, reply)
    assert body == struct.pack(">2I", 0x55, 8)
    driver.data(service, struct.pack(">QI3I", reply.number, 0x6F, 8, 0, 1))
    assert reply.units == (UnitResult(8, 0, 1),)
    assert reply.ok
    with pytest.raises(ServiceError, match="cwq"):
        server.crypto("cwq", CpuAction.STATUS, [8])


def test_suspend() -> None:
    driver, server = up()
    reply = server.suspend()
    service, body = request(driver, reply)
    assert body == bytes(8)
    driver.data(service, struct.pack(">QII", reply.number, SuspendResult.PRE_SUCCESS, 0) + b"\0")
    assert reply.ok
    driver.data(service, struct.pack(">QII", reply.number, SuspendResult.FAILURE, 1) + b"device busy\0")
    assert (reply.ok, reply.reason) == (False, "device busy")
    assert reply.phases == (SuspendResult.PRE_SUCCESS, SuspendResult.FAILURE)
    assert server.pending() == ()


# -- variables


def variable(driver: ServicesDriver, body: bytes) -> tuple[int, int]:
    driver.data("var-config", body)
    ((_, answer),) = driver.requests()
    command, result = struct.unpack(">II", answer)
    return command, result


def test_variables() -> None:
    changes: list[tuple[str, str | None]] = []
    stored = {"auto-boot?": "true"}
    driver, server = up(variables=stored, on_variable=lambda *each: changes.append(each))
    assert variable(driver, bytes(4) + b"boot-device\0disk1\0\0\0") == (2, 0)
    assert variable(driver, bytes(4) + b"boot-file\0\0") == (2, 0)
    assert variable(driver, b"\0\0\0\1" + b"auto-boot?\0") == (3, 0)
    assert variable(driver, b"\0\0\0\1" + b"auto-boot?\0") == (3, 4)
    assert stored == {"boot-device": "disk1", "boot-file": ""}
    assert server.variables is stored
    assert changes == [("boot-device", "disk1"), ("boot-file", ""), ("auto-boot?", None)]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b"\0x\0", 2),
        (b"", 2),
        (b"a b\0x\0", 2),
        (b"\x07\0x\0", 2),
        (b"n" * 300 + b"\0x\0", 2),
        (b"name", 3),
        (b"name\0x", 3),
        (b"name\0" + b"v" * 2049 + b"\0", 3),
    ],
)
def test_variables_that_cannot_be(body: bytes, result: int) -> None:
    driver, server = up()
    assert variable(driver, bytes(4) + body) == (2, result)
    assert server.variables == {}


def test_variables_of_the_firmware() -> None:
    driver, server = up()
    server.store = store = Variables()
    assert variable(driver, bytes(4) + b"boot-device\0vdisk3\0") == (2, 0)
    assert store.get("boot-device") == "vdisk3"
    assert variable(driver, bytes(4) + b"auto-boot?\0perhaps\0") == (2, 3)
    assert variable(driver, b"\0\0\0\1boot-device\0") == (3, 0)
    assert variable(driver, b"\0\0\0\1boot-device\0") == (3, 4)
    assert store.get("boot-device") == store.default("boot-device")
    assert server.own_variables == {}


def test_variables_without_end() -> None:
    driver, _ = up(variables={f"v{n}": "" for n in range(1024)})
    assert variable(driver, bytes(4) + b"more\0x\0") == (2, 1)
    assert variable(driver, bytes(4) + b"v7\0x\0") == (2, 0)


# -- mistakes, resets, state


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0" * 7,
        struct.pack(">II", 0, 4),
        struct.pack(">II", 9, 0),
        struct.pack(">II", 3, 4) + bytes(4),
        struct.pack(">II", 6, 1) + bytes(1),
        struct.pack(">II", 10, 0),
    ],
)
def test_messages_that_are_too_short(bad: bytes) -> None:
    driver, server = up()
    reply = server.md_update()
    driver.ldc.receive()
    if bad:
        driver.ldc.send(bad)
        assert driver.ldc.call(RX_STATE)[3] == RESET
    else:
        driver.ldc.unbind()
    assert server.services == ()
    assert (reply.done, reply.ok) == (True, False)
    driver.bring_up(ALL)
    assert server.services == ALL


def test_unknown_messages_and_handles() -> None:
    driver, server = up()
    driver.ldc.send(driver.message(11, bytes(16)))
    driver.ldc.send(driver.message(4, bytes(16)))
    assert driver.ldc.receive() == []
    driver.ldc.send(driver.message(9, bytes(16)))
    (answer,) = driver.ldc.receive()
    assert struct.unpack_from(">I4xQQ", answer) == (10, 0, 3)
    driver.data("md-update", b"short")
    assert server.services == (), "an answer that is too short"


def test_services_before_the_hello_are_ignored() -> None:
    driver, server = services()
    driver.ldc.bind()
    driver.ldc.accept()
    driver.ldc.send(driver.message(3, struct.pack(">QHH", 1, 1, 0) + b"md-update\0"))
    assert driver.ldc.receive() == []
    assert server.services == ()


def test_everything_the_guest_sends_is_acknowledged() -> None:
    """Linux frees the room of its queue by acknowledgements alone."""
    driver, _ = up()
    for n in range(300):
        variable(driver, bytes(4) + f"v{n % 9}\0{'x' * 200}\0".encode())
    assert driver.ldc.acked == sorted(set(driver.ldc.acked)), "each once"
    assert driver.ldc.acked[-1] == driver.ldc.sent - 1, "all but our own last acknowledgement"


def test_state() -> None:
    driver, server = up()
    reply = server.md_update()
    variable_before = server.variables
    request(driver, reply)
    other, twin = services()
    other.guest.machine.load(driver.guest.machine.save())
    assert twin.save() == server.save()
    assert twin.variables is not variable_before
    other.ldc.__dict__.update({**driver.ldc.__dict__, "guest": other.guest})
    other.handles = driver.handles
    (waiting,) = twin.pending()
    other.data("md-update", struct.pack(">QI", reply.number, 0))
    assert waiting.ok
    assert twin.panic().number == reply.number + 1
