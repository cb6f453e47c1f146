import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.reports.evaluation.evaluated import Span, marked

TEXT = "Peter Blackburn left Brussels for New York Times Square"
PETER, BRUSSELS = Span(0, 15, "PER"), Span(21, 29, "LOC")


def said(found: list[Span], wanted: list[Span]) -> list[tuple[str, str, str]]:
    return [(piece.text, piece.kind, piece.label) for piece in marked(TEXT, found, wanted) if piece.kind]


def test_what_both_have_is_right_and_the_rest_is_wrong_or_missed():
    assert said([PETER, Span(16, 20, "ORG")], [PETER, BRUSSELS]) == [
        ("Peter Blackburn", "right", "PER"),
        ("left", "wrong", "ORG"),
        ("Brussels", "missed", "LOC"),
    ]


def test_another_end_is_right_in_part_and_another_label_is_wrong():
    assert said([Span(34, 42, "LOC")], [Span(34, 48, "LOC")]) == [
        ("New York", "partly", "LOC"),
        (" Times", "missed", "LOC"),
    ]
    assert said([Span(21, 29, "ORG")], [BRUSSELS]) == [("Brussels", "wrong", "ORG, is LOC")]


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    places = sorted(draw(st.lists(st.integers(0, len(TEXT)), max_size=8, unique=True)))
    labels = st.sampled_from(["LOC", "PER"])
    return [Span(first, last, draw(labels)) for first, last in zip(places[::2], places[1::2], strict=False)]


@given(found=spans(), wanted=spans())
def test_no_character_is_lost_and_colours_cover_what_the_spans_do(found: list[Span], wanted: list[Span]):
    pieces = marked(TEXT, found, wanted)
    assert "".join(piece.text for piece in pieces) == TEXT
    kinds = [piece.kind for piece in pieces for _ in piece.text]
    for place, kind in enumerate(kinds):
        ours, theirs = ([one for one in those if one.start <= place < one.end] for those in (found, wanted))
        assert (kind in ("right", "partly", "wrong")) == bool(ours)
        assert (kind == "missed") == (bool(theirs) and not ours)
        assert kind != "right" or ours == theirs


@pytest.mark.parametrize("start", [0, 5_000, 9_995])
def test_a_long_text_is_cut_but_for_what_stands_beside_a_colour(start: int):
    text = "".join(chr(97 + place % 26) for place in range(10_000))
    pieces = marked(text, [Span(start, start + 5)], [])
    shown = "".join(piece.text for piece in pieces)
    assert len(shown) < 400
    assert text[start : start + 5] in [piece.text for piece in pieces if piece.kind]
    assert text[max(0, start - 100) : start + 105] in shown


def test_a_text_without_a_span_is_cut_in_the_middle():
    (piece,) = marked("x" * 1000, [], [])
    assert piece.text.startswith("xxx")
    assert "[…]" in piece.text
    assert len(piece.text) < 400
    assert marked("", [], []) == []
