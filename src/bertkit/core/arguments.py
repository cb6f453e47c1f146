"""Arguments of public functions and options checked by their annotations, so that a wrong one is an `InputError`."""

from __future__ import annotations

import difflib
import inspect
import numbers
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bertkit.core.errors import InputError

_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

CheckedT = TypeVar("CheckedT", bound=Callable[..., Any])


def checked(target: CheckedT) -> CheckedT:
    """A function, or a dataclass of options, whose calls raise `InputError` for arguments of other types.

    Only annotations of plain types, literals and classes are looked at, and only of what differs from the default.
    Numbers of NumPy count as Python's. An unknown name is answered with the nearest that there is.
    """
    if not isinstance(target, type):
        names = target.__globals__
        return _checking(target, target.__name__, lambda name: (target.__annotations__[name], names))  # type: ignore[return-value]
    made = vars(target)["__init__"]
    setattr(target, "__init__", _checking(made, target.__name__, lambda name: _of_field(target, name)))  # noqa: B010
    return target


def _of_field(kind: type, name: str) -> tuple[Any, dict[str, Any]]:
    """The annotation of a dataclass's field, and the names that it may use."""
    owner = next(each for each in kind.__mro__ if name in inspect.get_annotations(each))
    return inspect.get_annotations(owner)[name], vars(sys.modules[owner.__module__])


def _checking(
    function: Callable[..., Any], called: str, annotation: Callable[[str], tuple[Any, dict[str, Any]]]
) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @lru_cache
    def hint(name: str) -> Any:
        given, names = annotation(name)
        try:  # one at a time: others may need modules that are slow to load
            return get_type_hints(SimpleNamespace(__annotations__={name: given}), names, include_extras=True)[name]
        except (NameError, AttributeError):  # known to a type checker alone
            return Any

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            bound = signature.bind(*arguments, **options)
        except TypeError as error:
            raise InputError(_misnamed(called, signature, options, error)) from None
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if (
                parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
                or parameter.annotation is parameter.empty
            ):
                continue
            if value is not parameter.default and not _fits(hint(name), value):
                raise InputError(f"{name} must be {_words(hint(name))}, got {_shown(value)}")
        return function(*arguments, **options)

    return call


def _misnamed(called: str, signature: inspect.Signature, options: Mapping[str, Any], error: TypeError) -> str:
    unknown = next((name for name in options if name not in signature.parameters), None)
    if unknown is None:
        return f"{called}: {error}"
    near = difflib.get_close_matches(unknown, signature.parameters, 1, 0.5)
    known = ", ".join(name for name in signature.parameters if name != "self")
    return f"{called} has no option {unknown!r}: {f'did you mean {near[0]}?' if near else f'there are {known}'}"


_MOST = 64
"""Items of a list that are looked at."""


def _fits(hint: Any, value: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Annotated:
        return _fits(arguments[0], value)
    if origin in (Union, UnionType):
        return any(_fits(each, value) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) for each in arguments)  # who takes it knows the names
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if hint is bool:
        return type(value).__name__ in ("bool", "bool_")
    if hint is Path:
        return isinstance(value, os.PathLike)
    if origin in (tuple, list, Sequence, Collection):
        # Arrays and columns are as good as lists where a list is not asked for by name.
        if isinstance(value, str | bytes | Mapping) or not (
            isinstance(value, origin) or (origin in (Sequence, Collection) and isinstance(value, Iterable))
        ):
            return False
        several = origin is not tuple or arguments[-1:] == (Ellipsis,)
        return (
            not several
            or not isinstance(value, tuple | list)
            or all(_fits(arguments[0], each) for each in value[:_MOST])
        )
    if isinstance(origin, type):
        return isinstance(value, origin)
    return isinstance(value, hint) if isinstance(hint, type) and not getattr(hint, "_is_protocol", False) else True


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    NoneType: "None",
    Path: "a path",
}


def _words(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _words(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(each) for each in arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (tuple, list, Sequence, Collection):
        return "a tuple" if origin is tuple else "a list"
    return _NAMES.get(hint) or str(getattr(origin or hint, "__name__", hint))


def _shown(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 40 else f"{shown[:39]}…"
