"""Dataclasses read back from JSON, with errors that name the entry.

Not by msgspec or cattrs: msgspec lets unknown entries of a dataclass pass and names no keys of dictionaries, cattrs
reads an object as an empty list.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from bertkit.core.errors import InputError

RecordT = TypeVar("RecordT")

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def from_json(kind: type[RecordT], value: Any) -> RecordT:
    """`value` as the dataclass `kind`, nested ones, lists, dictionaries and `None` as its annotations say.

    Raises `InputError` naming the entry that is missing, unknown or of another type.
    """
    record: RecordT = _read(kind, value, "")
    return record


def _read(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (other,) = (each for each in arguments if each is not NoneType)
        return None if value is None else _read(other, value, place)
    if origin is list:
        items = _checked(list, value, place)
        return [_read(arguments[0], item, f"{place}[{number}]") for number, item in enumerate(items)]
    if origin is dict:
        entries = _checked(dict, value, place)
        return {name: _read(arguments[1], entry, _entry(place, name)) for name, entry in entries.items()}
    if is_typeddict(kind):
        return _read_entries(kind, value, place, kind.__required_keys__)
    if hasattr(kind, "__dataclass_fields__"):
        required = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
        return kind(**_read_entries(kind, value, place, required))
    return _checked(kind, value, place)


def _read_entries(kind: Any, value: Any, place: str, required: set[str] | frozenset[str]) -> dict[str, Any]:
    entries, hints = _checked(dict, value, place), get_type_hints(kind)
    for names, what in ((required - entries.keys(), "is missing"), (entries.keys() - hints.keys(), "is unknown")):
        if names:
            raise InputError(f"{_entry(place, min(names))} {what}")
    return {name: _read(hints[name], entry, _entry(place, name)) for name, entry in entries.items()}


def _checked(kind: type, value: Any, place: str) -> Any:
    found = type(value)  # not `isinstance`: True is no number
    if found is not kind and (found, kind) != (int, float):
        raise InputError(f"{place or 'it'} is {_NAMES.get(found, 'null')}, not {_NAMES[kind]}")
    return value


def _entry(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
