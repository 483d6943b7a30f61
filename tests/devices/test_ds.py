"""Domain services: the manager's end, with a guest that speaks as Linux's ds.c does."""

from __future__ import annotations

import os
import random
import struct

import pytest
from driver_support import RESET, RX_STATE, DriverGuest, ServicesDriver

from emulator.devices.ds import (
    SERVICES,
    BlockQuery,
    BlockResult,
    CpuAction,
    DomainServices,
    MemoryAction,
    MemoryResult,
    Reply,
    ServiceError,
    SuspendResult,
    UnitResult,
    UnitStatus,
    VioAction,
    VioResult,
)
from emulator.firmware.variables import Variables

SEED = int(os.environ.get("SUN4V_TEST_SEED", "1"))

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


# -- memory, devices, what a guest says of itself


MORE = ("dr-mem", "dr-vio", "system-info", "keystore")


def more(**options: object) -> tuple[ServicesDriver, DomainServices]:
    driver, server = services(**options)
    driver.bring_up(MORE)
    return driver, server


def asked(driver: ServicesDriver, service: str) -> bytes:
    ((name, body),) = driver.requests()
    assert name == service
    return body


def test_memory_with_partial_results() -> None:
    driver, server = more()
    blocks = [(0x4000_0000, 0x1000_0000), (0x8000_0000, 0x1000_0000)]
    reply = server.memory(MemoryAction.UNCONFIGURE, blocks)
    assert asked(driver, "dr-mem") == struct.pack(">IIQ4Q", 0x4D55, 2, reply.number, *blocks[0], *blocks[1])
    text = b"permanent pages\0"
    records = struct.pack(">QQIII4x", *blocks[0], 0, 1, 0) + struct.pack(">QQIII4x", *blocks[1], 7, 2, 16 + 64)
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 2, reply.number) + records + text)
    assert reply.blocks == (
        BlockResult(*blocks[0], MemoryResult.OK, UnitStatus.UNCONFIGURED),
        BlockResult(*blocks[1], MemoryResult.PERMANENT, UnitStatus.CONFIGURED, "permanent pages"),
    )
    assert (reply.done, reply.ok, reply.result) == (True, False, 0)


def test_memory_progress_cancel_and_query() -> None:
    driver, server = more()
    work = server.memory(MemoryAction.UNCONFIGURE, [(0, 1 << 28)])
    asked(driver, "dr-mem")
    progress = server.memory(MemoryAction.STATUS)
    assert asked(driver, "dr-mem") == struct.pack(">IIQ", 0x4D53, 0, progress.number)
    driver.data("dr-mem", struct.pack(">IIQ3Q", 0x6F, 0, progress.number, 32768, 32768, 77))
    assert progress.progress == (32768, 77) and progress.ok and not work.done
    cancel = server.memory(MemoryAction.CANCEL)
    asked(driver, "dr-mem")
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 0, cancel.number))
    assert cancel.ok
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 1, work.number) + struct.pack(">QQIII4x", 0, 1 << 28, 11, 2, 0))
    assert work.blocks[0].result == MemoryResult.CANCELLED
    query = server.memory(MemoryAction.QUERY, [(1 << 32, 1 << 28)])
    asked(driver, "dr-mem")
    record = struct.pack(">6Q", 1 << 32, 32768, 32000, 5, (1 << 19) + 3, (1 << 19) + 9)
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 1, query.number) + record)
    assert query.queries == (BlockQuery(1 << 32, 32768, 32000, 5, (1 << 32) + 0x6000, (1 << 32) + 0x12000),)


def test_memory_that_is_refused_as_a_whole() -> None:
    driver, server = more()
    reply = server.memory(MemoryAction.CONFIGURE, [(1, 2)])
    asked(driver, "dr-mem")
    driver.data("dr-mem", struct.pack(">IIQ", 0x65, 12, reply.number) + b"not now\0")
    assert (reply.done, reply.ok, reply.result, reply.reason) == (True, False, MemoryResult.REFUSED, "not now")


