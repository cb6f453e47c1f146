from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import pytest

from bertkit.core.errors import InputError
from bertkit.core.records import from_json


class Size(TypedDict):
    bytes: int


@dataclass(frozen=True)
class Part:
    name: str
    share: float = 0.5


@dataclass(frozen=True)
class Whole:
    count: int
    parts: list[Part]
    sizes: dict[str, Size]
    options: dict[str, Any] = field(default_factory=dict)
    near: int | None = None
    last: Part | None = None


WHOLE: dict[str, Any] = {"count": 2, "parts": [{"name": "a", "share": 1}], "sizes": {"a.npy": {"bytes": 3}}}


def test_what_was_written_is_read_back():
    whole = Whole(2, [Part("a"), Part("b", 1.0)], {"a.npy": {"bytes": 3}}, {"x": [1, None]}, 4, Part("c"))
    assert from_json(Whole, asdict(whole)) == whole


def test_what_has_a_default_may_be_missing():
    assert from_json(Whole, WHOLE) == Whole(2, [Part("a", 1)], {"a.npy": {"bytes": 3}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "2"}, "count is a text, not a whole number"),
        ({"count": True}, "count is true or false, not a whole number"),
        ({"count": None}, "count is null, not a whole number"),
        ({"parts": {}}, "parts is an object, not a list"),
        ({"parts": [{"name": "a"}, {}]}, r"parts\[1\].name is missing"),
        ({"parts": [{"name": "a", "share": "b"}]}, r"parts\[0\].share is a text, not a number"),
        ({"sizes": {"a.npy": {}}}, "sizes.a.npy.bytes is missing"),
        ({"near": 1.5}, "near is a number, not a whole number"),
        ({"last": []}, "last is a list, not an object"),
        ({"more": 1}, "more is unknown"),
    ],
)
def test_the_entry_that_is_wrong_is_named(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=f"^{message}$"):
        from_json(Whole, WHOLE | change)


def test_a_value_that_is_no_object_is_named():
    with pytest.raises(InputError, match=r"^it is a list, not an object$"):
        from_json(Whole, [])
