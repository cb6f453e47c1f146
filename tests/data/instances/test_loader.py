import itertools
import threading

import pytest
import torch

from bertkit.core.errors import InputError
from bertkit.data.instances.drawn import DrawnInstances
from bertkit.data.instances.loader import PhasedLoader, PretrainingLoader, evaluation_batches
from bertkit.data.instances.options import InstanceOptions, MaskingOptions
from bertkit.data.instances.sampling import plan_epoch
from bertkit.data.instances.stages import BatchPhase

OPTIONS = InstanceOptions(seq_length=48)


def make_loader(corpus, instances=OPTIONS, batch_size=8, micro_batch_tokens=150, seed=1):
    source = DrawnInstances(corpus, instances, MaskingOptions(), seed=seed)
    return PretrainingLoader(source, batch_size=batch_size, micro_batch_tokens=micro_batch_tokens, seed=seed)


def sequences(batches):
    """Each sequence as (ids before masking, segment ids, label)."""
    for batch in batches:
        ids = batch.inputs.input_ids.clone()
        ids[batch.masked_positions] = batch.masked_labels
        labels = batch.next_sentence_labels
        bounds = batch.inputs.cu_seqlens.tolist()
        for i, (start, stop) in enumerate(itertools.pairwise(bounds)):
            label = None if labels is None else int(labels[i])
            yield ids[start:stop].tolist(), batch.inputs.token_type_ids[start:stop].tolist(), label


def same(a, b):
    tensors = [
        [t for batch in batches for t in (batch.inputs.input_ids, batch.masked_positions, batch.next_sentence_labels)]
        for batches in (a, b)
    ]
    return len(tensors[0]) == len(tensors[1]) and all(map(torch.equal, *tensors))


def test_an_epoch_holds_the_planned_instances(corpus):
    loader = make_loader(corpus, batch_size=1)
    tokenizer, plan = corpus.tokenizer, plan_epoch(corpus, OPTIONS, 1, 0)
    assert loader.steps_per_epoch == len(plan)
    expected = []
    for i in range(len(plan)):
        a = corpus.tokens(plan.a_start[i], plan.a_start[i] + plan.a_length[i]).tolist()
        b = corpus.tokens(plan.b_start[i], plan.b_start[i] + plan.b_length[i]).tolist()
        ids = [tokenizer.cls_token_id, *a, tokenizer.sep_token_id, *b, tokenizer.sep_token_id]
        expected.append((ids, [0] * (len(a) + 2) + [1] * (len(b) + 1), int(plan.is_random[i])))
    found = [s for step in range(loader.steps_per_epoch) for s in sequences(loader.batch(step))]
    assert sorted(found) == sorted(expected)
    assert found != expected  # shuffled


def test_without_next_sentences_a_sequence_has_one_segment(corpus):
    batches = make_loader(corpus, InstanceOptions(seq_length=48, next_sentence=False)).batch(0)
    tokenizer = corpus.tokenizer
    for ids, kinds, label in sequences(batches):
        assert ids[0] == tokenizer.cls_token_id and ids.index(tokenizer.sep_token_id) == len(ids) - 1
        assert set(kinds) == {0} and label is None and len(ids) <= 48


def test_a_step_has_the_batch_size_cut_into_micro_batches_by_length(corpus):
    loader = make_loader(corpus)
    for step in range(loader.steps_per_epoch):
        batches = loader.batch(step)
        lengths = [length for batch in batches for length in batch.inputs.cu_seqlens.diff().tolist()]
        assert len(lengths) == 8 and lengths == sorted(lengths, reverse=True)
        assert all(batch.inputs.num_tokens <= 150 for batch in batches)
        for batch in batches:
            assert batch.masked_positions.min() >= 0 and batch.masked_positions.max() < batch.inputs.num_tokens


def test_a_step_is_the_same_from_wherever_the_run_starts(corpus):
    steps = make_loader(corpus).steps_per_epoch
    first = make_loader(corpus)
    run = list(first.batches(0, steps + 3))
    assert len(run) == steps + 3
    for step in (steps + 2, 1, steps - 1):
        assert same(run[step], make_loader(corpus).batch(step))
    assert same(next(make_loader(corpus).batches(steps + 1)), run[steps + 1])
    assert not same(run[0], run[steps])
    assert not same(run[0], make_loader(corpus, seed=2).batch(0))


def test_micro_batches_do_not_change_the_sequences_or_the_masks(corpus):
    whole = make_loader(corpus, micro_batch_tokens=10**6).batch(2)
    parts = make_loader(corpus, micro_batch_tokens=1).batch(2)
    assert len(whole) == 1 and len(parts) == 8
    assert torch.equal(whole[0].inputs.input_ids, torch.cat([part.inputs.input_ids for part in parts]))


def test_a_corpus_smaller_than_a_batch_is_repeated(make_corpus, corpus, monkeypatch):
    small = make_corpus([[3, 4], [5]])
    monkeypatch.setattr(type(small), "tokenizer", corpus.tokenizer)
    loader = make_loader(small, batch_size=32, micro_batch_tokens=10**6)
    assert loader.steps_per_epoch == 1
    (batch,) = loader.batch(0)
    assert batch.inputs.num_sequences == 32


