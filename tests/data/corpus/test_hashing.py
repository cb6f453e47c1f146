import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.randomness import mix64
from bertkit.core.workers import process_engine
from bertkit.data.corpus import hashing
from bertkit.data.corpus.hashing import HashBuckets, run_hashes, window_hashes

RUNS = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=40)


def laid_out(runs):
    values = np.array([value for run in runs for value in run], np.uint16)
    return values, np.cumsum([0, *map(len, runs)])


@given(RUNS)
def test_runs_have_equal_hashes_exactly_where_they_are_equal(runs):
    hashes = run_hashes(*laid_out(runs)).tolist()
    numbers = {}
    assert [numbers.setdefault(tuple(run), len(numbers)) for run in runs] == [
        list(dict.fromkeys(hashes)).index(hash_) for hash_ in hashes
    ]


def test_blocks_and_types_do_not_change_hashes(monkeypatch):
    values, bounds = laid_out([[number % 7, number % 5, number] for number in range(100)])
    hashes = run_hashes(values, bounds)
    monkeypatch.setattr(hashing, "_BLOCK_NUMBERS", 5)
    assert run_hashes(values.astype(np.uint32), bounds).tolist() == hashes.tolist()


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 5))
def test_windows_have_equal_hashes_exactly_where_they_are_equal(values, width):
    hashes = window_hashes(np.array(values, np.uint16), width).tolist()
    windows = [tuple(values[start : start + width]) for start in range(len(values) - width + 1)]
    assert len(hashes) == len(windows)
    assert len(set(zip(hashes, windows, strict=True))) == len(set(hashes)) == len(set(windows))


@given(st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=6))
def test_buckets_tell_repeated_entries_with_their_first(tmp_path_factory, blocks):
    folder = tmp_path_factory.mktemp("buckets")
    entries = [value for block in blocks for value in block]
    spread = mix64(np.arange(31, dtype=np.uint64))
    original, hashing._BUCKET_ENTRIES = hashing._BUCKET_ENTRIES, 8
    try:
        with HashBuckets(folder, len(entries)) as buckets, process_engine(1) as engine:
            start = 0
            for block in blocks:
                buckets.append(spread[np.array(block, np.int64)], np.arange(start, start + len(block)))
                start += len(block)
            found = {n: f for part in buckets.repeats(engine) for n, f in zip(*(a.tolist() for a in part), strict=True)}
    finally:
        hashing._BUCKET_ENTRIES = original
    first = {value: entries.index(value) for value in entries}
    assert found == {n: first[value] for n, value in enumerate(entries) if first[value] < n}
    assert not any(folder.iterdir())
