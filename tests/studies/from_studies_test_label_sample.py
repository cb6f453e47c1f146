from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertkit.studies.label_sample import label_sample

LABELS = st.lists(st.sampled_from("abc"), min_size=1, max_size=60)


@given(labels=LABELS, per_class=st.integers(1, 12), seed=st.integers(0, 99))
def test_each_class_has_what_was_asked_for_or_all_it_has(labels: list[str], per_class: int, seed: int):
    chosen = label_sample(labels, per_class, seed)
    assert len(set(chosen.tolist())) == len(chosen)
    there = Counter(labels)
    assert Counter(labels[i] for i in chosen) == {label: min(per_class, there[label]) for label in there}


@given(labels=LABELS, seed=st.integers(0, 99))
def test_a_smaller_sample_is_part_of_a_larger_one(labels: list[str], seed: int):
    assert set(label_sample(labels, 2, seed)) <= set(label_sample(labels, 5, seed))


def test_none_takes_all():
    assert label_sample(["a", "b", "a"], None, 0).tolist() == [0, 1, 2]


def test_another_seed_is_another_sample():
    labels = ["a"] * 50
    assert not np.array_equal(label_sample(labels, 5, 0), label_sample(labels, 5, 1))
