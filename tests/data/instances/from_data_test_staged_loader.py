import itertools

import pytest
import torch

from bertkit.data.drawn_instances import DrawnInstances
from bertkit.data.instances import InstanceOptions
from bertkit.data.loader import PretrainingLoader
from bertkit.data.masking import MaskingOptions
from bertkit.data.staged_loader import StagedLoader
from bertkit.data.stages import Stage
from bertkit.foundation.errors import InputError

STAGES = [
    Stage(start=0.0, batch_size=2, seq_length=24),
    Stage(start=0.2, batch_size=5, seq_length=24),
    Stage(start=0.6, batch_size=5, seq_length=48),
]
STARTS = [4, 9]


def _sources(corpus):
    return {
        length: DrawnInstances(corpus, InstanceOptions(seq_length=length, short_seq_prob=0), MaskingOptions(), seed=1)
        for length in (24, 48)
    }


def _loader(corpus, stages=STAGES, starts=STARTS, **options):
    return StagedLoader(_sources(corpus), stages, starts, micro_batch_tokens=100, seed=1, **options)


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
    staged = StagedLoader(
        {48: _sources(corpus)[48]}, [Stage(start=0, batch_size=5, seq_length=48)], [], micro_batch_tokens=100, seed=1
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
    stages = [Stage(start=0.0, batch_size=batch_size, seq_length=24)]
    loader = StagedLoader({24: source}, stages, [], micro_batch_tokens=100, seed=1)
    assert loader.epochs(3) == pytest.approx(3 * batch_size / source.count(0))
