from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import DivergedError, MemoryLimitError, RankError
from bertkit.model.dropout import Dropout
from bertkit.recipes.pretrain_objective import MASKED_LM
from bertkit.training.loop import train
from bertkit.training.metrics import Baselines, read_metrics
from bertkit.training.optimizers import ParameterSchedule
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.step import LossTerm, halve_until_it_fits

OPTIONS = TrainingOptions(
    steps=12,
    optimizer=OptimizerOptions(learning_rate=0.1),
    precision="float32",
    log_every=3,
    evaluate_every=4,
    checkpoint_every=4,
)


class _Regression:
    def __init__(self) -> None:
        torch.manual_seed(7)
        self.module = nn.Sequential(Dropout(0.3), nn.Linear(4, 1))

    def counts(self, micro_batch: Tensor) -> Mapping[str, int]:
        return {"squared": len(micro_batch)}

    def tokens(self, micro_batch: Tensor) -> int:
        return len(micro_batch)

    def flops(self, micro_batch: Tensor) -> float:
        return 8.0 * len(micro_batch)

    def halves(self, micro_batch: Tensor) -> list[Tensor]:
        middle = len(micro_batch) // 2
        return [micro_batch[:middle], micro_batch[middle:]] if middle else [micro_batch]

    def terms(self, micro_batch: Tensor, model: nn.Module) -> Mapping[str, LossTerm]:
        return {"squared": LossTerm(((model(micro_batch) - micro_batch.sum(1, keepdim=True)) ** 2).sum())}


def _batches(start: int, stop: int) -> Iterator[list[Tensor]]:
    for step in range(start, stop):
        data = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        yield [data[:5], data[5:]]


def _killed_at(step: int):
    def batches(start: int, stop: int) -> Iterator[list[Tensor]]:
        for at, batch in enumerate(_batches(start, stop), start):
            if at == step:
                raise KeyboardInterrupt
            yield batch

    return batches


@pytest.mark.parametrize("kill", [1, 4, 7, 11])
def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(tmp_path: Path, kill: int):
    whole, killed = _Regression(), _Regression()
    train(whole, _batches, OPTIONS, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(killed, _killed_at(kill), OPTIONS, tmp_path / "killed")
    resumed = _Regression()
    train(resumed, _batches, OPTIONS, tmp_path / "killed")
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, resumed.module.state_dict()[name])
    assert [line["step"] for line in read_metrics(tmp_path / "killed")] == [3, 6, 9, 12]


def test_the_cut_of_a_batch_does_not_change_the_gradient(tmp_path: Path):
    options = TrainingOptions(
        steps=1, optimizer=OptimizerOptions(learning_rate=0.1, warmup_share=0), precision="float32"
    )
    weights = []
    for name, cut in (("one", 8), ("two", 3)):
        objective = _Regression()
        objective.module[0].drop_rate = 0.0
        data = next(iter(_batches(0, 1)))
        data = torch.cat(data)
        train(objective, lambda a, b, d=data, c=cut: iter([[d[:c], d[c:]] if c < 8 else [d]]), options, tmp_path / name)
        weights.append(objective.module[1].weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[1])


def test_the_weights_of_the_best_evaluation_are_kept(tmp_path: Path):
    scores = iter([0.2, 0.9, 0.5])
    seen = []
    objective = _Regression()

    def evaluate() -> Mapping[str, float]:
        seen.append(objective.module[1].weight.detach().clone())
        return {"score": next(scores)}

    options = TrainingOptions(**{**OPTIONS.__dict__, "select_by": "score"})
    result = train(objective, _batches, options, tmp_path, evaluate=evaluate)
    assert result.best == {"score": 0.9}
    assert result.evaluation == {"score": 0.5}
    assert torch.equal(objective.module[1].weight, seen[1])


def _with_broken(broken: range):
    """The batches of `_batches`, without numbers in some steps."""

    def batches(start: int, stop: int) -> Iterator[list[Tensor]]:
        for step, parts in enumerate(_batches(start, stop), start):
            yield [part * torch.nan if step in broken else part for part in parts]

    return batches


@pytest.mark.parametrize("optimizer", ["adamw", "lamb", "stable-adamw"])
def test_a_step_without_finite_numbers_changes_nothing_and_is_counted(tmp_path: Path, capsys, optimizer: str):
    options = replace(OPTIONS, steps=4, log_every=1, optimizer=replace(OPTIONS.optimizer, optimizer=optimizer))
    objective, weights = _Regression(), []

    def evaluate() -> Mapping[str, float]:
        weights.append(objective.module[1].weight.detach().clone())
        return {"score": 0.0}

    options = replace(options, evaluate_every=1)
    train(objective, _with_broken(range(2, 3)), options, tmp_path, evaluate=evaluate)
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])
    lines = [line for line in read_metrics(tmp_path) if line["kind"] == "train"]
    assert [line["steps_not_finite"] for line in lines] == [0, 0, 1, 1]
    assert [line["squared_loss"] is None for line in lines] == [False, False, True, False]
    assert "step 3: left out 1 with a loss or gradient that is not finite" in capsys.readouterr().err


def test_a_run_that_diverges_ends_with_advice_and_unharmed_weights(tmp_path: Path):
    options, objective = replace(OPTIONS, steps=40, log_every=10), _Regression()
    with pytest.raises(DivergedError, match=r"diverged by step 20: .* last 15 steps .* lower learning_rate 0\.1"):
        train(objective, _with_broken(range(5, 40)), options, tmp_path)
    assert torch.isfinite(objective.module[1].weight).all()


