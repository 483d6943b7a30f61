"""Reading LDM_interface documents: strictly, with line and column of whatever is wrong. The direction of `export`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emulator.errors import UnitError
from emulator.units import parse_size
from ldmd.messages import RefusedError
from ldmd.model import Cpus, DiskServer, MemoryAmount, Vcons, Volume
from ldmd.planner import macs
from ldmd.planner.policies import COUNTS_LIMIT
from ldmd.xmlif.resources import CONSOLE, LISTED, REPEATED, RESOURCES, SINGLE, VOLUME, Resource, number
from ldmd.xmlif.tree import Element, parse

INTERFACE_MAJOR, DATA_MAJOR = "1", "3"
MEMORY_LIMIT = 1 << 50
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Item:
    """A resource of a document before it is understood."""

    element: Element
    resource: str
    keys: Mapping[str, Element]
    units: str | None
    address: str | None
    uuid: str | None

    def key(self, name: str) -> str:
        """A key that must be there."""
        if name not in self.keys:
            raise self.element.refusal("xml.missing", what=f"key {name}", element=f"resource {self.resource}")
        return self.keys[name].text

    def optional(self, name: str) -> str | None:
        """A key that may be there."""
        return self.keys[name].text if name in self.keys else None


@dataclass
class DomainDocument:
    """A domain as a document describes it. `fields`: of `Domain`; `properties`: of set-domain, by name, as text."""

    name: str
    element: Element
    uuid: str | None = None
    mac: int | None = None
    properties: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


# -- the frame


def read_documents(text: str) -> list[DomainDocument]:
    """The domains of a document: LDM_interface with data, or with cmd that holds data."""
    root = parse(text)
    if root.local != "LDM_interface":
        raise root.refusal("xml.element", element=root.name, expected="LDM_interface")
    check_version(root, "LDM_interface", INTERFACE_MAJOR)
    documents: list[DomainDocument] = []
    for child in root.children:
        if child.local == "cmd":
            _only(child, "action", "option", "data")
            blocks = list(child.each("data"))
        elif child.local == "data":
            blocks = [child]
        else:
            raise child.refusal("xml.element", element=child.name, expected="data, cmd")
        for block in blocks:
            documents += [read_domain(content) for content in contents(block)]
    names = [document.name for document in documents]
    for document in documents:
        if names.count(document.name) > 1:
            raise document.element.refusal("xml.twice", what=f"LDom {document.name}")
    return documents


def check_version(element: Element, what: str, major: str) -> None:
    """The version's first number must be the one that is known."""
    version = element.attribute("version")
    if version is None:
        raise element.refusal("xml.missing", what="version", element=element.name)
    if version.split(".")[0] != major:
        raise element.refusal("xml.version", version=version, what=what, known=f"{major}.x")


def _only(element: Element, *expected: str) -> None:
    for child in element.children:
        if child.local not in expected:
            raise child.refusal("xml.element", element=child.name, expected=", ".join(expected))
    if element.children and element.text.strip():
        raise element.refusal("xml.text", element=element.name)


def contents(data: Element) -> list[Element]:
    """The Content elements of a data element."""
    check_version(data, "data", DATA_MAJOR)
    _only(data, "Envelope", "response")
    found = []
    for envelope in data.each("Envelope"):
        _only(envelope, "References", "Content", "Section")
        found += list(envelope.each("Content"))
    return found


def items(parent: Element) -> list[Item]:
    """The resources of a Content or Envelope."""
    _only(parent, "Section", "References", "Content")
    found = []
    for section in parent.each("Section"):
        _only(section, "Item")
        found += [_item(each) for each in section.each("Item")]
    return found


_FIXED = ("OtherResourceType", "AllocationUnits", "Address", "uuid", "GenericProperty", "Binding")