def test_the_background_thread_ends_with_the_iteration(corpus):
    before = threading.active_count()
    batches = make_loader(corpus).batches(0)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_an_error_in_the_background_reaches_the_caller(corpus, monkeypatch):
    loader = make_loader(corpus)
    monkeypatch.setattr(loader, "batch", lambda step: 1 // (2 - step))
    batches = loader.batches(0)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_evaluation_passes_once_over_the_corpus_always_alike(corpus):
    def passes(**limit):
        source = DrawnInstances(corpus, OPTIONS, MaskingOptions(), seed=3)
        return list(evaluation_batches(source, micro_batch_tokens=200, seed=3, **limit))

    assert sum(batch.inputs.num_sequences for batch in passes()) == len(plan_epoch(corpus, OPTIONS, 3, 0))
    assert same(passes(), passes())
    assert sum(batch.inputs.num_sequences for batch in passes(max_sequences=7)) == 7


def test_a_batch_of_nothing_is_refused(corpus):
    with pytest.raises(InputError, match="batch_size"):
        make_loader(corpus, batch_size=0)


STAGES = [
    BatchPhase(start=0.0, batch_size=2, seq_length=24),
    BatchPhase(start=0.2, batch_size=5, seq_length=24),
    BatchPhase(start=0.6, batch_size=5, seq_length=48),
]
STARTS = [4, 9]


def _sources(corpus):
    return {
        length: DrawnInstances(corpus, InstanceOptions(seq_length=length, short_seq_prob=0), MaskingOptions(), seed=1)
        for length in (24, 48)
    }


def _loader(corpus, stages=STAGES, starts=STARTS, **options):
    return PhasedLoader(_sources(corpus), stages, starts, micro_batch_tokens=100, seed=1, **options)


def _sequences(batches):
    found = []
    for batch in batches:
        ids = batch.inputs.input_ids
        found += [
            tuple(ids[start:stop].tolist()) for start, stop in itertools.pairwise(batch.inputs.cu_seqlens.tolist())
        ]
    return sorted(found)


def _flat(loader, steps):
    return sorted(sequence for step in steps for sequence in _sequences(loader.batch(step)))


def test_a_run_of_one_stage_is_that_of_the_plain_loader(corpus):
    plain = PretrainingLoader(_sources(corpus)[48], batch_size=5, micro_batch_tokens=100, seed=1)
    staged = PhasedLoader(
        {48: _sources(corpus)[48]},
        [BatchPhase(start=0, batch_size=5, seq_length=48)],
        [],
        micro_batch_tokens=100,
        seed=1,
    )
    for step in range(2 * plain.steps_per_epoch + 1):
        for one, other in zip(plain.batch(step), staged.batch(step), strict=True):
            assert torch.equal(one.inputs.input_ids, other.inputs.input_ids)
            assert torch.equal(one.masked_positions, other.masked_positions)


def test_stages_of_one_length_go_on_in_the_same_epoch(corpus):
    """Four steps of 2 and five of 5 are the first 33 sequences of that length."""
    plain = PretrainingLoader(_sources(corpus)[24], batch_size=5, micro_batch_tokens=100, seed=1)
    assert _flat(_loader(corpus), range(9)) == _sequences(plain.take(0, 33))
    lengths = [max(batch.inputs.max_seqlen for batch in _loader(corpus).batch(step)) for step in range(14)]
    assert all(length <= 24 for length in lengths[:9])
    assert all(length > 24 for length in lengths[9:])
    assert _flat(_loader(corpus), [9, 10]) == _sequences(
        PretrainingLoader(_sources(corpus)[48], batch_size=5, micro_batch_tokens=100, seed=1).take(0, 10)
    )


def test_processes_share_every_batch_whatever_its_size(corpus):
    parts = [_loader(corpus, rank=rank, size=2) for rank in range(2)]
    whole = _loader(corpus)
    for step in (0, 3, 4, 8, 9, 40):
        assert sorted(s for part in parts for s in _sequences(part.batch(step))) == _sequences(whole.batch(step))


def test_a_batch_may_lie_in_two_epochs(corpus):
    loader = PretrainingLoader(_sources(corpus)[24], batch_size=5, micro_batch_tokens=100, seed=1)
    end = loader.sequences_per_epoch
    both = loader.take(end - 3, 8)
    assert sum(batch.inputs.num_sequences for batch in both) == 8
    assert _sequences(both) == sorted(_sequences(loader.take(end - 3, 3)) + _sequences(loader.take(end, 5)))


def test_a_stage_may_start_while_batches_are_made(corpus):
    starts: list[int] = [4]
    batches = _loader(corpus, starts=starts).batches(0)
    sizes = []
    for step in range(12):
        if step == 6:
            starts.append(9)
        sizes.append(_sequences(next(batches)))
    batches.close()
    whole = _loader(corpus)
    assert sizes == [_sequences(whole.batch(step)) for step in range(12)]


def test_a_batch_with_fewer_sequences_than_processes_is_refused(corpus):
    for size, name in ((3, "ramp_from 2"), (6, "batch_size 5")):
        with pytest.raises(InputError, match=f"{name} leaves some of {size} processes"):
            _loader(corpus, rank=0, size=size)


@pytest.mark.parametrize("batch_size", [5, 1000])
def test_epochs_count_the_sequences_of_the_source_however_large_a_batch_is(corpus, batch_size):
    source = _sources(corpus)[24]
    stages = [BatchPhase(start=0.0, batch_size=batch_size, seq_length=24)]
    loader = PhasedLoader({24: source}, stages, [], micro_batch_tokens=100, seed=1)
    assert loader.epochs(3) == pytest.approx(3 * batch_size / source.count(0))
