"""Domains from XML and to XML: list-constraints -x, add-domain -i and its like, init-system (ldm(1M) of 3.3)."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

from ldmd.messages import refuse
from ldmd.model import PRIMARY, Configuration
from ldmd.operations.arguments import Arguments
from ldmd.operations.context import Context
from ldmd.operations.macs import claim_macs
from ldmd.operations.registry import OPERATIONS, operation
from ldmd.operations.targets import begun, check_not_frozen, foreseen
from ldmd.planner.macs import format_mac
from ldmd.planner.naming import find_domain
from ldmd.xmlif.admit import addresses_needed, admit, check_factory, system_plan
from ldmd.xmlif.export import export, info_keys
from ldmd.xmlif.read import DomainDocument, read_documents


@operation("export-domain", write=False)
def export_domain(context: Context, arguments: Arguments) -> Any:
    """domains; none: all. The document, as text."""
    names = arguments.texts("domains") or tuple(domain.name for domain in context.configuration.domains)
    return export([find_domain(context.configuration, name) for name in dict.fromkeys(names)])


def _new_uuid(context: Context) -> str:
    return str(uuid.UUID(int=context.rng.getrandbits(128), version=4))


def _read(text: str) -> list[DomainDocument]:
    documents = read_documents(text)
    if not documents:
        refuse("xml.no-domain")
    return documents


def _given(documents: list[DomainDocument], context: Context) -> None:
    """Addresses that the documents name must be nobody else's on the network."""
    named = {document.mac for document in documents if document.mac is not None and document.name != PRIMARY}
    for document in documents:
        for vnet in document.fields.get("vnets", ()):
            named |= {mac for mac in (vnet.mac, *vnet.alt_macs) if mac}
        named |= {switch.mac for switch in document.fields.get("switches", ()) if switch.mac}
    for mac in sorted(context.macs_elsewhere(named)) if named else ():
        refuse("network.mac-elsewhere", mac=format_mac(mac))


def _admitted(context: Context, documents: list[DomainDocument]) -> Configuration:
    check_not_frozen(context)
    admit(context.configuration, documents, spare=_placeholders(documents), new_uuid=_rehearsed())
    _given(documents, context)
    spare = claim_macs(context, addresses_needed(documents))
    return admit(context.configuration, documents, spare=spare, new_uuid=lambda: _new_uuid(context))


def _rehearsed() -> Callable[[], str]:
    """Distinct words in place of uuids."""
    numbers = itertools.count()
    return lambda: f"#{next(numbers)}"


def _placeholders(documents: list[DomainDocument]) -> list[int]:
    """Addresses that nothing has, for a rehearsal before the network is asked."""
    return [-1 - number for number in range(addresses_needed(documents))]


def add_from_xml(context: Context, text: str) -> list[str]:
    """Add the domains of a document, inactive: all or none. Their names. For ``add-domain -i``."""
    documents = _read(text)
    context.commit(_admitted(context, documents))
    names = [document.name for document in documents]
    for name in names:
        context.emit("add-domain", domain=name)
    return names


def bind_from_xml(context: Context, text: str, *, start: bool = False) -> list[str]:
    """Add the one domain of a document, bind it, and perhaps start it; what was done is undone where it cannot be.

    For ``bind-domain -i`` and ``start-domain -i``. A domain that is there already must be as the document says.
    """
    documents = _read(text)
    if len(documents) != 1:
        refuse("xml.one-domain", count=len(documents))
    before = context.configuration
    name = documents[0].name
    if before.find(name) is None:
        context.commit(_admitted(context, documents))
    try:
        OPERATIONS["bind-domain"].function(context, Arguments({"domain": name}))
        if start:
            OPERATIONS["start-domain"].function(context, Arguments({"domains": [name]}))
    except Exception:
        _take_back(context, before, name)
        raise
    return [name]


def _take_back(context: Context, before: Configuration, name: str) -> None:
    """The domain as it was before, or gone; nothing else has changed meanwhile but by itself."""
    was, now = before.find(name), context.configuration.find(name)
    if now is None or now.state.value not in ("inactive", "bound"):
        return
    if was is None:
        context.commit(context.configuration.without_domain(name))
    elif was.binding is None and now.binding is not None:
        context.commit(context.configuration.with_domain(now.but(binding=None, state=was.state)))


def properties_from_xml(context: Context, text: str) -> tuple[str, dict[str, str]]:
    """(domain, properties that shall be others) of the ldom_info of a document, for ``set-domain -i``."""
    documents = _read(text)
    if len(documents) != 1:
        refuse("xml.one-domain", count=len(documents))
    (document,) = documents
    now = info_keys(find_domain(foreseen(context), document.name))
    return document.name, {key: value for key, value in document.properties.items() if now.get(key, "") != value}


@operation("init-system")
def init_system(context: Context, arguments: Arguments) -> Any:
    """xml, factory_check_off(-f), reboot(-r), services_only(-s).

    Services of the control domain and the guests (inactive) at once; the control domain's own resources with its
    reboot, for which -r asks.
    """
    documents, services_only = _read(arguments.document("xml")), arguments.flag("services_only")
    if not arguments.flag("factory_check_off"):
        check_factory(context.configuration)
    check_not_frozen(context)
    system_plan(context.configuration, documents, spare=_placeholders(documents), new_uuid=_rehearsed(),
                services_only=services_only)  # fmt: skip
    _given(documents, context)
    spare = claim_macs(context, addresses_needed(documents))
    new = system_plan(context.configuration, documents, spare=spare, new_uuid=lambda: _new_uuid(context),
                      services_only=services_only)  # fmt: skip
    begins = bool(new.pending) and not context.configuration.pending
    context.commit(new)
    for document in documents:
        if document.name != PRIMARY and not services_only:
            context.emit("add-domain", domain=document.name)
    if begins:
        begun(context, PRIMARY)
        if arguments.flag("reboot"):
            OPERATIONS["stop-domain"].function(context, Arguments({"domains": [PRIMARY], "reboot": True}))
