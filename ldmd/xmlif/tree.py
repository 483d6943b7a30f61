"""Elements of a document, with where they stand; a reader that is strict and bounded, and a writer.

A document type declaration is refused, and with it all entities but XML's own five. Sizes, depth and the number of
elements are limited, so that nothing a peer sends costs more than its own length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from ldmd.messages import RefusedError, message

SIZE_LIMIT = 8 << 20
DEPTH_LIMIT = 32
ELEMENTS_LIMIT = 200_000
TEXT_LIMIT = 1 << 20
ATTRIBUTES_LIMIT = 32
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Element:
    """`name` has its prefix, as ``rasd:Address``; `text` is what stands directly inside, children left out."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""
    line: int = 0
    column: int = 0

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    def attribute(self, local: str) -> str | None:
        """An attribute by its name without prefix."""
        return next((value for name, value in self.attributes.items() if name.rpartition(":")[2] == local), None)

    def each(self, *locals_: str) -> Iterator[Element]:
        """Children of these names (without prefix)."""
        return (child for child in self.children if child.local in locals_)

    def first(self, local: str) -> Element | None:
        """The first child of that name."""
        return next(self.each(local), None)

    def add(self, name: str, text: str = "", /, **attributes: str) -> Element:
        """A new child. Attributes have ``_`` for ``:``."""
        child = Element(name, {key.replace("_", ":"): value for key, value in attributes.items()}, text=text)
        self.children.append(child)
        return child

    def refusal(self, code: str, **values: object) -> RefusedError:
        """A refusal that says where the element stands."""
        return message(code, line=self.line, column=self.column, **values)


class _Builder:
    """Handlers of the parser."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self._parser = parser
        self._open: list[Element] = []
        self._count = 0
        self.root: Element | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        element = Element(name, attributes, line=line, column=column)
        if self._count > ELEMENTS_LIMIT or len(self._open) >= DEPTH_LIMIT or len(attributes) > ATTRIBUTES_LIMIT:
            raise element.refusal("xml.limit", elements=ELEMENTS_LIMIT, depth=DEPTH_LIMIT)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        if self._open:
            top = self._open[-1]
            if len(top.text) + len(data) > TEXT_LIMIT:
                raise top.refusal("xml.limit", elements=ELEMENTS_LIMIT, depth=DEPTH_LIMIT)
            top.text += data

    def doctype(self, *_: object) -> None:
        raise message("xml.doctype", line=self._parser.CurrentLineNumber, column=self._parser.CurrentColumnNumber + 1)


def parse(text: str) -> Element:
    """The root element of a document. Raises RefusedError with line and column."""
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise message("xml.malformed", line=line, column=1, problem="not a character") from None
    if len(data) > SIZE_LIMIT:
        raise message("xml.size", limit=SIZE_LIMIT)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    builder = _Builder(parser)
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code) or "not well-formed"
        raise message("xml.malformed", line=error.lineno, column=error.offset + 1, problem=problem) from None
    if builder.root is None:
        raise message("xml.malformed", line=1, column=1, problem="no element found")
    return builder.root


# -- writing


def to_text(root: Element) -> str:
    """The document, indented by two; text inside elements is exact."""
    lines = ['<?xml version="1.0"?>']
    _write(root, 0, lines)
    return "\n".join(lines) + "\n"


def _write(element: Element, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    head = element.name + "".join(f' {name}="{_quote(value)}"' for name, value in element.attributes.items())
    if element.children:
        lines.append(f"{pad}<{head}>")
        for child in element.children:
            _write(child, depth + 1, lines)
        lines.append(f"{pad}</{element.name}>")
    elif element.text:
        lines.append(f"{pad}<{head}>{_quote(element.text)}</{element.name}>")
    else:
        lines.append(f"{pad}<{head}/>")


_QUOTED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}


def _quote(text: str) -> str:
    bad = _UNWRITABLE.search(text)
    if bad is not None:
        raise message("xml.character", character=f"{ord(bad[0]):#x}")
    return re.sub('[&<>"\r]', lambda found: _QUOTED[found[0]], text)
