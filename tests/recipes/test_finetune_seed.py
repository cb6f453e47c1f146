import numpy as np
import torch

from bertkit.recipes.finetune_seed import FinetuneLoader
from bertkit.tasks.contract import TaskInstances
from bertkit.tasks.labelled import LabelledExamples
from bertkit.text.sequences import EncodedExample


def _encoded(lengths: list[int]) -> list[EncodedExample]:
    """Example i holds nothing but the id i."""
    return [
        EncodedExample(np.full(n, i, np.int32), np.zeros(n, np.int8), np.zeros((n, 2), np.int32))
        for i, n in enumerate(lengths)
    ]


def _loader(lengths: list[int], *, batch_size: int, tokens: int = 1000, seed: int = 3) -> FinetuneLoader:
    sequences = _encoded(lengths)
    texts = ("",) * len(lengths)
    examples = LabelledExamples(texts=texts, text_pairs=None, labels=texts, places=texts)
    return FinetuneLoader(
        TaskInstances.of_sequences(examples, sequences, torch.arange(len(lengths))),
        batch_size=batch_size,
        micro_batch_tokens=tokens,
        seed=seed,
    )


def _targets(loader: FinetuneLoader, start: int, stop: int) -> list[list[int]]:
    return [[t for micro_batch in step for t in micro_batch.targets.tolist()] for step in loader.batches(start, stop)]


def test_an_epoch_holds_every_example_once_and_the_next_has_another_order():
    loader = _loader([3] * 10, batch_size=4)
    steps = _targets(loader, 0, 6)
    assert [len(step) for step in steps] == [4, 4, 2] * 2
    for epoch in (steps[:3], steps[3:]):
        assert sorted(target for step in epoch for target in step) == list(range(10))
    assert steps[:3] != steps[3:]


def test_a_step_is_the_same_from_wherever_the_run_starts():
    loader = _loader([2, 5, 3, 7, 4], batch_size=2)
    whole = _targets(loader, 0, 9)
    for start in range(9):
        assert _targets(_loader([2, 5, 3, 7, 4], batch_size=2), start, 9) == whole[start:]


def test_seeds_differ():
    assert _targets(_loader([2] * 30, batch_size=30), 0, 1) != _targets(_loader([2] * 30, batch_size=30, seed=4), 0, 1)


def test_targets_stay_with_their_sequences_through_sorting_and_cutting():
    lengths = [2, 9, 4, 9, 1, 6]
    (step,) = _loader(lengths, batch_size=6, tokens=12).batches(0, 1)
    assert len(step) > 1
    for micro_batch in step:
        assert micro_batch.inputs.num_tokens <= 12
        bounds = micro_batch.inputs.cu_seqlens
        assert micro_batch.inputs.input_ids[bounds[:-1].long()].tolist() == micro_batch.targets.tolist()
        assert bounds.diff().tolist() == [lengths[target] for target in micro_batch.targets]
    flat = [length for micro_batch in step for length in micro_batch.inputs.cu_seqlens.diff().tolist()]
    assert flat == sorted(lengths, reverse=True)
