"""LDM_interface requests carried out, with their responses, and LDM_event messages (guide, "XML Interface").

The response is the request's document with a <response> as last child of each data, each cmd, and of the root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldmd.messages import RefusedError, message
from ldmd.xmlif import migrate
from ldmd.xmlif.actions import (
    ACTIONS,
    DOMAIN_ACTIONS,
    LIST_ACTIONS,
    OPTIONS,
    RESOURCE_ACTIONS,
    XML_ACTIONS,
    commands_of,
)
from ldmd.xmlif.export import DATA_VERSION, NAMESPACES, interface, item
from ldmd.xmlif.read import INTERFACE_MAJOR, check_version, contents, items
from ldmd.xmlif.tree import Element, parse, to_text

Execute = Callable[[str, Mapping[str, Any]], Any]
"""Carries out a command: its result. Raises RefusedError; what was said before is in its notes."""
Register = Callable[[str, bool], None]
"""Called with a class of events and whether they are wanted."""
COMMANDS_LIMIT = 1000


@dataclass(frozen=True)
class _Request:
    """What is the same for all of a document."""

    execute: Execute
    register: Register | None


def handle(text: str, execute: Execute, *, register: Register | None = None) -> str:
    """The response document to a request document. Never raises for what is in the request."""
    try:
        root = parse(text)
        if root.local != "LDM_interface":
            raise root.refusal("xml.element", element=root.name, expected="LDM_interface")
        check_version(root, "LDM_interface", INTERFACE_MAJOR)
        commands = list(root.each("cmd"))
        for child in root.children:
            if child.local != "cmd":
                raise child.refusal("xml.element", element=child.name, expected="cmd")
        if len(commands) > COMMANDS_LIMIT:
            raise message("xml.size", limit=COMMANDS_LIMIT)
    except RefusedError as error:
        answer = interface()
        _respond(answer, error)
        return to_text(answer)
    request = _Request(execute, register)
    good = [_command(request, command) for command in commands]
    _respond(root, None if all(good) else message("xml.some"), texts=())
    root.attributes = dict(interface().attributes) | root.attributes
    _clean(root)
    migrate.forget_passwords(root)
    return to_text(root)


def _clean(element: Element) -> None:
    """White space between elements is ours to write."""
    if element.children:
        element.text = ""
        for child in element.children:
            _clean(child)


def _respond(element: Element, error: RefusedError | None, *, texts: Sequence[str] | None = None) -> None:
    """The response of an element. `texts`: instead of the refusal's own."""
    response = element.add("response")
    response.add("status", "success" if error is None else "failure")
    if error is not None:
        notes = getattr(error, "__notes__", ())
        rows = [*notes, error.text, error.cause, error.remedy] if texts is None else texts
        for row in rows:
            if row:
                response.add("resp_msg", row)


# -- one command


def _command(request: _Request, command: Element) -> bool:
    """Carry out a cmd; whether all of it was."""
    try:
        action, options = _head(command)
    except RefusedError as error:
        _respond(command, error)
        return False
    good = True
    for data in list(command.each("data")):
        try:
            _data(request, action, options, data)
            _respond(data, None)
        except RefusedError as error:
            _respond(data, error)
            good = False
    _respond(command, None if good else message("xml.some"), texts=())
    return good


def _head(command: Element) -> tuple[str, dict[str, Any]]:
    for child in command.children:
        if child.local not in ("action", "option", "data"):
            raise child.refusal("xml.element", element=child.name, expected="action, option, data")
    actions = list(command.each("action"))
    if len(actions) != 1:
        raise command.refusal("xml.missing" if not actions else "xml.twice", what="action", element=command.name)
    action = actions[0].text.strip()
    if action not in ACTIONS:
        raise message("xml.action", action=action)
    options: dict[str, Any] = {}
    for option in command.each("option"):
        for word in option.text.split():
            if action == migrate.ACTION and word in migrate.OPTIONS:
                options[migrate.OPTIONS[word]] = True
            elif action != migrate.ACTION and word in OPTIONS:
                options[OPTIONS[word]] = True
            elif action == "cancel-operation" and word.isalpha():
                options["operation"] = word
            else:
                raise option.refusal("xml.value", what="option", problem=word)
    if not list(command.each("data")):
        raise command.refusal("xml.missing", what="data", element=command.name)
    return action, options


def _data(request: _Request, action: str, options: dict[str, Any], data: Element) -> None:
    """One data element: all its domains and resources, in order; ends with the first that is refused."""
    found = contents(data)
    if action.endswith("-events"):
        _events(request, action)
    elif action == migrate.ACTION:
        request.execute(action, migrate.arguments_of(data) | options)
    elif action in LIST_ACTIONS:
        _list(request, action, data, found)
    elif action in XML_ACTIONS:
        for content in found:
            _by_document(request, action, content)
    elif action in DOMAIN_ACTIONS:
        _by_domain(request, action, options, found)
    else:
        _by_resource(request, action, options, data)
    if not found and action in (*XML_ACTIONS, *DOMAIN_ACTIONS) and "all" not in options:
        raise message("xml.no-domain")


def _name(content: Element) -> str:
    name = content.attribute("id")
    if not name:
        raise content.refusal("xml.missing", what="id", element=content.name)
    return name


