import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.data.instances.masking import MaskingVocabulary, mask_tokens
from bertkit.data.instances.options import MaskingOptions

MASK, VOCAB_SIZE = 4, 1000
CONTINUATION = np.arange(VOCAB_SIZE) % 3 == 0  # every third entry is a '##' piece
VOCABULARY = MaskingVocabulary(mask_token_id=MASK, continuation=CONTINUATION)


def pack_pairs(lengths, seed=0):
    """Sequences [CLS] A [SEP] B [SEP] (2, 3) of the given lengths, all at least 5."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(5, VOCAB_SIZE, sum(lengths))
    special = np.zeros(len(ids), bool)
    ends = np.cumsum(lengths)
    for start, end in zip(ends - lengths, ends, strict=True):
        special[[start, start + 2, end - 1]] = True
        ids[[start, start + 2, end - 1]] = 2, 3, 3
    return ids, np.array(lengths), special


def mask(ids, lengths, special, numbers=None, key=1, **options):
    numbers = np.arange(len(lengths)) if numbers is None else np.array(numbers)
    return mask_tokens(
        ids, lengths, special, numbers=numbers, key=key, options=MaskingOptions(**options), vocabulary=VOCABULARY
    )


LENGTHS = st.lists(st.integers(5, 60), min_size=1, max_size=6)


@given(LENGTHS, st.integers(0, 5), st.sampled_from([0.02, 0.15, 0.9]), st.sampled_from([None, 1, 7]))
def test_each_sequence_gets_the_number_that_its_length_says(lengths, seed, select_rate, max_predictions):
    ids, lengths_, special = pack_pairs(lengths, seed)
    masked = mask(ids, lengths_, special, select_rate=select_rate, max_predictions=max_predictions)
    assert (np.diff(masked.positions) > 0).all() and not special[masked.positions].any()
    assert (masked.labels == ids[masked.positions]).all()
    changed = np.flatnonzero(masked.input_ids != ids)
    assert set(changed) <= set(masked.positions)
    counts = np.bincount(np.searchsorted(np.cumsum(lengths), masked.positions, side="right"), minlength=len(lengths))
    for length, count in zip(lengths, counts, strict=True):
        assert count == min(max(1, round(select_rate * length)), max_predictions or length, length - 3)


@given(LENGTHS, st.integers(0, 5))
def test_whole_words_are_masked_or_left(lengths, seed):
    ids, lengths_, special = pack_pairs(lengths, seed)
    masked = mask(ids, lengths_, special, whole_word=True)
    chosen = np.zeros(len(ids), bool)
    chosen[masked.positions] = True
    for position in range(1, len(ids)):
        if CONTINUATION[ids[position]] and not special[position] and not special[position - 1]:
            assert chosen[position] == chosen[position - 1]
    counts = np.bincount(np.searchsorted(np.cumsum(lengths), masked.positions, side="right"), minlength=len(lengths))
    assert (counts <= np.maximum(1, np.rint(0.15 * lengths_))).all()


def test_whole_words_fill_the_count_where_short_words_are_left():
    ids, lengths, special = pack_pairs([103] * 50)
    ids[~special & (np.arange(len(ids)) % 2 == 0)] = 999  # a continuation; every word has at most two pieces
    ids[~special & (np.arange(len(ids)) % 2 == 1)] = 500
    counts = np.bincount(mask(ids, lengths, special, whole_word=True).positions // 103, minlength=50)
    assert set(counts) <= {14, 15}


def test_replacements_have_the_shares_80_10_10():
    ids, lengths, special = pack_pairs([128] * 400)
    masked = mask(ids, lengths, special)
    after, before = masked.input_ids[masked.positions], masked.labels
    n = len(before)
    assert n == 400 * 19
    is_mask, is_kept = after == MASK, after == before
    assert abs(is_mask.mean() - 0.8) < 4 * np.sqrt(0.16 / n)
    assert abs(is_kept.mean() - 0.1) < 4 * np.sqrt(0.09 / n)
    random_ids = after[~is_mask & ~is_kept]
    assert random_ids.min() < 20 and random_ids.max() > VOCAB_SIZE - 20  # the whole vocabulary


def test_every_position_is_as_likely():
    ids, lengths, special = pack_pairs([20] * 4000)
    masked = mask(ids, lengths, special)
    counts = np.bincount(masked.positions % 20, minlength=20)
    expected = 3 * 4000 / 17
    assert (counts[[0, 2, 19]] == 0).all()
    assert (abs(counts[[1, *range(3, 19)]] - expected) < 5 * np.sqrt(expected)).all()


@settings(max_examples=20)
@given(LENGTHS, st.booleans())
def test_a_sequence_is_masked_alike_in_any_company(lengths, whole_word):
    ids, lengths_, special = pack_pairs(lengths)
    together = mask(ids, lengths_, special, whole_word=whole_word)
    starts = np.cumsum(lengths) - lengths
    for number, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        part = slice(start, start + length)
        alone = mask(ids[part], lengths_[number : number + 1], special[part], [number], whole_word=whole_word)
        assert (alone.input_ids == together.input_ids[part]).all()


def test_another_key_masks_other_tokens():
    packed = pack_pairs([60] * 4)
    assert mask(*packed, key=1).positions.tolist() != mask(*packed, key=2).positions.tolist()


@pytest.mark.parametrize("wrong", [{"select_rate": 0.0}, {"mask_rate": 0.95}, {"max_predictions": 0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        MaskingOptions(**wrong)
