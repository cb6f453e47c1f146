from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.studies.learning_curve import CurveSize, Method, label_sample, learning_curve, summarise
from bertkit.tasks.labelled import LabelledExamples

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


def examples(count: int) -> LabelledExamples:
    return LabelledExamples(
        texts=tuple(f"text {i}" for i in range(count)),
        text_pairs=None,
        labels=tuple("ab"[i % 2] for i in range(count)),
        places=tuple(f"row {i}" for i in range(count)),
    )


class Recorder:
    """Says "a" of every text, and keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[LabelledExamples, int]] = []

    def __call__(self, sample: LabelledExamples, unseen: Sequence[str], seed: int) -> list[str]:
        self.calls.append((sample, seed))
        return ["a"] * len(unseen)


SIZES = (CurveSize(per_class=2, seeds=3), CurveSize(per_class=None, seeds=3))


def test_all_methods_get_the_same_samples(tmp_path: Path):
    first, second = Recorder(), Recorder()
    methods = [Method(name="first", predict=first), Method(name="second", predict=second)]
    learning_curve(examples(20), examples(6), methods, SIZES, tmp_path)
    assert first.calls == second.calls
    assert [len(sample) for sample, _ in first.calls] == [4, 4, 4, 20, 20, 20]
    assert len({sample.texts for sample, _ in first.calls[:3]}) == 3


def test_a_method_that_is_not_random_is_measured_once_on_all_labels(tmp_path: Path):
    method = Recorder()
    points = learning_curve(
        examples(20), examples(6), [Method(name="fixed", predict=method, is_random=False)], SIZES, tmp_path
    )
    assert [point.size for point in points] == ["2", "2", "2", "all"]


def test_points_that_are_there_are_not_measured_again(tmp_path: Path):
    before, after = Recorder(), Recorder()
    once = learning_curve(examples(20), examples(6), [Method(name="m", predict=before)], SIZES, tmp_path)
    again = learning_curve(examples(20), examples(6), [Method(name="m", predict=after)], SIZES, tmp_path)
    assert once == again
    assert before.calls
    assert not after.calls


def test_the_summary_has_mean_and_deviation_over_the_seeds(tmp_path: Path):
    class Luck:
        def __call__(self, sample: LabelledExamples, unseen: Sequence[str], seed: int) -> list[str]:
            return ["a", "b", "a", "b"][: seed + 1] + ["none"] * (3 - seed)

    points = learning_curve(
        examples(4), examples(4), [Method(name="m", predict=Luck())], [CurveSize(per_class=1, seeds=3)], tmp_path
    )
    (row,) = summarise(points)
    assert [point.accuracy for point in points] == [0.25, 0.5, 0.75]
    assert (row.accuracy, row.accuracy_deviation, row.seeds) == (0.5, pytest.approx(0.25), 3)
