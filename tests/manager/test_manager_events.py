"""Events of the machine: states, failures and their policies, variables, answers; jobs that wait, and cancel."""

from __future__ import annotations

import threading
from typing import Any

import changes
import pytest
from ldm_support import ldm
from manager_support import FakeMachine, VirtualClock, commit, machine_of, make_manager, run

from ldmd.manager import Manager
from ldmd.model import Domain, FailurePolicy, State
from ldmd.operations.context import HypervisorError
from ldmd.planner.consoles import consoles
from ldmd.store import MEMORY, Store


def with_guests(count: int = 1, **of_the_first: Any) -> Manager:
    """Running guests ldg1, ldg2...; the others are slaves of the first."""
    manager = make_manager()
    new = changes.roomy(manager.configuration)
    for number in range(1, count + 1):
        more: dict[str, Any] = of_the_first if number == 1 else {"masters": ("ldg1",)}
        new = new.with_domain(changes.in_state(changes.bound(new, changes.guest(number, **more)), State.ACTIVE))
    commit(manager, new)
    return manager


def domain(manager: Manager, name: str = "ldg1") -> Domain:
    found = manager.configuration.find(name)
    assert found is not None
    return found


@pytest.mark.parametrize("why", ["power-off", "error"])
def test_a_guest_that_ends_is_bound(why: str) -> None:
    manager = with_guests()
    events: list[Any] = []
    manager.watch(events.append)
    machine_of(manager).emit_state(1, why)
    assert (domain(manager).state, domain(manager).started_at) == (State.BOUND, None)
    assert domain(manager).binding is not None
    assert manager.store.load() == manager.configuration
    assert [row["event"] for row in events] == ["domain-state", "consoles", "stop-domain"]


def test_a_reset_begins_the_uptime_anew() -> None:
    manager = with_guests()
    machine_of(manager).clock.advance(500)
    machine_of(manager).emit_state(1, "reset")
    assert domain(manager).state is State.ACTIVE
    assert domain(manager).started_at == machine_of(manager).clock.now()


def test_a_late_event_does_not_stop_a_guest_that_runs() -> None:
    manager = with_guests()
    machine_of(manager).emit("guest.state", guest=1, state="halted", why="stopped", code=0)
    assert domain(manager).state is State.ACTIVE


@pytest.mark.parametrize(("code", "state"), [
    ("unreachable", State.ACTIVE), ("timeout", State.ACTIVE), ("no-guest", State.BOUND)])
def test_a_machine_that_does_not_answer_is_asked_again_later(code: str, state: State) -> None:
    manager = with_guests()
    machine_of(manager).refuse = {"guest.status": HypervisorError(code, "x")}
    machine_of(manager).emit_state(1, "power-off")
    assert domain(manager).state is state
    machine_of(manager).refuse = {}
    manager.again()
    assert domain(manager).state is State.BOUND


@pytest.mark.parametrize("event", [
    {}, {"event": 7}, {"event": "guest.state"}, {"event": "guest.state", "guest": 99},
    {"event": "guest.state", "guest": "1", "why": []}, {"event": "guest.variable", "guest": 1, "name": 3},
    {"event": "guest.variable", "guest": 1, "name": "", "value": "x"}, {"event": "guest.reply", "request": None},
    {"event": "guest.variable", "guest": 1, "name": "n", "value": b"x"}, {"event": "of-tomorrow", "guest": 1},
    {"event": "guest.state", "guest": 0, "why": "panic", "state": "running"}])
def test_senseless_events_change_nothing(event: dict[str, Any]) -> None:
    manager = with_guests()
    before = manager.configuration
    manager.handle(event)
    assert manager.configuration == before


@pytest.mark.parametrize("why", ["panic", "watchdog", "error"])
@pytest.mark.parametrize("policy", list(FailurePolicy))
def test_failure_policy(policy: FailurePolicy, why: str) -> None:
    manager = with_guests(3, failure_policy=policy)
    machine = machine_of(manager)
    machine.boot_os(2)
    machine.calls.clear()
    machine.emit_state(1, why)
    asked = [(op, arguments["guest"]) for op, arguments in machine.calls if op != "guest.status"]
    assert asked == {
        FailurePolicy.IGNORE: [],
        FailurePolicy.STOP: [("guest.stop", 2), ("guest.stop", 3)],
        FailurePolicy.RESET: [("guest.reset", 2), ("guest.reset", 3)],
        # nobody has registered the service in ldg3: it is reset
        FailurePolicy.PANIC: [("guest.panic", 2), ("guest.panic", 3), ("guest.reset", 3)],
    }[policy]
    assert domain(manager, "ldg2").state is (State.BOUND if policy is FailurePolicy.STOP else State.ACTIVE)