def _by_document(request: _Request, action: str, content: Element) -> None:
    """add-domain and set-domain: the Content is a document of its own."""
    name = _name(content)
    if action == "add-domain" and not list(content.each("Section")):
        request.execute(action, {"domains": [name]})
        return
    root = interface()
    root.add("data", version=DATA_VERSION).add("Envelope").children.append(content)
    _clean(content)
    request.execute(action, {"xml": to_text(root)})


def _by_domain(request: _Request, action: str, options: dict[str, Any], found: list[Element]) -> None:
    command, argument, several = DOMAIN_ACTIONS[action]
    if "all" in options:
        request.execute(command, options)
    for content in found:
        name = _name(content)
        request.execute(command, {argument: [name] if several else name, **options})


def _by_resource(request: _Request, action: str, options: dict[str, Any], data: Element) -> None:
    done = 0
    for envelope in data.each("Envelope"):
        places = [("", envelope)] + [(_name(content), content) for content in envelope.each("Content")]
        for domain, place in places:
            for command, arguments in commands_of(action, domain, items(place)):
                request.execute(command, arguments | options)
                done += 1
    if not done:
        raise data.refusal("xml.missing", what=f"resource {RESOURCE_ACTIONS[action][0]}", element=data.name)


def _events(request: _Request, action: str) -> None:
    if request.register is None:
        raise message("xml.no-events")
    verb, kind, _ = action.split("-")
    request.register(kind, verb == "reg")


# -- lists


def _list(request: _Request, action: str, data: Element, found: list[Element]) -> None:
    """The answer takes the place of the Envelope."""
    names = [_name(content) for content in found]
    envelope = Element("Envelope")
    envelope.add("References")
    if action == "list-spconfig":
        for row in request.execute(action, {})["configs"]:
            item(envelope, "spconfig", {"spconfig_name": row["name"]} | _marks(row))
    elif action == "list-variable":
        for name in names:
            content = envelope.add("Content", xsi_type="ovf:VirtualSystem_Type", id=name)
            for variable, value in request.execute(action, {"domain": name})["variables"].items():
                item(content, "var", {"name": variable, "value": value})
    elif action == "list-devices":
        _devices(envelope, request.execute(action, {}))
    else:
        _domains(request, action, envelope, names)
    data.children = [envelope]


def _marks(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: "yes" for key in ("current", "next_poweron") if row.get(key)}


def _devices(envelope: Element, report: Mapping[str, Any]) -> None:
    """What is free: CPUs, crypto units, memory."""
    free = [row for row in report["vcpus"] if not row["bound"]]
    item(envelope, "cpu", {}, units=str(len(free)))
    item(envelope, "mau", {}, units=str(sum(1 for row in report["crypto"] if not row["bound"])))
    item(envelope, "memory", {}, units=str(sum(row["size_bytes"] for row in report["memory"] if not row["bound"])))


_SERVICES = frozenset({"vds", "vds_volume", "vsw", "vcc", "vsan", "vdpcs"})


def _domains(request: _Request, action: str, envelope: Element, names: list[str]) -> None:
    """Constraints of domains; list-services: only their services; list-domain and list-bindings: and their state."""
    document = parse(request.execute("export-domain", {"domains": names}))
    report = request.execute("list-domain", {"domains": names})["domains"] if action != "list-constraints" else []
    states = {row["name"]: row for row in report}
    for content in (content for data in document.each("data") for content in contents(data)):
        sections = list(content.children)
        if action == "list-services":
            sections = [each for each in sections if _resource(each) in _SERVICES]
        elif action == "list-domain":
            sections = [each for each in sections if _resource(each) in ("ldom_info", "cpu", "memory", "mau")]
        content.children = sections
        row = states.get(_name(content))
        if row is not None and action != "list-services" and sections:
            info = sections[0].children[0]
            info.add("gprop:GenericProperty", str(row["state"]), key="state")
            info.add("gprop:GenericProperty", str(row["flag_letters"]), key="flags")
        envelope.children.append(content)


def _resource(section: Element) -> str:
    found = section.children[0].first("OtherResourceType") if section.children else None
    return found.text if found is not None else ""


# -- events

# events of the manager -> class; the action has the same name
EVENTS: Mapping[str, str] = {
    **dict.fromkeys(("add-domain", "remove-domain", "bind-domain", "unbind-domain", "start-domain", "stop-domain",
                     "domain-reset", "panic-domain", "migrate-domain"), "domain"),
    **dict.fromkeys(("add-spconfig", "set-spconfig", "remove-spconfig"), "hardware"),
    **dict.fromkeys((f"{verb}-{noun}" for verb in ("add", "set", "remove") for noun in (
        "vcpu", "memory", "mau", "vdisk", "vnet", "vsw", "vds", "vdsdev", "vcc", "variable", "vconsole")), "resource"),
}  # fmt: skip


def event_text(event: str, details: Mapping[str, Any]) -> str | None:
    """The LDM_event message of an event of the manager; None for one that has none."""
    kind = EVENTS.get(event)
    if kind is None:
        return None
    spaces = {name: value for name, value in NAMESPACES.items() if name.startswith("xmlns:")}
    root = Element("LDM_event", {"version": "1.0", **spaces})
    command = root.add("cmd")
    command.add("action", event)
    envelope = command.add("data", version=DATA_VERSION).add("Envelope")
    envelope.add("References")
    if kind == "hardware":
        item(envelope, "spconfig", {"spconfig_name": str(details.get("spconfig", ""))})
    elif details.get("domain"):
        envelope.add("Content", xsi_type="ovf:VirtualSystem_Type", ovf_id=str(details["domain"]))
    return to_text(root)