def _item(element: Element) -> Item:
    _only(element, *_FIXED)
    fixed: dict[str, Element] = {}
    keys: dict[str, Element] = {}
    for child in element.children:
        name = child.local
        if name == "Binding":  # what it was given: of a list of bindings, not ours to read
            continue
        into = keys if name == "GenericProperty" else fixed
        if name == "GenericProperty":
            name = child.attribute("key") or ""
            if not name:
                raise child.refusal("xml.missing", what="key", element=child.name)
        if name in into:
            raise child.refusal("xml.twice", what=name)
        if child.children:
            raise child.children[0].refusal("xml.element", element=child.children[0].name, expected="text")
        into[name] = child
    if "OtherResourceType" not in fixed:
        raise element.refusal("xml.missing", what="OtherResourceType", element=element.name)
    texts = {name: child.text.strip() for name, child in fixed.items()}
    return Item(element, texts["OtherResourceType"], keys, texts.get("AllocationUnits"), texts.get("Address"),
                texts.get("uuid"))  # fmt: skip


# -- a domain


def read_domain(content: Element) -> DomainDocument:
    """The domain of a Content element."""
    name = content.attribute("id")
    if not name:
        raise content.refusal("xml.missing", what="id", element=content.name)
    document = DomainDocument(name, content)
    seen: set[str] = set()
    for each in items(content):
        if each.resource not in RESOURCES:
            raise each.element.refusal("xml.resource", name=each.resource, known=", ".join(RESOURCES))
        if each.resource in seen and each.resource not in REPEATED:
            raise each.element.refusal("xml.twice", what=f"resource {each.resource}")
        seen.add(each.resource)
        _check_keys(each)
        try:
            _take(document, each)
        except RefusedError as error:
            if error.code.startswith("xml."):
                raise
            raise each.element.refusal("xml.value", what=each.resource, problem=str(error)) from None
    return document


def _check_keys(each: Item) -> None:
    if each.resource in SINGLE:
        known = SINGLE[each.resource]
    else:
        resource = _resource(each.resource)
        known = tuple(row.key for row in resource.keys) + (("service_name",) if resource is VOLUME else ())
    for key, element in each.keys.items():
        if key not in known:
            raise element.refusal("xml.key", key=key, name=each.resource, known=", ".join(known) or "none")


def _resource(name: str) -> Resource:
    return LISTED[name][0] if name in LISTED else VOLUME if name == VOLUME.name else CONSOLE


def _take(document: DomainDocument, each: Item) -> None:
    fields = document.fields
    if each.resource in LISTED:
        resource, where = LISTED[each.resource]
        fields[where] = (*fields.get(where, ()), _object(resource, each))
    elif each.resource == CONSOLE.name:
        fields["vcons"] = Vcons(**_values(CONSOLE, each))
    elif each.resource == VOLUME.name:
        _volume(document, each)
    else:
        _SINGLE[each.resource](document, each)


def _values(resource: Resource, each: Item) -> dict[str, Any]:
    for row in resource.keys:
        if row.needed and row.key not in each.keys and resource is not CONSOLE:
            raise each.element.refusal("xml.missing", what=f"key {row.key}", element=f"resource {each.resource}")
    values = {}
    for key, element in each.keys.items():
        found = resource.find(key)
        if found is None:  # a volume's service_name
            continue
        try:
            values[found.field] = found.read(element.text)
        except RefusedError as error:
            raise element.refusal("xml.value", what=f"{resource.name} {key}", problem=str(error)) from None
    return values


def _object(resource: Resource, each: Item) -> Any:
    values = _values(resource, each)
    if resource.address:  # None until one is chosen: the model has a number, 0 is no address
        values["mac"] = macs.parse_mac(each.address) if each.address else 0
        values["automatic_mac"] = not each.address or values["mac"] in macs.AUTOMATIC
    if "alt_macs" in values:
        values["automatic_alt_macs"] = tuple(mac for mac in values["alt_macs"] if mac in macs.AUTOMATIC)
    return resource.kind(**values)


