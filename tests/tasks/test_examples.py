from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.tasks.examples import hold_out
from bertkit.tasks.labelled import LabelledExamples


def _examples(labels: list[int]) -> LabelledExamples:
    texts = tuple(f"text {index}" for index in range(len(labels)))
    return LabelledExamples(texts=texts, text_pairs=None, labels=tuple(labels), places=texts)


@given(st.lists(st.integers(0, 4), min_size=25, max_size=80), st.sampled_from([0.1, 0.25, 0.5]), st.integers(0, 5))
def test_every_example_is_on_one_side_and_every_class_stays_in_training(labels: list[int], share: float, seed: int):
    train, dev = hold_out(_examples(labels), labels, share, seed)
    assert sorted(train.texts + dev.texts) == sorted(_examples(labels).texts)
    assert set(train.labels) == set(labels)


def test_classes_keep_their_shares():
    labels = [0] * 300 + [1] * 100
    dev = hold_out(_examples(labels), labels, 0.1, 3)[1]
    assert Counter(dev.labels) == {0: 30, 1: 10}


def test_the_split_depends_on_the_seed_alone():
    labels = [0, 1] * 50
    assert hold_out(_examples(labels), labels, 0.2, 1) == hold_out(_examples(labels), labels, 0.2, 1)
    assert hold_out(_examples(labels), labels, 0.2, 1) != hold_out(_examples(labels), labels, 0.2, 2)


def test_too_few_examples_ask_for_a_dev_file():
    with pytest.raises(InputError, match="--dev"):
        hold_out(_examples([0, 1, 2]), [0, 1, 2], 0.1, 0)


@given(st.lists(st.integers(0, 29), min_size=30, max_size=90), st.integers(0, 5))
def test_groups_stay_together(drawn: list[int], seed: int):
    numbers = {group: number for number, group in enumerate(dict.fromkeys(drawn))}
    groups = [numbers[group] for group in drawn]
    share = 0.25
    train, dev = hold_out(_examples(groups), [0] * len(groups), share, seed, groups)
    assert sorted(train.texts + dev.texts) == sorted(_examples(groups).texts)
    if len(numbers) * share >= 1:
        assert not set(train.labels) & set(dev.labels)
        assert len(set(dev.labels)) == int(len(numbers) * share)


def test_too_few_groups_are_parted():
    train, dev = hold_out(_examples([0] * 20), [0] * 20, 0.1, 0, [0] * 20)
    assert (len(train), len(dev)) == (18, 2)