@pytest.mark.parametrize("action", [MemoryAction.CONFIGURE, MemoryAction.QUERY])
def test_memory_answers_that_promise_more_records_than_they_have(action: MemoryAction) -> None:
    driver, server = more()
    reply = server.memory(action, [(0, 8192)])
    asked(driver, "dr-mem")
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 0xFFFF_FFFF, reply.number) + bytes(100))
    assert len(reply.blocks) + len(reply.queries) == (3 if action is MemoryAction.CONFIGURE else 2)


def test_memory_progress_that_is_too_short_ends_the_session() -> None:
    driver, server = more()
    reply = server.memory(MemoryAction.STATUS)
    asked(driver, "dr-mem")
    driver.data("dr-mem", struct.pack(">IIQ", 0x6F, 0, reply.number) + bytes(8))
    assert server.services == () and reply.done and not reply.ok


def test_devices() -> None:
    driver, server = more()
    reply = server.vio(VioAction.UNCONFIGURE, "disk", 3)
    body = struct.pack(">QQI", reply.number, 3, 0x494F55) + b"disk\0"
    assert asked(driver, "dr-vio") == body
    driver.data("dr-vio", struct.pack(">QII", reply.number, VioResult.BLOCKED, UnitStatus.CONFIGURED) + b"in use\0")
    assert (reply.ok, reply.result, reply.status, reply.reason) == (False, 2, 2, "in use")


def test_system_information() -> None:
    driver, server = more()
    first, second = server.system_info(["uts-sysname", "uts-release"]), server.system_info(["uts-nodename"])
    requests = driver.requests()
    assert requests[0] == ("system-info", bytes(4) + b"uts-sysname\0uts-release\0")
    answer = struct.pack(">III", 1, 0, 2) + b"uts-sysname\0SunOS\0uts-release\x005.11\0"
    driver.data("system-info", answer)
    assert first.answer.values == (("uts-sysname", "SunOS"), ("uts-release", "5.11")) and first.ok
    assert not second.done
    driver.data("system-info", struct.pack(">III", 1, 1, 0))
    assert second.done and not second.ok
    driver.data("system-info", answer)
    assert second.answer.values == (), "an answer to nothing"


def test_keys() -> None:
    driver, server = more()
    for body, answer in (
        (b"\0\0\0\0wanboot-key\0" + b"abcd\0", (2, 0)),
        (b"\0\0\0\0bad name\0" + b"abcd\0", (2, 2)),
        (b"\0\0\0\0wanboot-key\0", (2, 3)),
        (b"\0\0\0\1other\0", (3, 4)),
    ):
        driver.data("keystore", body)
        assert struct.unpack(">II", asked(driver, "keystore")) == answer
    assert server.keys == {"wanboot-key": "abcd"} and server.variables == {}
    driver.data("keystore", b"\0\0\0\1wanboot-key\0")
    assert struct.unpack(">II", asked(driver, "keystore")) == (3, 0)
    assert server.keys == {}


def test_services_that_only_solaris_and_its_manager_use_are_refused() -> None:
    driver, server = more()
    for number, name in enumerate(("pri-update", "pri", "snmp", "agent-device"), start=20):
        assert struct.unpack_from(">I4xQQ", driver.register(number, name)) == (5, driver.handles[name], 4)
    assert server.services == MORE


def test_too_many_in_one_request() -> None:
    _, server = up()
    with pytest.raises(ServiceError, match="201 CPUs in one request: at most 200"):
        server.cpu(CpuAction.STATUS, range(201))
    with pytest.raises(ServiceError, match="61 memory blocks"):
        server.memory(MemoryAction.QUERY, [(0, 1)] * 61)


# -- who is told, and who waits


