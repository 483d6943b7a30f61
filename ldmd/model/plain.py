"""Model to plain data and back: dicts, lists, numbers, strings, None. For the store (JSON) and the wire (msgpack).

Reading is strict: a field that is unknown, missing without a default, or of another type than its annotation says,
raises `PlainError` with the path to it. What comes from a file or a peer is checked by this alone, for its shape;
whether it makes sense is the planner's to say.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class PlainError(ValueError):
    """Data that do not have the shape of the model: where, and what is wrong."""


def to_plain(value: Any) -> Any:
    """Plain data of a model object. Fields that have their default are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {}
        for field in dataclasses.fields(value):
            content = getattr(value, field.name)
            if field.default is dataclasses.MISSING or content != field.default:
                plain[field.name] = to_plain(content)
        return plain
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    return value


def from_plain(kind: type[T], data: Any, where: str = "") -> T:
    """The model object of type `kind`. Raises PlainError."""
    return typing.cast(T, _read(kind, data, where or kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_union(kind, data, where)
    if origin is tuple:
        return _read_tuple(typing.get_args(kind), data, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _read_object(kind, data, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            raise PlainError(f"{where}: {data!r} is none of {', '.join(str(m.value) for m in kind)}") from None
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind:
        raise PlainError(f"{where}: {_name(kind)} expected, not {type(data).__name__}")
    return data


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def _read_union(kind: Any, data: Any, where: str) -> Any:
    choices = typing.get_args(kind)
    if data is None and type(None) in choices:
        return None
    return _read(next(each for each in choices if each is not type(None)), data, where)


def _read_tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise PlainError(f"{where}: a list expected, not {type(data).__name__}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_read(arguments[0], each, f"{where}[{n}]") for n, each in enumerate(data))
    if len(data) != len(arguments):
        raise PlainError(f"{where}: {len(arguments)} elements expected, not {len(data)}")
    return tuple(_read(kind, each, f"{where}[{n}]") for n, (kind, each) in enumerate(zip(arguments, data, strict=True)))


def _read_object(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise PlainError(f"{where}: a table expected, not {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in data:
        if key not in fields:
            raise PlainError(f"{where}: unknown field {key!r}")
    hints = _hints(kind)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _read(hints[name], data[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING:
            raise PlainError(f"{where}: field {name!r} is missing")
    return kind(**values)
