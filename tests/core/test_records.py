import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from bertkit.core.errors import InputError
from bertkit.core.records import Count, Figure, Share, from_json, read_foreign, read_record, write_record


class Size(TypedDict):
    bytes: Count


@dataclass(frozen=True)
class Part:
    name: str
    share: Share = 0.5


@dataclass(frozen=True)
class Whole:
    count: Annotated[int, Meta(ge=1, le=1024)]
    parts: list[Part]
    sizes: dict[str, Size]
    options: dict[str, Any] = field(default_factory=dict)
    near: int | None = None
    last: Part | None = None
    mode: Literal["fast", "slow"] = "fast"
    curve: dict[str, Sequence[Figure]] = field(default_factory=dict)
    pair: tuple[int, int] = (1, 2)


WHOLE: dict[str, Any] = {"count": 2, "parts": [{"name": "a", "share": 1}], "sizes": {"a.npy": {"bytes": 3}}}


def test_what_was_written_is_read_back():
    whole = Whole(2, [Part("a"), Part("b", 1.0)], {"a.npy": {"bytes": 3}}, {"x": [1, None]}, 4, Part("c"))
    assert from_json(Whole, asdict(whole)) == whole


def test_what_has_a_default_may_be_missing():
    assert from_json(Whole, WHOLE) == Whole(2, [Part("a", 1)], {"a.npy": {"bytes": 3}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": "2"}, 'count is "2", not a whole number from 1 to 1024'),
        ({"count": True}, "count is true, not a whole number from 1 to 1024"),
        ({"count": None}, "count is null, not a whole number from 1 to 1024"),
        ({"parts": {}}, "parts is an object, not a list"),
        ({"parts": [{"name": "a"}, {}]}, r"parts\[1\].name is missing"),
        ({"parts": [{"name": "a", "share": "b"}]}, r'parts\[0\].share is "b", not a number from 0 to 1'),
        ({"sizes": {"a.npy": {}}}, "sizes.a.npy.bytes is missing"),
        ({"near": 1.5}, "near is 1.5, not a whole number or null"),
        ({"last": []}, "last is a list, not an object or null"),
        ({"more": 1}, "more is unknown"),
        ({"count": 10**30}, "count is 1000000000000000000000000000000, not a whole number from 1 to 1024"),
        ({"count": 1e30}, r"count is 1e\+30, not a whole number from 1 to 1024"),
        ({"parts": [{"name": "a", "share": float("nan")}]}, r"parts\[0\].share is NaN, not a number from 0 to 1"),
        ({"sizes": {"a": {"bytes": 1}, "b": {"bytes": -1}}}, "sizes.b.bytes is -1, not a whole number at least 0"),
        ({"sizes": {"a": {"bytes": 1, "c": 2}}}, "sizes.a.c is unknown"),
        ({"mode": "z" * 60}, f'mode is "{"z" * 38}…, not one of "fast", "slow"'),
        ({"curve": {"a": [1, float("inf")]}}, r"curve.a\[1\] is Infinity, not a number that is finite"),
        ({"pair": [1]}, "pair is a list, not a list of 2"),
        ({"pair": [1, "2"]}, r'pair\[1\] is "2", not a whole number'),
    ],
)
def test_the_entry_that_is_wrong_is_named(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=f"^{message}$"):
        from_json(Whole, WHOLE | change)


def test_a_value_that_is_no_object_is_named():
    with pytest.raises(InputError, match=r"^it is a list, not an object$"):
        from_json(Whole, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(list(Whole.__dataclass_fields__)), value=JSON)
def test_any_value_of_any_entry_is_read_or_refused_in_one_line(name: str, value: Any):
    try:
        from_json(Whole, WHOLE | {name: value})
    except InputError as error:
        assert str(error).startswith(name)
        assert len(str(error)) < 200


@given(value=JSON)
def test_any_value_in_the_place_of_a_record_is_refused_in_one_line(value: Any):
    with pytest.raises(InputError):
        from_json(Whole, value)


class TestFiles:
    def test_what_was_written_is_read_back_and_a_change_is_noticed(self, tmp_path: Path):
        path, whole = tmp_path / "whole.json", Whole(**WHOLE | {"parts": [Part("a")]})
        write_record(path, asdict(whole))
        assert read_record(path, Whole, "write it again") == whole
        path.write_text(path.read_text().replace('"count": 2', '"count": 3'))
        with pytest.raises(InputError, match=r"whole.json was changed since it was written .*: write it again$"):
            read_record(path, Whole, "write it again")

    def test_every_single_bit_of_a_record_that_flips_is_noticed(self, tmp_path: Path):
        path, part = tmp_path / "part.json", Part("a", 0.25)
        write_record(path, asdict(part))
        content = path.read_bytes()
        for place in range(8 * len(content)):
            damaged = bytearray(content)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            try:
                found = read_record(path, Part, "write it again")
            except InputError:
                continue
            assert found == part  # white space of another kind

    def test_what_has_no_checksum_is_checked_by_its_entries(self, tmp_path: Path):
        path = tmp_path / "whole.json"
        path.write_text(json.dumps(WHOLE | {"count": 0}))
        with pytest.raises(InputError, match=r"whole.json: count is 0, not a whole number .*: remove it$"):
            read_record(path, Whole, "remove it")

    def test_a_foreign_file_may_have_more_entries(self, tmp_path: Path):
        path = tmp_path / "part.json"
        path.write_text('{"name": "a", "more": []}')
        assert read_foreign(path, Part, "mend it") == Part("a")
        with pytest.raises(InputError, match="more is unknown: mend it"):
            read_record(path, Part, "mend it")

    @pytest.mark.parametrize("content", [b"[" * 100_000, b"9" * 6000, b"\xff", b"{", b"", b"\xef\xbb\xbf{}"])
    def test_what_is_no_json_is_one_line(self, tmp_path: Path, content: bytes):
        path = tmp_path / "part.json"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"part\.json is (not valid JSON|nested too deeply).*: mend it$") as error:
            read_record(path, Part, "mend it")
        assert "\n" not in str(error.value)

    def test_a_file_that_cannot_be_opened_is_one_line(self, tmp_path: Path):
        for path, what in (
            (tmp_path, "Is a directory"),
            (tmp_path / "none", "does not exist"),
            (tmp_path / ("n" * 300), "File name too long"),
        ):
            with pytest.raises(InputError, match=what):
                read_foreign(path, Part, "mend it")


@pytest.mark.parametrize("value", ["\ud800", "1\udfff", "fast\ud800"])
def test_a_lone_surrogate_is_named(value: str):
    for name in ("count", "mode", "near"):
        with pytest.raises(InputError, match=r"count|mode|near|lone surrogate"):
            from_json(Whole, {**WHOLE, name: value})
