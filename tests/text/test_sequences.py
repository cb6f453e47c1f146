"""Against google-research/bert's way of counting, one piece at a time, and against lists put together by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.arrays import run_positions
from bertkit.text.sequences import SequenceLayout, longest_first_by_token, maximum_context, window_starts

SIZES = st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(1, 25))


def windows_one_by_one(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    found, start = [], 0
    while start < length:
        size = min(room, length - start)
        found.append((start, size))
        if start + size == length:
            break
        start += min(size, stride)
    return found or [(0, 0)]


def best_window(windows: list[tuple[int, int]], place: int) -> int:
    best, score = -1, None
    for number, (start, size) in enumerate(windows):
        if not start <= place < start + size:
            continue
        context = min(place - start, start + size - 1 - place) + 0.01 * size
        if score is None or context > score:
            best, score = number, context
    return best


@given(sizes=SIZES)
def test_windows_start_where_the_original_starts_them(sizes: tuple[int, int, int]):
    assert window_starts(*sizes) == [start for start, _ in windows_one_by_one(*sizes)]


@given(sizes=SIZES)
def test_every_piece_is_scored_where_it_has_most_context(sizes: tuple[int, int, int]):
    length, room, stride = sizes
    windows = windows_one_by_one(length, room, stride)
    masks = maximum_context([start for start, _ in windows], room, length)
    assert [len(mask) for mask in masks] == [size for _, size in windows]
    for place in range(length):
        scored = [
            number
            for number, (start, size) in enumerate(windows)
            if 0 <= place - start < size and masks[number][place - start]
        ]
        assert scored == [best_window(windows, place)]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 60))
def test_a_pair_is_truncated_longest_first(first: int, second: int, room: int):
    left, right = first, second
    while left + right > room:
        if left > right:
            left -= 1
        else:
            right -= 1
    kept = longest_first_by_token(np.array([first]), np.array([second]), room)
    assert (kept[0][0], kept[1][0]) == (left, right)


SEQUENCES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), max_size=5)


@given(SEQUENCES, st.integers(1, 2))
def test_special_tokens_surround_every_segment(sequences: list[list[int]], between: int):
    cls, sep, word = -1, -2, 7
    expected = []
    for segments in sequences:
        parts = [[word] * segment for segment in segments]
        expected.append([cls, *parts[0]])
        for part in parts[1:]:
            expected[-1] += [sep] * between + part
        expected[-1].append(sep)
    counts = np.array([len(segments) for segments in sequences], np.int64)
    layout = SequenceLayout(np.array([one for segments in sequences for one in segments], np.int64), counts, between)
    ids = layout.special_ids(cls, sep, np.int64)
    ids[run_positions(layout.segment_starts, layout.segments)] = word
    assert ids.tolist() == [token for sequence in expected for token in sequence]
    assert layout.is_special().tolist() == [token != word for sequence in expected for token in sequence]
    assert layout.lengths.tolist() == [len(sequence) for sequence in expected]


@pytest.mark.parametrize("between", [1, 2])
def test_the_second_segment_and_its_separator_have_their_own_type(between: int):
    first, second = np.array([2, 0, 1]), np.array([1, 3, 0])
    layout = SequenceLayout.of([first, second], between)
    kinds = [[0] * (1 + a + between) + [1] * (b + 1) for a, b in zip(first, second, strict=True)]
    assert layout.token_types(1, np.int8).tolist() == [kind for sequence in kinds for kind in sequence]
    assert not layout.token_types(0, np.int8).any()
    assert not SequenceLayout.of([first]).token_types(1, np.int8).any()