@pytest.mark.parametrize("why", ["power-off", "reset", "stopped"])
def test_an_orderly_end_of_the_master_is_no_failure(why: str) -> None:
    manager = with_guests(2, failure_policy=FailurePolicy.STOP)
    machine_of(manager).emit_state(1, why)
    assert domain(manager, "ldg2").state is State.ACTIVE


def test_one_slave_that_cannot_does_not_spare_the_next() -> None:
    manager = with_guests(3, failure_policy=FailurePolicy.STOP)
    machine_of(manager).refuse = {
        "guest.stop": lambda arguments: HypervisorError("state", "no") if arguments["guest"] == 2 else None}
    machine_of(manager).emit_state(1, "panic")
    assert domain(manager, "ldg3").state is State.BOUND


def test_slaves_of_slaves_follow_only_a_failure_of_their_own_master() -> None:
    manager = with_guests(2, failure_policy=FailurePolicy.STOP)
    new = manager.configuration
    third = changes.bound(new, changes.guest(3, masters=("ldg2",)))
    commit(manager, new.with_domain(changes.in_state(third, State.ACTIVE)))
    machine_of(manager).emit_state(1, "panic")
    assert [domain(manager, name).state for name in ("ldg2", "ldg3")] == [State.BOUND, State.ACTIVE]


def test_variables_that_a_guest_sets_are_kept() -> None:
    manager = with_guests()
    machine = machine_of(manager)
    machine.emit("guest.variable", guest=1, name="boot-device", value="disk1")
    machine.emit("guest.variable", guest=1, name="auto-boot?", value="false")
    assert domain(manager).variables == (("auto-boot?", "false"), ("boot-device", "disk1"))
    machine.emit("guest.variable", guest=1, name="boot-device", value=None)
    machine.emit("guest.variable", guest=1, name="nvramrc", value="x" * 9000)
    assert domain(manager).variables == (("auto-boot?", "false"),)
    assert manager.store.load() == manager.configuration
    for number in range(400):
        machine.emit("guest.variable", guest=1, name=f"v{number}", value="")
    assert len(domain(manager).variables) == 256


# -- jobs that wait


def test_a_job_waits_for_an_answer_and_sees_the_events() -> None:
    manager = with_guests()
    machine = machine_of(manager)
    machine.boot_os(1)
    start = machine.clock.now()

    def shutdown(context: Any) -> Any:
        request = context.hypervisor.call("guest.shutdown", guest=1)["request"]
        assert context.replies(request) is None
        assert context.wait(lambda: context.replies(request) is not None, seconds=60)
        assert context.wait(lambda: context.configuration.find("ldg1").state is State.BOUND, seconds=60)
        return dict(context.replies(request))

    outcome = run(manager, shutdown)
    assert outcome.error is None and outcome.result["result"] == "ok"
    assert machine.clock.now() - start < 5


def test_a_job_that_waits_in_vain_takes_its_time() -> None:
    manager = with_guests()
    start = machine_of(manager).clock.now()
    assert run(manager, lambda context: context.wait(lambda: False, seconds=30)).result is False
    assert machine_of(manager).clock.now() - start == 30


def test_others_go_on_while_a_job_waits() -> None:
    manager = with_guests()
    clock = machine_of(manager).clock

    def other() -> None:
        assert run(manager, lambda context: context.commit(context.configuration.but(freed_macs=(7,)))).error is None

    clock.at(1, other)
    outcome = run(manager, lambda context: context.wait(lambda: context.configuration.freed_macs == (7,), seconds=9))
    assert outcome.result is True


