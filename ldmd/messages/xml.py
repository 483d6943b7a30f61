"""Messages about XML documents. Lines and columns count from 1."""

from __future__ import annotations

from ldmd.messages.table import Message

_PLACE = "line {line}, column {column}"
TABLE = (
    Message("xml.malformed", "The XML is malformed: " + _PLACE + ": {problem}", "", "correct the document there"),
    Message("xml.size", "The XML is too large", "a document has at most {limit} bytes"),
    Message("xml.limit", "The XML is too large: " + _PLACE,
            "a document has at most {elements} elements, nested at most {depth} deep"),
    Message("xml.doctype", "The XML has a document type declaration: " + _PLACE, "",
            "leave it out: entities and DTDs are not read"),
    Message("xml.character", "A value has the character {character}, which XML cannot hold", "",
            "remove it from the value"),
    Message("xml.element", "The XML has an unexpected element {element}: " + _PLACE, "", "expected: {expected}"),
    Message("xml.text", "The XML has text where none belongs, in {element}: " + _PLACE),
    Message("xml.missing", "The XML lacks {what} in {element}: " + _PLACE),
    Message("xml.version", "The XML is of version {version} of {what}: " + _PLACE, "", "known: {known}"),
    Message("xml.resource", "The XML has an unknown resource {name}: " + _PLACE, "", "known: {known}"),
    Message("xml.key", "The XML has an unknown key {key} in resource {name}: " + _PLACE, "", "known: {known}"),
    Message("xml.twice", "The XML has {what} twice: " + _PLACE),
    Message("xml.value", "The XML has a wrong value of {what}: " + _PLACE + ": {problem}"),
    Message("xml.no-domain", "The XML describes no domain", "", "it needs a Content element with an id"),
    Message("xml.one-domain", "The XML describes {count} domains, not one", "", "use `ldm init-system` for several"),
    Message("xml.name", "The XML is about LDom {found}, not {name}"),
    Message("xml.action", "{action} is not an action of the XML interface", "", "aliases are not accepted"),
    Message("xml.some", "The request was not carried out wholly", "", "the responses inside say what was refused"),
    Message("xml.no-events", "Events cannot be registered here", "", "`ldm monitor` shows them"),
    Message("xml.control", "LDom {name} cannot be made from XML", "it is there always",
            "`ldm init-system -i FILE` sets up the control domain"),
    Message("init.not-factory", "The system is not in the factory-default configuration",
            "{problem}", "load factory-default and power cycle, or use -f"),
)  # fmt: skip
