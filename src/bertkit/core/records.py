"""Records read back from JSON: typed and in their ranges, with errors that name the entry and its value.

A kind of record is a dataclass, a typed dictionary, or lists and dictionaries of them; a range is part of a type:
`Annotated[int, Meta(ge=1, le=1024)]`. msgspec converts and checks. What it leaves out is here: entries that a record
does not know, keys of dictionaries in errors, the value that is wrong, and both ends of a range.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NotRequired, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import msgspec.inspect
from msgspec import Meta

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json

RecordT = TypeVar("RecordT")

_NO_LIMIT = 2**53

Count = Annotated[int, Meta(ge=0, le=_NO_LIMIT)]
"""A whole number of things; more than 2^53 is no count of anything."""
Positive = Annotated[int, Meta(ge=1, le=_NO_LIMIT)]
"""At least one thing."""
Share = Annotated[float, Meta(ge=0, le=1)]
"""A part of one."""
Amount = Annotated[float, Meta(ge=0, le=1e300)]
"""Seconds, operations and the like: not negative, not infinite, not NaN."""
Figure = Annotated[float, Meta(ge=-1e300, le=1e300)]
"""Any finite number."""


_CHECKSUM = "checksum"
"""The last entry of a file of bertkit's own: SHA-256 of the others."""