def test_callbacks() -> None:
    names: list[tuple[str, ...]] = []
    replies: list[Reply] = []
    driver, server = services(on_services=names.append, on_reply=replies.append)
    driver.bring_up(("md-update", "dr-mem"))
    assert names == [("md-update",), ("md-update", "dr-mem")]
    update, memory = server.md_update(), server.memory(MemoryAction.STATUS)
    driver.requests()
    driver.data("md-update", struct.pack(">QI", update.number, 0))
    assert replies == [update]
    driver.ldc.send(driver.message(6, driver.handles["dr-mem"].to_bytes(8, "big")))
    assert names[-1] == ("md-update",)
    assert replies == [update, memory]
    assert (memory.done, memory.result, memory.reason) == (True, None, "the guest has taken the service back")
    last = server.md_update()
    driver.ldc.unbind()
    assert names[-1] == () and replies[-1] is last and not last.ok


def test_what_was_read_of_a_reply_stays_as_it_was() -> None:
    driver, server = up()
    reply = server.suspend()
    before = reply.answer
    driver.requests()
    driver.data("domain-suspend", struct.pack(">QII", reply.number, SuspendResult.PRE_SUCCESS, 0) + b"\0")
    between = reply.answer
    driver.data("domain-suspend", struct.pack(">QII", reply.number, SuspendResult.POST_SUCCESS, 0) + b"\0")
    assert (before.done, before.phases) == (False, ())
    assert between.phases == (0,)
    assert reply.phases == (0, 5)


def test_requests_that_get_no_answer() -> None:
    now = 100.0
    replies: list[Reply] = []
    driver, server = up(clock=lambda: now, on_reply=replies.append)
    old = server.md_update()
    suspend = server.suspend()
    driver.requests()
    driver.data("domain-suspend", struct.pack(">QII", suspend.number, SuspendResult.PRE_SUCCESS, 0) + b"\0")
    now = 105.0
    new = server.panic()
    assert server.expire(10) == ()
    now = 111.0
    assert server.expire(10) == (old,)
    assert (old.done, old.ok, old.result, old.reason) == (True, False, None, "the guest did not answer")
    assert replies == [suspend, old]
    assert set(server.pending()) == {suspend, new}
    driver.data("md-update", struct.pack(">QI", old.number, 0))
    assert not old.ok, "too late"
    server.give_up(new, "the operation was cancelled")
    server.give_up(new, "twice")
    assert new.reason == "the operation was cancelled"


def test_state_with_memory_requests() -> None:
    driver, server = more()
    driver.data("keystore", bytes(4) + b"key\0v\0")
    status = server.memory(MemoryAction.STATUS)
    driver.requests()
    other, twin = services()
    other.guest.machine.load(driver.guest.machine.save())
    assert twin.save() == server.save()
    assert twin.keys == {"key": "v"}
    other.ldc.__dict__.update({**driver.ldc.__dict__, "guest": other.guest})
    other.handles = driver.handles
    (waiting,) = twin.pending()
    other.data("dr-mem", struct.pack(">IIQ3Q", 0x6F, 0, status.number, 10, 10, 4))
    assert waiting.progress == (10, 4), "it knows what was asked for"


def test_random_answers_never_raise() -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    ends = 0
    driver, server = services()
    everything = tuple(name for name in SERVICES if not name.startswith("var"))
    for _ in range(400):
        if not server.services:
            driver.bring_up(everything)
            ends += 1
        reply = rng.choice((
            server.md_update, lambda: server.memory(rng.choice(list(MemoryAction)), [(0, 8192)]),
            lambda: server.cpu(CpuAction.STATUS, [1]), lambda: server.crypto("cwq", CpuAction.STATUS, [1]),
            lambda: server.vio(VioAction.STATUS, "disk", 0), lambda: server.system_info(["x"]), server.suspend,
        ))()  # fmt: skip
        driver.requests()
        words = [reply.number.to_bytes(8, "big"), rng.choice((0x6F, 0x65, 0, 5)).to_bytes(4, "big"),
                 rng.choice((0, 1, 2, 0xFFFFFFFF)).to_bytes(4, "big")]  # fmt: skip
        if reply.service == "dr-mem":
            words = [*words[1:], words[0]]
        body = b"".join(words) + rng.randbytes(rng.randrange(120))
        driver.data(reply.service, body[: rng.choice((len(body), rng.randrange(len(body))))])
        server.give_up(reply)
        assert reply.done
    assert ends > 5, "some answers were too short"