class _Small(_Regression):
    """On a device whose memory holds two rows at once."""

    def terms(self, micro_batch: Tensor, model: nn.Module) -> Mapping[str, LossTerm]:
        if len(micro_batch) > 2:
            raise torch.OutOfMemoryError
        return super().terms(micro_batch, model)


def test_micro_batches_that_memory_does_not_hold_are_halved_once_for_all(tmp_path: Path, capsys):
    large, small = _Regression(), _Small()
    large.module[0].drop_rate = small.module[0].drop_rate = 0.0
    train(large, _batches, OPTIONS, tmp_path / "large")
    with pytest.raises(KeyboardInterrupt):
        train(small, _killed_at(7), OPTIONS, tmp_path / "small")
    train(small, _batches, OPTIONS, tmp_path / "small")
    torch.testing.assert_close(small.module[1].weight, large.module[1].weight)
    said = capsys.readouterr().err
    assert said.count("going on with half as many") == 2, (
        "5 and 3 rows to 3 and 2, to 2 and 1; not again after the kill"
    )
    lines = [line["tokens_per_second"] * line["seconds_per_step"] for line in read_metrics(tmp_path / "small")]
    assert lines == pytest.approx([8.0] * len(lines)), "a pass that failed does not count"


def test_one_row_that_memory_does_not_hold_ends_the_run(tmp_path: Path):
    class None_(_Regression):  # noqa: N801
        def terms(self, micro_batch: Tensor, model: nn.Module) -> Mapping[str, LossTerm]:
            raise torch.OutOfMemoryError

    with pytest.raises(MemoryLimitError, match=r"does not hold 1 tokens at once: .*--seq-length"):
        train(None_(), _batches, OPTIONS, tmp_path)


@pytest.mark.parametrize(("rows", "remedy"), [(2, "lower --micro-batch-tokens"), (1, "add --activation-checkpointing")])
def test_one_of_several_processes_is_told_what_helps_its_memory(rows: int, remedy: str):
    def attempt(parts: list[Tensor]) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(RankError, match=f"the memory of process 1 of 2, .* {rows} tokens at once: {remedy}"):
        halve_until_it_fits(_Regression(), [torch.ones(rows, 4)], 0, ProcessGroup(rank=1, size=2), attempt)


def test_what_joins_later_is_frozen_before_and_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path):
    late = {"1.weight": ParameterSchedule(rate_factor=0.5, first_step=8)}
    objective, seen = _Regression(), []

    def evaluate() -> Mapping[str, float]:
        seen.append(objective.module[1].weight.detach().clone())
        return {}

    first = objective.module[1].weight.detach().clone()
    train(objective, _batches, OPTIONS, tmp_path / "whole", evaluate=evaluate, schedules=late)
    assert [torch.equal(first, weight) for weight in seen] == [True, True, False]
    assert not torch.equal(objective.module[1].bias, _Regression().module[1].bias)

    with pytest.raises(KeyboardInterrupt):
        train(_Regression(), _killed_at(10), OPTIONS, tmp_path / "killed", schedules=late)
    resumed = _Regression()
    train(resumed, _batches, OPTIONS, tmp_path / "killed", schedules=late)
    assert torch.equal(resumed.module[1].weight, objective.module[1].weight)


def test_a_run_ends_when_evaluations_get_no_better_and_stays_ended(tmp_path: Path):
    scores = {2: 0.1, 4: 0.5, 6: 0.5, 8: 0.6, 10: 0.2, 12: 0.6, 14: 0.3, 16: 0.9}
    objective = _Regression()
    options = replace(OPTIONS, steps=16, evaluate_every=2, checkpoint_every=2, select_by="score", patience=3)
    best = []

    def evaluate_at(steps: Iterator[int]) -> Mapping[str, float]:
        step = next(steps)
        if step == 8:
            best.append(objective.module[1].weight.detach().clone())
        return {"score": scores[step]}

    steps = iter(scores)
    with pytest.raises(KeyboardInterrupt):
        train(objective, _killed_at(11), options, tmp_path, evaluate=lambda: evaluate_at(steps))
    objective = _Regression()
    steps = iter(range(12, 17, 2))
    result = train(objective, _batches, options, tmp_path, evaluate=lambda: evaluate_at(steps))
    assert (result.steps, result.best, next(steps)) == (14, {"score": 0.6}, 16)
    assert torch.equal(objective.module[1].weight, best[0])
    again = train(_Regression(), _batches, options, tmp_path, evaluate=lambda: evaluate_at(iter(())))
    assert (again.steps, again.best) == (14, {"score": 0.6})


class _Guessing(_Regression):
    """Has learned nothing but the frequencies, for a loss of 6.8."""

    def counts(self, micro_batch: Tensor) -> Mapping[str, int]:
        return {MASKED_LM: len(micro_batch)}

    def terms(self, micro_batch: Tensor, model: nn.Module) -> Mapping[str, LossTerm]:
        return {MASKED_LM: LossTerm(0 * model(micro_batch).sum() + 6.8 * len(micro_batch))}


def test_a_run_that_only_guesses_is_told_once_whatever_kills_it(tmp_path: Path, capsys):
    options = replace(OPTIONS, steps=520, log_every=40, checkpoint_every=200)
    told = []
    for kill in (None, 300, 430):
        run = tmp_path / str(kill)
        if kill is not None:
            with pytest.raises(KeyboardInterrupt):
                train(_Guessing(), _killed_at(kill), options, run, baselines=Baselines(unigram_entropy=6.8))
        train(_Guessing(), _batches, options, run, baselines=Baselines(unigram_entropy=6.8))
        told.append([line["step"] for line in read_metrics(run) if line["kind"] == "stuck"])
    assert told == [[400]] * 3
    assert "stands still near 6.80" in capsys.readouterr().err
