from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bertkit.foundation.errors import InputError
from bertkit.model.dropout import Dropout
from bertkit.training.loop import train
from bertkit.training.metrics_log import read_metrics
from bertkit.training.objective import LossTerm
from bertkit.training.options import OptimizerOptions, TrainingOptions

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


def test_a_run_that_diverges_stops_with_advice(tmp_path: Path):
    options = TrainingOptions(steps=3, optimizer=OptimizerOptions(learning_rate=0.1), precision="float32", log_every=1)
    with pytest.raises(InputError, match="learning_rate"):
        train(_Regression(), lambda a, b: iter([[torch.full((2, 4), torch.nan)]] * 3), options, tmp_path)