def test_only_one_job_writes_at_a_time() -> None:
    """Threads that each add a MAC to what they read: none is lost."""
    manager = with_guests()

    def add(context: Any) -> None:
        before = context.configuration.freed_macs
        context.commit(context.configuration.but(freed_macs=(*before, context.rng.random_mac)))

    class Numbers:
        count = 0

        @property
        def random_mac(self) -> int:
            self.count += 1
            return self.count

    manager.rng = Numbers()  # type: ignore[assignment]
    threads = [threading.Thread(target=lambda: [run(manager, add) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(manager.configuration.freed_macs) == list(range(1, 81))


def test_who_reads_does_not_wait_for_who_writes() -> None:
    manager = with_guests()
    begun, gate = threading.Event(), threading.Event()

    def slow(context: Any) -> None:
        begun.set()
        assert gate.wait(60)

    thread = threading.Thread(target=lambda: run(manager, slow))
    thread.start()
    assert begun.wait(60)
    for _ in range(100):  # more than are kept before they are written
        assert manager.execute("version", {}).status == 0
    gate.set()
    thread.join()
    rows = manager.execute("list-history", {"limit": "1000"}).result["history"]
    assert sum(row["line"] == "ldm version" for row in rows) == 100


def test_cancel() -> None:
    manager = with_guests()
    clock = machine_of(manager).clock
    seen: list[Any] = []

    def cancel() -> None:
        (job,) = manager.book.running()
        seen.append(job)
        assert run(manager, lambda context: context.cancel(job["job"]), write=False).result is True

    def wait(context: Any) -> None:
        context.progress(10, "waiting")
        try:
            context.wait(lambda: False, seconds=100)
        finally:
            context.say("cleaned up")

    clock.at(5, cancel)
    outcome = run(manager, wait)
    assert outcome.error is not None and outcome.error.code == "job.cancelled"
    assert outcome.out == "cleaned up\n"
    assert seen[0]["percent"] == 10 and seen[0]["text"] == "waiting"
    assert manager.book.running() == () and manager.book.all()[-1]["status"] is not None
    assert not manager.cancel(outcome.job)


def test_an_event_during_a_request_is_taken_up_after_the_operation() -> None:
    """The machine tells of a stop from inside the request that makes it: what the operation says is what counts."""
    manager = with_guests()
    found = domain(manager)
    commit(manager, manager.configuration.with_domain(changes.in_state(found, State.BOUND)))
    commit(manager, manager.configuration.with_domain(changes.in_state(found, State.ACTIVE)))
    assert domain(manager).state is State.ACTIVE
    assert machine_of(manager).guests[1].starts == 2


# -- restart and power-on


def again(manager: Manager, machine: FakeMachine) -> Manager:
    return make_manager(store=manager.store, machine=machine)


def test_a_restart_disturbs_nothing() -> None:
    manager = with_guests(3)
    machine = machine_of(manager)
    machine.calls.clear()
    assert again(manager, machine).configuration == manager.configuration
    assert machine.ops("guest.configure", "guest.start", "guest.stop", "guest.destroy") == []


def test_a_restart_finds_out_what_happened_meanwhile() -> None:
    manager = with_guests(3)
    machine = machine_of(manager)
    machine.listen(lambda event: None)  # ldmd is down
    machine.emit_state(2, "power-off")
    machine.guests.pop(3)
    machine.call("guest.configure", spec=machine.guests[2].spec | {"id": 9, "name": "stranger", "vcpus": [[0, 200]],
                                                                  "memory": []})
    machine.call("guest.start", guest=9)
    found = again(manager, machine)
    assert [domain(found, name).state for name in ("ldg1", "ldg2", "ldg3")] == [
        State.ACTIVE, State.BOUND, State.BOUND]
    assert machine.guests[3].state == "defined"  # what the store has bound is there again
    assert machine.guests[9].state == "running"
    assert any("stranger" in line for line in found.log_lines)  # type: ignore[attr-defined]
    transient = found.configuration.with_domain(domain(found).but(state=State.STOPPING))
    found.store.write(found.configuration, transient)
    assert domain(again(found, machine)).state is State.ACTIVE


@pytest.mark.parametrize("same_identity", [False, True])  # a machine in virtual time is the same at each power-on
def test_a_power_on_brings_up_the_saved_configuration(same_identity: bool) -> None:
    manager = with_guests(2)
    saved = manager.configuration.with_domain(changes.in_state(domain(manager, "ldg2"), State.BOUND))
    run(manager, lambda context: context.spconfigs.save("mine", saved))
    commit(manager, manager.configuration.but(spconfig="mine", next_poweron="mine"))
    commit(manager, manager.configuration.with_domain(changes.guest(3)))
    machine = machine_of(manager)
    boot = machine.boot
    machine.power_cycle()
    machine.boot = boot if same_identity else machine.boot
    found = again(manager, machine)
    assert [(each.name, each.state) for each in found.configuration.domains] == [
        ("primary", State.ACTIVE), ("ldg1", State.ACTIVE), ("ldg2", State.ACTIVE), ("ldg3", State.INACTIVE)]
    assert found.configuration.spconfig == "mine"
    assert [guest.state for _, guest in sorted(machine.guests.items())] == ["running", "running", "running"]
    assert domain(found).started_at == machine.clock.now()
    # what ran was not what was saved: it is put aside
    aside = found.spconfigs.load("mine", autosave=True)
    assert aside is not None and aside.find("ldg3") is not None
    assert found.store.load() == found.configuration


def test_a_power_on_with_the_factory_default_keeps_constraints_alone() -> None:
    manager = with_guests(1)
    first = manager.configuration.primary
    machine = machine_of(manager)
    machine.power_cycle()
    found = again(manager, machine)
    assert found.configuration.primary.disk_servers == ()
    assert found.configuration.primary.binding is not None and len(found.configuration.primary.binding.vcpus) == 256
    assert (found.configuration.primary.mac, found.configuration.primary.uuid) == (first.mac, first.uuid)
    assert (domain(found).state, domain(found).binding) == (State.INACTIVE, None)
    assert domain(found).vdisks
    assert set(machine.guests) == {0}


def test_a_power_on_with_a_configuration_that_is_gone_or_of_other_hardware() -> None:
    for spoil in ("gone", "other"):
        manager = with_guests(1)
        if spoil == "other":
            other = make_manager("t5-2", "128G").configuration
            run(manager, lambda context, other=other: context.spconfigs.save("mine", other))
        commit(manager, manager.configuration.but(spconfig="mine", next_poweron="mine"))
        machine = machine_of(manager)
        machine.power_cycle()
        found = again(manager, machine)
        assert found.configuration.spconfig == "factory-default"
        assert any("factory-default" in line and "warning" in line
                   for line in found.log_lines)  # type: ignore[attr-defined]


def test_a_guest_that_cannot_start_at_power_on_is_bound() -> None:
    manager = with_guests(2)
    run(manager, lambda context: context.spconfigs.save("mine", context.configuration))
    commit(manager, manager.configuration.but(next_poweron="mine"))
    machine = machine_of(manager)
    machine.power_cycle()
    machine.refuse = {"guest.start": lambda arguments: HypervisorError("backend", "no such file")
                      if arguments["guest"] == 1 else None}
    found = again(manager, machine)
    assert [domain(found, name).state for name in ("ldg1", "ldg2")] == [State.BOUND, State.ACTIVE]


def test_a_store_that_was_lost_leaves_running_guests_alone() -> None:
    manager = with_guests(1)
    machine = machine_of(manager)
    found = make_manager(store=Store(MEMORY), machine=machine)
    assert machine.guests[1].state == "running" and machine.guests[1].starts == 1
    assert found.configuration.guests == ()


def test_the_virtual_clock_serves_what_is_due_in_order() -> None:
    clock, seen = VirtualClock(), []
    clock.at(2, lambda: seen.append("b"))
    clock.at(1, lambda: seen.append("a"))
    clock.advance(3)
    assert seen == ["a", "b"]


def with_a_service_domain() -> Manager:
    """ldg1 has disk and console from the running domain svc."""
    manager = make_manager()
    machine_of(manager).boot_os(0)
    for line in ("start-reconf primary", "set-core 1 primary", "set-memory 4G primary", "stop-domain -r primary",
                 "add-domain svc", "set-vcpu 1 svc", "set-memory 1G svc", "add-vcc port-range=5000-5001 c primary",
                 "set-variable auto-boot?=false svc", "bind-domain svc", "start-domain svc",
                 "add-vcc port-range=5010-5011 d svc", "add-vds vds svc", "add-vdsdev -q /disks/x vol@vds",
                 "add-domain ldg1", "set-vcpu 1 ldg1", "set-memory 1G ldg1", "set-vcons service=d ldg1",
                 "add-vdisk vdisk0 vol@vds ldg1", "bind-domain ldg1", "start-domain ldg1"):
        done = ldm(manager, line)
        assert done.status == 0, f"{line}: {done}"
    return manager


def served(manager: Manager) -> tuple[bool, list[str]]:
    """Is ldg1's disk served, as the machine knows it? And whose consoles are?"""
    binding = domain(manager).binding
    assert binding is not None
    specs = [each["spec"] for op, each in machine_of(manager).calls if op == "guest.configure"]
    last = [spec for spec in specs if spec["id"] == binding.id][-1]
    return last["disks"][0]["online"], [each["domain"] for each in consoles(manager.configuration)]


@pytest.mark.parametrize("end", ["power-off", "stop-domain", "stop-domain -f"])
def test_clients_of_a_service_domain_that_ends_are_told(end: str) -> None:
    manager = with_a_service_domain()
    binding = domain(manager, "svc").binding
    assert binding is not None
    assert served(manager) == (True, ["svc", "ldg1"])
    if end == "power-off":
        machine_of(manager).emit_state(binding.id, end)
    else:
        assert ldm(manager, f"{end} svc").status == 0
    assert domain(manager, "svc").state is State.BOUND
    assert served(manager) == (False, ["svc"])
    assert ldm(manager, "start-domain svc").status == 0
    assert served(manager) == (True, ["svc", "ldg1"])


def test_a_machine_that_refuses_what_follows_does_not_undo_what_happened() -> None:
    manager = with_a_service_domain()
    binding = domain(manager, "svc").binding
    assert binding is not None
    machine_of(manager).refuse = {"guest.configure": HypervisorError("busy", "x")}
    machine_of(manager).emit_state(binding.id, "power-off")
    assert domain(manager, "svc").state is State.BOUND
    assert any("guest.configure: the machine refused (busy)" in line for line in manager.log_lines)  # type: ignore[attr-defined]