def write_record(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write a record, such as `asdict` gives, with a checksum, whole or not at all."""
    write_json(path, {**value, _CHECKSUM: _checksum(value)})


def take_checksum(value: Any) -> str | None:
    """Take the checksum out of what `write_record` wrote; return what is wrong with the rest, None where it fits.

    A file without a checksum is of an older version.
    """
    if isinstance(value, dict) and _CHECKSUM in value and value.pop(_CHECKSUM) != _checksum(value):
        return "its checksum differs"
    return None


def read_record(path: str | Path, kind: type[RecordT], remedy: str) -> RecordT:
    """What `write_record` wrote, as `kind`.

    Raises `InputError` naming the file, the entry and its value, what is allowed, and the `remedy`.
    """
    try:
        value = read_json(path)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix(': write it again')}: {remedy}") from None
    damage = take_checksum(value)
    record = in_file(path, kind, value, remedy)
    if damage is not None:  # after the entries, whose errors say more
        raise InputError(f"{path} was changed since it was written ({damage}): {remedy}")
    return record


def read_foreign(path: str | Path, kind: type[RecordT], remedy: str) -> RecordT:
    """A file that others write too, as `kind`, which need not know all of its entries; errors as of `read_record`."""
    return in_file(path, kind, read_json(path), remedy, known_only=False)


def in_file(path: str | Path, kind: type[RecordT], value: Any, remedy: str, *, known_only: bool = True) -> RecordT:
    """`from_json` of a value that was read from a file, which its errors name with the `remedy`."""
    try:
        return from_json(kind, value, known_only=known_only)
    except InputError as error:
        raise InputError(f"{path}: {error}: {remedy}") from None


def _checksum(value: Mapping[str, Any]) -> str:
    # Through JSON and back, so that tuples and numbers as keys are what the file makes of them.
    plain = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def from_json(kind: type[RecordT], value: Any, *, known_only: bool = True) -> RecordT:
    """`value` as `kind`; raises `InputError` naming the entry that is missing, unknown, of another type or range."""
    try:
        record = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(_fault(kind, value, str(error))) from None
    except UnicodeEncodeError as error:  # a text where a number or a name of a few is asked for
        raise InputError(f"a text has a lone surrogate, {error.object[error.start]!a}, not valid Unicode") from None
    if known_only and (unknown := next(_unknown(value, msgspec.to_builtins(record), ""), None)):
        raise InputError(f"{unknown} is unknown")
    return record


_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


def _fault(kind: Any, value: Any, message: str) -> str:
    """What is wrong, from msgspec's message, which ends in a place such as `$.shards[2].files[...].bytes`."""
    what, _, steps = message.partition(" - at `$")
    place = ""
    for name, index, _any in _STEP.findall(steps):
        kind = _member(kind, "entry" if name else "item" if index else "value")
        if name:
            kind, value, place = _hints(kind)[name], value[name], _entry(place, name)
        elif index:
            kind, value, place = _item(kind, int(index)), value[int(index)], f"{place}[{index}]"
        else:
            kind = get_args(kind)[1]
            key = next(key for key, each in value.items() if not _fits(kind, each))
            value, place = value[key], _entry(place, key)
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", what):
        return f"{_entry(place, missing[1])} is missing"
    if re.match(r"Expected |Invalid enum|Integer value out", what):
        return f"{place or 'it'} is {_shown(value)}, not {_allowed(msgspec.inspect.type_info(kind))}"
    return f"{place}: {what}" if place else what  # of a `__post_init__`


def _hints(kind: Any) -> dict[str, Any]:
    """The types of a record's entries, whether they are required or not."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint)[0] if get_origin(hint) is NotRequired else hint for name, hint in hints.items()}


def _fits(kind: Any, value: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _member(kind: Any, role: str) -> Any:
    """Of the types that a value may have, the one with entries, items, or values by key."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for member in members:
        if get_origin(member) is Annotated:
            member = get_args(member)[0]  # noqa: PLW2901
        origin = get_origin(member)
        has = "item" if origin in (list, tuple, Sequence) else "value" if origin is not None else "entry"
        if role == has and (origin is not None or hasattr(member, "__annotations__")):
            return member
    raise AssertionError((kind, role))


def _item(kind: Any, index: int) -> Any:
    arguments = get_args(kind)
    return arguments[index] if get_origin(kind) is tuple and arguments[-1] is not Ellipsis else arguments[0]


def _entry(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


_LONGEST = 40


def _shown(value: Any) -> str:
    """A value in an error: an object or list by its kind, anything else as JSON, shortened."""
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else "a list"
    shown = json.dumps(value, ensure_ascii=False, default=repr)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


_WORDS = {
    msgspec.inspect.IntType: "a whole number",
    msgspec.inspect.FloatType: "a number",
    msgspec.inspect.StrType: "a text",
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.NoneType: "null",
    msgspec.inspect.ListType: "a list",
    msgspec.inspect.VarTupleType: "a list",
    msgspec.inspect.TupleType: "a list",
}


def _allowed(kind: msgspec.inspect.Type) -> str:
    """What a value of the type may be, in words."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return " or ".join(_allowed(each) for each in kind.types)
    if isinstance(kind, msgspec.inspect.LiteralType):
        return "one of " + ", ".join(json.dumps(value) for value in kind.values)
    word = _WORDS.get(type(kind), "an object")
    if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        word += _range(kind)
    if isinstance(kind, msgspec.inspect.TupleType):
        word += f" of {len(kind.item_types)}"
    if getattr(kind, "min_length", None):
        word += f" of at least {kind.min_length}"  # type: ignore[attr-defined]  # texts and lists have one
    return word


def _range(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    """The ends of a range; those that only keep out what no file means are not told."""
    low, high = kind.ge, kind.le
    if high is not None and high >= _NO_LIMIT:
        high = None
        if low is not None and low <= -_NO_LIMIT:
            return " that is finite"
    if low is not None and high is not None:
        return f" from {low} to {high}"
    ends = [("at least", low), ("above", kind.gt), ("at most", high), ("below", kind.lt)]
    given = [f"{word} {end}" for word, end in ends if end is not None]
    return f" {' and '.join(given)}" if given else ""


def _unknown(value: Any, known: Any, place: str) -> Iterator[str]:
    """Entries of `value` that what was read of it has not."""
    if isinstance(value, dict) and isinstance(known, dict):
        for name, entry in value.items():
            if name not in known:
                yield _entry(place, name)
            else:
                yield from _unknown(entry, known[name], _entry(place, name))
    elif isinstance(value, list) and isinstance(known, list | tuple):
        for index, (entry, its) in enumerate(zip(value, known, strict=True)):
            yield from _unknown(entry, its, f"{place}[{index}]")
