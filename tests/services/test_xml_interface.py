"""Requests of the XML interface and their responses; events as documents."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from manager_support import make_manager
from services_support import done, put_guest

from ldmd.manager import Manager
from ldmd.messages import RefusedError
from ldmd.migrator.moves import MoveOptions, MoveOutcome, Target
from ldmd.model import State
from ldmd.operations.registry import OPERATIONS
from ldmd.rpc.access import Access
from ldmd.rpc.client import Client
from ldmd.rpc.server import Server
from ldmd.xmlif.actions import ACTIONS, DOMAIN_ACTIONS, RESOURCE_ACTIONS
from ldmd.xmlif.interface import EVENTS, event_text, handle
from ldmd.xmlif.tree import Element, parse


@pytest.fixture
def manager() -> Manager:
    manager = make_manager()
    put_guest(manager, "ldg1", state=State.INACTIVE)
    return manager


def ask(manager: Manager, text: str) -> Element:
    def execute(command: str, arguments: Mapping[str, Any]) -> Any:
        return manager.execute(command, arguments).value()

    return parse(handle(text, execute))


def item(resource: str, units: str = "", **keys: str) -> str:
    inner = f"<rasd:AllocationUnits>{units}</rasd:AllocationUnits>" if units else ""
    for key, value in keys.items():
        inner += f'<gprop:GenericProperty key="{key}">{value}</gprop:GenericProperty>'
    return f"<Section><Item><rasd:OtherResourceType>{resource}</rasd:OtherResourceType>{inner}</Item></Section>"


def command(action: str, *bodies: str, option: str = "") -> str:
    data = "".join(f'<data version="3.0"><Envelope><References/>{body}</Envelope></data>' for body in bodies)
    return f"<cmd><action>{action}</action>{f'<option>{option}</option>' if option else ''}{data}</cmd>"


def document(*commands: str) -> str:
    return f'<?xml version="1.0"?>\n<LDM_interface version="1.3">{"".join(commands)}</LDM_interface>'


def on(domain: str, *items: str) -> str:
    return f'<Content xsi:type="ovf:VirtualSystem_Type" ovf:id="{domain}">{"".join(items)}</Content>'


def status(element: Element) -> tuple[str, list[str]]:
    """(status, messages) of the response, which is the last child."""
    response = element.children[-1]
    assert response.local == "response"
    return response.children[0].text, [row.text for row in response.each("resp_msg")]


def test_a_request_of_the_guide(manager: Manager) -> None:
    answer = ask(manager, document(command("set-vcpu", on("ldg1", item("cpu", "4")))))
    (cmd,) = answer.each("cmd")
    (data,) = cmd.each("data")
    assert [status(each) for each in (answer, cmd, data)] == [("success", [])] * 3
    assert data.children[0].name == "Envelope"  # the same document
    assert manager.configuration.find("ldg1").cpus.vcpus == 4  # type: ignore[union-attr]


def test_several_data_and_commands(manager: Manager) -> None:
    text = document(
        command("add-vdiskserver", on("primary", item("vds", service_name="vds0")),
                on("primary", item("vds", service_name="vds0"))),
        command("set-memory", on("ldg1", item("memory", "1G"))),
    )  # fmt: skip
    answer = ask(manager, text)
    first, second = answer.each("cmd")
    good, bad = first.each("data")
    assert status(good) == ("success", [])
    assert status(bad)[0] == "failure" and "already exists" in status(bad)[1][0]
    assert status(first) == ("failure", []) and status(answer) == ("failure", [])
    assert status(second) == ("success", [])
    assert manager.configuration.find("ldg1").memory.size_bytes == 1 << 30  # type: ignore[union-attr]


@pytest.mark.parametrize(("text", "words"), [
    ("<LDM_interface", "malformed: line 1, column "),
    ('<LDM_interface version="1.3">\n<cmd></LDM_interface>', "malformed: line 2, column 8"),
    ("<LDM_event version='1.0'/>", "LDM_event"),
    ('<LDM_interface version="9.0"/>', "version 9.0"),
    ('<LDM_interface version="1.3"><hello/></LDM_interface>', "hello"),
    ("", "malformed"),
])  # fmt: skip
def test_what_is_no_request_has_one_response_at_the_top(manager: Manager, text: str, words: str) -> None:
    answer = ask(manager, text)
    assert [child.local for child in answer.children] == ["response"]
    assert status(answer)[0] == "failure" and words in status(answer)[1][0]


@pytest.mark.parametrize(("cmd", "words"), [
    (command("rm-vdisk", ""), "rm-vdisk is not an action"),
    ("<cmd><data version='3.0'><Envelope/></data></cmd>", "lacks action"),
    ("<cmd><action>add-vcpu</action></cmd>", "lacks data"),
    (command("stop-domain", on("ldg1"), option="--now"), "--now"),
])  # fmt: skip
def test_a_malformed_command_has_its_response(manager: Manager, cmd: str, words: str) -> None:
    answer = ask(manager, document(cmd, command("list-spconfig", "")))
    first, second = answer.each("cmd")
    assert status(first)[0] == "failure" and words in status(first)[1][0]
    assert status(second) == ("success", [])


@pytest.mark.parametrize(("cmd", "words"), [
    (command("add-vcpu", on("ldg1", item("memory", "1G"))), "unknown resource memory"),
    (command("add-vcpu", on("ldg1")), "lacks resource cpu"),
    (command("add-vdisk", on("ldg1", item("disk", vdisk_name="d"))), "lacks key vol_name"),
    (command("bind-domain", ""), "describes no domain"),
    (command("bind-domain", "<Content/>"), "lacks id"),
    (command("bind-domain", on("ldg9")), "LDom ldg9 was not found"),
    (command("reg-all-events", ""), "cannot be registered"),
])  # fmt: skip
def test_an_object_that_fails_has_its_messages(manager: Manager, cmd: str, words: str) -> None:
    (cmd_answer,) = ask(manager, document(cmd)).each("cmd")
    (data,) = cmd_answer.each("data")
    assert status(data)[0] == "failure" and words in status(data)[1][0]


def test_a_domain_from_nothing_to_its_end(manager: Manager) -> None:
    def go(*arguments: Any, **more: Any) -> None:
        answer = ask(manager, document(command(*arguments, **more)))
        assert status(answer)[0] == "success", [status(data) for cmd in answer.each("cmd") for data in cmd.each("data")]

    def state() -> str:
        found = manager.configuration.find("ldg2")
        return "" if found is None else found.state.value

    go("add-vconscon", on("primary", item("vcc", service_name="vcc0", min_port="5000", max_port="5010")))
    go("add-vswitch", on("primary", item("vsw", service_name="vsw0", dev_path="net0")))
    go("add-domain", on("ldg2", item("memory", "512M"), item("cpu", "8", wcore="1")))
    go("add-vnet", on("ldg2", item("network", vnet_name="n0", service_name="vsw0", **{"pvid": "4"})))
    go("add-variable", on("ldg2", item("var", name="auto-boot?", value="false")))
    go("set-vconsole", on("ldg2", item("console", port="5003", **{"enable-log": "off"})))
    go("bind-domain", on("ldg2"))
    go("start-domain", on("ldg2"))
    assert state() == "active"
    go("stop-domain", on("ldg2"), option="-f")
    go("unbind-domain", on("ldg2"))
    found = manager.configuration.find("ldg2")
    assert found is not None and found.cpus.cores == 1 and found.vnets[0].pvid == 4 and not found.vcons.log
    go("remove-variable", on("ldg2", item("var", name="auto-boot?")))
    go("remove-vnet", on("ldg2", item("network", vnet_name="n0")))
    go("add-spconfig", item("spconfig", spconfig_name="one"))
    go("remove-domain", on("ldg2"))
    assert state() == ""
    rows = [element.text for element in walk(ask(manager, document(command("list-spconfig", ""))))
            if element.attribute("key") == "spconfig_name"]  # fmt: skip
    assert rows == ["factory-default", "one"]


def walk(element: Element) -> Any:
    yield element
    for child in element.children:
        yield from walk(child)


def test_lists(manager: Manager) -> None:
    done(manager, "add-vds", vds="vds0", domain="primary")
    done(manager, "set-variable", domain="ldg1", assignments=["auto-boot?=false"])

    def resources(action: str, *bodies: str) -> list[str]:
        answer = ask(manager, document(command(action, *(bodies or ("",)))))
        assert status(answer)[0] == "success"
        return [element.text for element in walk(answer) if element.local == "OtherResourceType"]

    assert resources("list-services", "") == ["vds"]
    assert resources("list-constraints", on("ldg1")) == ["ldom_info", "cpu", "memory", "var", "console"]
    assert resources("list-domain", on("ldg1")) == ["ldom_info", "cpu", "memory"]
    assert resources("list-variable", on("ldg1")) == ["var"]
    assert resources("list-devices") == ["cpu", "mau", "memory"]
    answer = ask(manager, document(command("list-bindings", on("ldg1"))))
    assert "inactive" in [element.text for element in walk(answer) if element.attribute("key") == "state"]


PUBLISHED = """
add-domain add-io add-mau add-memory add-spconfig add-variable add-vconscon add-vcpu add-vdisk add-vdiskserver
add-vdiskserverdevice add-vdpcc add-vdpcs add-vnet add-vswitch bind-domain cancel-operation list-bindings
list-constraints list-devices list-domain list-services list-spconfig list-variable remove-domain remove-io remove-mau
remove-memory remove-reconf remove-spconfig remove-variable remove-vconscon remove-vcpu remove-vdisk
remove-vdiskserver remove-vdiskserverdevice remove-vdpcc remove-vdpcs remove-vnet remove-vswitch set-domain set-mau
set-memory set-spconfig set-variable set-vconscon set-vconsole set-vcpu set-vnet set-vswitch start-domain stop-domain
migrate-domain unbind-domain reg-all-events reg-domain-events reg-hardware-events reg-resource-events unreg-all-events
unreg-domain-events unreg-hardware-events unreg-resource-events
"""


def test_every_action_has_its_command() -> None:
    make_manager()
    commands = {command for _, command, _ in RESOURCE_ACTIONS.values()} | {row[0] for row in DOMAIN_ACTIONS.values()}
    assert commands <= set(OPERATIONS)
    assert set(PUBLISHED.split()) <= ACTIONS


class Readers(Access):
    """Everybody may read."""

    def role(self, uid: int, user: str, groups: Iterable[str]) -> str:
        return "read"


def test_over_the_managers_socket(manager: Manager, tmp_path: Path) -> None:
    """The command "xml" of the RPC: with the rights of the client, and each action in the history."""
    text = document(command("set-vcpu", on("ldg1", item("cpu", "6"))))
    writer = Server(manager, tmp_path / "w", Access())
    reader = Server(manager, tmp_path / "r", Readers())
    for server in (writer, reader):
        server.start()
    try:
        with Client(reader.path) as client:
            answer = parse(client.call("xml", {"text": text}))
            (data,) = answer.children[0].each("data")
            assert status(data)[0] == "failure" and "may only list" in status(data)[1][0]
            listed = client.call("xml", {"text": document(command("list-constraints", on("ldg1")))})
            assert status(parse(listed)) == ("success", [])
            with pytest.raises(RefusedError):
                client.call("xml", {"text": 5})
        assert manager.configuration.find("ldg1").cpus.vcpus == 1  # type: ignore[union-attr]
        with Client(writer.path) as client:
            assert status(parse(client.call("xml", {"text": text}))) == ("success", [])
            assert client.call("list-history")["history"][-1]["line"] == "xml set-vcpu"
        assert manager.configuration.find("ldg1").cpus.vcpus == 6  # type: ignore[union-attr]
    finally:
        writer.close()
        reader.close()


def test_registration_reaches_the_connection() -> None:
    asked = []
    text = document(command("reg-domain-events", ""), command("unreg-all-events", ""))
    handle(text, lambda *_: None, register=lambda kind, wanted: asked.append((kind, wanted)))
    assert asked == [("domain", True), ("all", False)]


def test_an_event_of_the_guide() -> None:
    text = event_text("bind-domain", {"domain": "ldg1"})
    assert text is not None
    event = parse(text)
    assert event.name == "LDM_event" and event.attributes["version"] == "1.0"
    (content,) = [element for element in walk(event) if element.name == "Content"]
    assert content.attributes == {"xsi:type": "ovf:VirtualSystem_Type", "ovf:id": "ldg1"}
    hardware = parse(event_text("add-spconfig", {"spconfig": "one"}) or "")
    assert [element.text for element in walk(hardware) if element.attribute("key")] == ["one"]
    assert event_text("progress", {}) is None and EVENTS["set-vcpu"] == "resource"


class Mover:
    """Says how it ends, and keeps what it was asked."""

    def __init__(self, *problems: str) -> None:
        self.outcome = MoveOutcome(done=not problems, problems=problems)
        self.asked: list[tuple[str, Target, MoveOptions]] = []

    def start(self, name: str, target: Target, options: MoveOptions, *, job: Any) -> MoveOutcome:
        self.asked.append((name, target, options))
        return self.outcome

    def view(self) -> tuple[Any, ...]:
        return ()


def coded(text: str) -> str:
    return b64encode(text.encode()).decode()


WHO = {"username": coded("admin"), "password": coded("geheim \u00e9")}


def move(there: str = "ldg1", *, option: str = "", **keys: str) -> str:
    info = item("ldom_info", **({"target": "system2"} | keys))
    return document(command("migrate-domain", on("ldg1") + on(there, info), option=option))


def test_a_migration_of_the_guide(manager: Manager) -> None:
    """Two Contents; user and password in base64. The response is the same document, without the password."""
    mover = Mover()
    manager.migrations = mover  # type: ignore[assignment]
    answer = ask(manager, move(**WHO))
    assert status(answer) == ("success", [])
    assert mover.asked == [("ldg1", Target(user="admin", host="system2", name=None),
                            MoveOptions(dry_run=False, force=False, certificates=False, password="geheim \u00e9"))]
    keys = {each.attribute("key"): each.text for each in walk(answer) if each.local == "GenericProperty"}
    assert keys == {"target": "system2", "username": coded("admin"), "password": ""}
    assert "geheim" not in str(manager.book.all())
    ask(manager, move("there", target="fe80::1", option="-f -n", **WHO))
    ask(manager, move(option="-c"))
    (_, second, dry), (_, third, trusting) = mover.asked[1:]
    assert (second.host, second.name, dry.force, dry.dry_run) == ("fe80::1", "there", True, True)
    assert third.host == "system2" and trusting.certificates and trusting.password is None


def test_a_migration_that_fails_says_why(manager: Manager) -> None:
    manager.migrations = Mover("no memory there")  # type: ignore[assignment]
    (data,) = next(ask(manager, move(**WHO)).each("cmd")).each("data")
    assert status(data) == ("failure", ["no memory there", "Domain Migration of LDom ldg1 failed"])


@pytest.mark.parametrize(("text", "words"), [
    (document(command("migrate-domain", on("ldg1"))), "two Content elements"),
    (document(command("migrate-domain", on("ldg1") + on("ldg1"))), "ldom_info"),
    (document(command("migrate-domain", on("ldg1", item("cpu", "4")) + on("ldg1"))), "unknown resource cpu"),
    (move(), "password of the target is missing"),
    (move(option="-c", **WHO), "admin"),
    (move(**{**WHO, "password": "geheim!"}), "wrong value of password"),
    (move(**{**WHO, "password": coded("two\nlines")}), "wrong value of password"),
    (move(**{**WHO, "username": coded("")}), "wrong value of username"),
    (move(target="root@system2", **WHO), "wrong value of target"),
    (move(target="system2:ldg5", **WHO), "system2:ldg5"),
    (move(port="8101", **WHO), "unknown key port"),
    (move(option="-q", **WHO), "wrong value of option"),
])  # fmt: skip
def test_a_migration_that_cannot_be_meant(manager: Manager, text: str, words: str) -> None:
    mover = Mover()
    manager.migrations = mover  # type: ignore[assignment]
    answer = ask(manager, text)
    said = [each.text for each in walk(answer) if each.local == "resp_msg"]
    assert mover.asked == [] and any(words in each for each in said), said
    assert all(each.text == "" for each in walk(answer) if each.attribute("key") == "password")