def _volume(document: DomainDocument, each: Item) -> None:
    service = each.key("service_name")
    volume = Volume(**_values(VOLUME, each))
    servers = list(document.fields.get("disk_servers", ()))
    for place, server in enumerate(servers):
        if server.name == service:
            if server.volume(volume.name) is not None:
                raise each.element.refusal("xml.twice", what=f"volume {volume.name}@{service}")
            servers[place] = replace(server, volumes=(*server.volumes, volume))
            document.fields["disk_servers"] = tuple(servers)
            return
    raise each.element.refusal("xml.missing", what=f"resource vds {service}", element="the resources before this one")


def _info(document: DomainDocument, each: Item) -> None:
    document.mac = macs.parse_mac(each.address) if each.address else None
    if each.uuid:
        if _UUID.fullmatch(each.uuid) is None:
            raise each.element.refusal("xml.value", what="uuid", problem=each.uuid)
        document.uuid = each.uuid.lower()
    document.properties = {key: element.text for key, element in each.keys.items()}


def _cpu(document: DomainDocument, each: Item) -> None:
    vcpus = number(each.units or "", most=COUNTS_LIMIT)
    cores = number(each.optional("wcore") or "0", most=COUNTS_LIMIT)
    limit, cids = each.optional("max-cores"), each.optional("cid")
    most = None if limit in (None, "", "unlimited") else number(limit or "", least=1, most=COUNTS_LIMIT)
    named = tuple(number(text, most=COUNTS_LIMIT) for text in cids.split(",")) if cids else ()
    if len(set(named)) != len(named):
        raise each.element.refusal("xml.twice", what="a core in cid")
    document.fields["cpus"] = Cpus(vcpus=vcpus, whole_core=bool(cores or named or most), cores=cores, cids=named,
                                   max_cores=most)  # fmt: skip


def _size(text: str, each: Item) -> int:
    try:
        size = parse_size(text)
    except UnitError as error:
        raise each.element.refusal("xml.value", what="memory", problem=str(error)) from None
    if size > MEMORY_LIMIT:
        raise each.element.refusal("xml.value", what="memory", problem=text)
    return size


def _memory(document: DomainDocument, each: Item) -> None:
    blocks = []
    for text in filter(None, (each.optional("mblock") or "").split(",")):
        address, colon, size = text.partition(":")
        if not colon or re.fullmatch(r"0x[0-9a-fA-F]{1,13}", address) is None:
            raise each.element.refusal("xml.value", what="mblock", problem=text)
        blocks.append((int(address, 16), _size(size, each)))
    total = _size(each.units or "0", each)
    document.fields["memory"] = MemoryAmount(size_bytes=total, mblocks=tuple(blocks))


def _crypto(document: DomainDocument, each: Item) -> None:
    document.fields["crypto"] = number(each.units or "", most=COUNTS_LIMIT)


def _physio(document: DomainDocument, each: Item) -> None:
    name, removed = each.key("name"), each.optional("removed") or ""
    if removed not in ("", "yes"):
        raise each.element.refusal("xml.value", what="physio_device removed", problem=removed)
    where = "io_without" if removed else "io"
    before = document.fields.get(where, ())
    if name in before or not name:
        raise each.element.refusal("xml.twice", what=f"physio_device {name}")
    document.fields[where] = (*before, name)


def _variable(document: DomainDocument, each: Item) -> None:
    name, before = each.key("name"), document.fields.get("variables", ())
    if name in dict(before) or not name:
        raise each.element.refusal("xml.twice", what=f"var {name}")
    document.fields["variables"] = (*before, (name, each.optional("value") or ""))


def _vds(document: DomainDocument, each: Item) -> None:
    server = DiskServer(name=VOLUME_SERVICE(each.key("service_name")))
    document.fields["disk_servers"] = (*document.fields.get("disk_servers", ()), server)


VOLUME_SERVICE = next(row.read for row in LISTED["disk"][0].keys if row.key == "service_name")
_SINGLE = {"ldom_info": _info, "cpu": _cpu, "memory": _memory, "mau": _crypto, "physio_device": _physio,
           "var": _variable, "vds": _vds}  # fmt: skip
