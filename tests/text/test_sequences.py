"""Against google-research/bert's way of counting, one piece at a time."""

from hypothesis import given
from hypothesis import strategies as st

from bertkit.text.sequences import maximum_context, window_starts

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
