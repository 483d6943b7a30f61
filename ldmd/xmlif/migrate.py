"""The action migrate-domain: two Contents, the second with where the domain goes, become the command's arguments.

Facts: Administration Guide 3.2, "Domain Migration" (XML): the first Content names the domain, the second the domain
there; its ldom_info has the keys target, username and password, the last two in base64. Options are the command's own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ldmd.xmlif.read import Item, contents, items
from ldmd.xmlif.tree import Element

ACTION = "migrate-domain"
OPTIONS: Mapping[str, str] = {"-f": "force", "-n": "dry_run", "-c": "certificates"}
KEYS = ("target", "username", "password")


def arguments_of(data: Element) -> dict[str, Any]:
    """`domain`, `target` and `password` (where there is one) of a data element. Raises RefusedError xml."""
    found = contents(data)
    if len(found) != 2:
        raise data.refusal("xml.missing", what="two Content elements, of the domain here and there", element=data.name)
    name, there = (each.attribute("id") for each in found)
    if not name or not there:
        raise found[bool(name)].refusal("xml.missing", what="id", element="Content")
    if stray := items(found[0]):
        raise stray[0].element.refusal("xml.resource", name=stray[0].resource, known="none in the first Content")
    info = _info(found[1])
    host, user, password = info.key("target").strip(), _decoded(info, "username"), _decoded(info, "password")
    if not host or "@" in host:
        raise info.keys["target"].refusal("xml.value", what="target", problem="that is no name of a host")
    host = f"[{host}]" if ":" in host else host
    target = (f"{user}@" if user is not None else "") + host + (f":{there}" if there != name else "")
    return {"domain": name, "target": target} | ({"password": password} if password is not None else {})


def forget_passwords(element: Element) -> None:
    """The response is the request's document: it does not repeat a password, whatever became of the request."""
    if element.local == "GenericProperty" and element.attribute("key") == "password":
        element.text = ""
    for child in element.children:
        forget_passwords(child)


def _info(content: Element) -> Item:
    found = items(content)
    for each in found:
        if each.resource != "ldom_info":
            raise each.element.refusal("xml.resource", name=each.resource, known="ldom_info")
    if len(found) != 1:
        what = "resource ldom_info"
        raise content.refusal("xml.twice" if found else "xml.missing", what=what, element=content.name)
    for key, element in found[0].keys.items():
        if key not in KEYS:
            raise element.refusal("xml.key", key=key, name="ldom_info", known=", ".join(KEYS))
    return found[0]


def _decoded(info: Item, key: str) -> str | None:
    """What stands there in base64, which is never said again: it may be the password."""
    element = info.keys.get(key)
    if element is None:
        return None
    try:
        text = base64.b64decode("".join(element.text.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise element.refusal("xml.value", what=key, problem="that is no text in base64") from None
    if not text or not text.isprintable():
        raise element.refusal("xml.value", what=key, problem="printable letters expected, in base64")
    return text
