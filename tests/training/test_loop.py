from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import DivergedError, MemoryLimitError, RankError
from bertkit.model.dropout import Dropout
from bertkit.training.loop import Advice, Watch, accumulate_gradients, train
from bertkit.training.optimizers import ParameterSchedule
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.parallel import Replicas
from bertkit.training.run_folder import RunFolder
from bertkit.training.step import Halving, LossTerm

OPTIONS = TrainingOptions(
    steps=12,
    optimizer=OptimizerOptions(learning_rate=0.1),
    precision="float32",
    log_every=3,
    evaluate_every=4,
    checkpoint_every=4,
)


@dataclass(frozen=True)
class _Rows:
    """(N, 4)"""

    values: Tensor

    def to(self, device: torch.device) -> "_Rows":
        return _Rows(self.values.to(device))

    def halved(self) -> list["_Rows"]:
        middle = len(self.values) // 2
        return [_Rows(self.values[:middle]), _Rows(self.values[middle:])] if middle else [self]


class _Regression:
    may_split = True

    def __init__(self) -> None:
        torch.manual_seed(7)
        self.module = nn.Sequential(Dropout(0.3), nn.Linear(4, 1))

    def counts(self, micro_batch: _Rows) -> Mapping[str, int]:
        return {"squared": len(micro_batch.values)}

    def tokens(self, micro_batch: _Rows) -> int:
        return len(micro_batch.values)

    def flops(self, micro_batch: _Rows) -> float:
        return 8.0 * len(micro_batch.values)

    def outputs(self, micro_batch: _Rows) -> Tensor:
        return self.module(micro_batch.values)

    def terms(self, micro_batch: _Rows, outputs: Tensor) -> Mapping[str, LossTerm]:
        return {"squared": LossTerm(((outputs - micro_batch.values.sum(1, keepdim=True)) ** 2).sum())}


def _batches(start: int, stop: int) -> Iterator[list[_Rows]]:
    for step in range(start, stop):
        data = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        yield [_Rows(data[:5]), _Rows(data[5:])]


def _curves(run: RunFolder) -> list[dict[str, object]]:
    """What is logged, but for times and what comes from them."""
    times = ("seconds", "seconds_per_step", "tokens_per_second", "flops_per_second", "wall_seconds")
    return [{name: value for name, value in line.items() if name not in times} for line in run.read_metrics()]


def _killed_at(step: int):
    def batches(start: int, stop: int) -> Iterator[list[_Rows]]:
        for at, batch in enumerate(_batches(start, stop), start):
            if at == step:
                raise KeyboardInterrupt
            yield batch

    return batches


@pytest.mark.parametrize("kill", [1, 4, 7, 11])
def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(tmp_path: Path, kill: int):
    whole, killed = _Regression(), _Regression()
    train(whole, _batches, OPTIONS, RunFolder(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(killed, _killed_at(kill), OPTIONS, RunFolder(tmp_path / "killed"))
    resumed = _Regression()
    train(resumed, _batches, OPTIONS, RunFolder(tmp_path / "killed"))
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, resumed.module.state_dict()[name])
    kept = [_curves(RunFolder(tmp_path / name)) for name in ("killed", "whole")]
    assert kept[0] == kept[1]
    assert [line["step"] for line in kept[0]] == [3, 6, 9, 12]


def test_the_cut_of_a_batch_does_not_change_the_gradient(tmp_path: Path):
    options = TrainingOptions(
        steps=1, optimizer=OptimizerOptions(learning_rate=0.1, warmup_share=0), precision="float32"
    )
    weights = []
    for name, cut in (("one", 8), ("three", 3)):
        objective = _Regression()
        objective.module[0].drop_rate = 0.0
        data = next(iter(_batches(0, 1)))
        data = torch.cat([part.values for part in data])
        parts = [_Rows(part) for part in data.split(cut)]
        train(objective, lambda a, b, parts=parts: iter([parts]), options, RunFolder(tmp_path / name))
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
    result = train(objective, _batches, options, RunFolder(tmp_path), evaluate=evaluate)
    assert result.best == {"score": 0.9}
    assert result.evaluation == {"score": 0.5}
    assert torch.equal(objective.module[1].weight, seen[1])


def _with_broken(broken: range):
    """The batches of `_batches`, without numbers in some steps."""

    def batches(start: int, stop: int) -> Iterator[list[_Rows]]:
        for step, parts in enumerate(_batches(start, stop), start):
            yield [_Rows(part.values * torch.nan) if step in broken else part for part in parts]

    return batches


@pytest.mark.parametrize("optimizer", ["adamw", "lamb", "stable-adamw"])
def test_a_step_without_finite_numbers_changes_nothing_and_is_counted(tmp_path: Path, capsys, optimizer: str):
    options = replace(OPTIONS, steps=4, log_every=1, optimizer=replace(OPTIONS.optimizer, optimizer=optimizer))
    objective, weights = _Regression(), []

    def evaluate() -> Mapping[str, float]:
        weights.append(objective.module[1].weight.detach().clone())
        return {"score": 0.0}

    options = replace(options, evaluate_every=1)
    train(objective, _with_broken(range(2, 3)), options, RunFolder(tmp_path), evaluate=evaluate)
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[2], weights[3])
    lines = [line for line in RunFolder(tmp_path).read_metrics() if line["kind"] == "train"]
    assert [line["steps_not_finite"] for line in lines] == [0, 0, 1, 1]
    assert [line["squared_loss"] is None for line in lines] == [False, False, True, False]
    assert "step 3: left out 1 with a loss or gradient that is not finite" in capsys.readouterr().err


def test_a_run_that_diverges_ends_with_advice_and_unharmed_weights(tmp_path: Path):
    options, objective = replace(OPTIONS, steps=40, log_every=10), _Regression()
    with pytest.raises(DivergedError, match=r"diverged by step 20: .* last 15 steps .* lower learning_rate 0\.1"):
        train(objective, _with_broken(range(5, 40)), options, RunFolder(tmp_path))
    assert torch.isfinite(objective.module[1].weight).all()


class _Small(_Regression):
    """On a device whose memory holds two rows at once."""

    def outputs(self, micro_batch: _Rows) -> Tensor:
        if len(micro_batch.values) > 2:
            raise torch.OutOfMemoryError
        return super().outputs(micro_batch)


def test_micro_batches_that_memory_does_not_hold_are_halved_once_for_all(tmp_path: Path, capsys):
    large, small = _Regression(), _Small()
    large.module[0].drop_rate = small.module[0].drop_rate = 0.0
    train(large, _batches, OPTIONS, RunFolder(tmp_path / "large"))
    with pytest.raises(KeyboardInterrupt):
        train(small, _killed_at(7), OPTIONS, RunFolder(tmp_path / "small"))
    train(small, _batches, OPTIONS, RunFolder(tmp_path / "small"))
    torch.testing.assert_close(small.module[1].weight, large.module[1].weight)
    said = capsys.readouterr().err
    assert said.count("continuing with half as many") == 2, (
        "5 and 3 rows to 3 and 2, to 2 and 1; not again after the kill"
    )
    lines = [
        line["tokens_per_second"] * line["seconds_per_step"] for line in RunFolder(tmp_path / "small").read_metrics()
    ]
    assert lines == pytest.approx([8.0] * len(lines)), "a pass that failed does not count"


def test_one_row_that_memory_does_not_hold_ends_the_run(tmp_path: Path):
    class None_(_Regression):  # noqa: N801
        def outputs(self, micro_batch: _Rows) -> Tensor:
            raise torch.OutOfMemoryError

    with pytest.raises(MemoryLimitError, match=r"does not hold 1 tokens at once: .*--seq-length"):
        train(None_(), _batches, OPTIONS, RunFolder(tmp_path))


@pytest.mark.parametrize(("rows", "remedy"), [(2, "lower --micro-batch-tokens"), (1, "add --activation-checkpointing")])
def test_one_of_several_processes_names_what_helps_its_memory(rows: int, remedy: str):
    def step(parts: Sequence[_Rows]) -> None:
        raise torch.OutOfMemoryError

    halving = Halving(_Regression(), ProcessGroup(rank=1, size=2))
    with pytest.raises(RankError, match=f"the memory of process 1 of 2, .* {rows} tokens at once: {remedy}"):
        halving.run([_Rows(torch.ones(rows, 4))], step)


def test_what_joins_later_is_frozen_before_and_a_killed_run_resumes_to_the_same_bits(tmp_path: Path):
    late = {"1.weight": ParameterSchedule(rate_factor=0.5, first_step=8)}
    objective, seen = _Regression(), []

    def evaluate() -> Mapping[str, float]:
        seen.append(objective.module[1].weight.detach().clone())
        return {}

    first = objective.module[1].weight.detach().clone()
    train(objective, _batches, OPTIONS, RunFolder(tmp_path / "whole"), evaluate=evaluate, schedules=late)
    assert [torch.equal(first, weight) for weight in seen] == [True, True, False]
    assert not torch.equal(objective.module[1].bias, _Regression().module[1].bias)

    with pytest.raises(KeyboardInterrupt):
        train(_Regression(), _killed_at(10), OPTIONS, RunFolder(tmp_path / "killed"), schedules=late)
    resumed = _Regression()
    train(resumed, _batches, OPTIONS, RunFolder(tmp_path / "killed"), schedules=late)
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
        train(objective, _killed_at(11), options, RunFolder(tmp_path), evaluate=lambda: evaluate_at(steps))
    objective = _Regression()
    steps = iter(range(12, 17, 2))
    result = train(objective, _batches, options, RunFolder(tmp_path), evaluate=lambda: evaluate_at(steps))
    assert (result.steps, result.best, next(steps)) == (14, {"score": 0.6}, 16)
    assert torch.equal(objective.module[1].weight, best[0])
    again = train(_Regression(), _batches, options, RunFolder(tmp_path), evaluate=lambda: evaluate_at(iter(())))
    assert (again.steps, again.best) == (14, {"score": 0.6})


def _every_hundredth(seen: list[int]) -> Watch:
    """Remembers what it is shown, and says something of every hundredth step."""

    def watch(step: int, figures: Mapping[str, float | None]) -> Advice | None:
        assert figures["squared_loss"] is not None
        seen.append(step)
        if step % 100:
            return None
        return Advice(message=f"after {len(seen)} lines", kind="remembered", figures={"lines": len(seen)})

    return watch


def test_a_watch_knows_every_line_and_advises_once_whatever_kills_the_run(tmp_path: Path, capsys):
    options = replace(OPTIONS, steps=220, log_every=20, checkpoint_every=80)
    for kill in (None, 130, 190):
        run, seen = tmp_path / str(kill), []
        if kill is not None:
            with pytest.raises(KeyboardInterrupt):
                train(_Regression(), _killed_at(kill), options, RunFolder(run), watch=_every_hundredth([]))
        train(_Regression(), _batches, options, RunFolder(run), watch=_every_hundredth(seen))
        assert seen == list(range(20, 221, 20)), "what was logged before the kill is shown again"
        found = [
            (line["step"], line["lines"]) for line in RunFolder(run).read_metrics() if line["kind"] == "remembered"
        ]
        assert found == [(100, 5), (200, 10)]
    assert capsys.readouterr().err.count("step 200: after 10 lines") == 3


class _Taught(_Regression):
    """Learns the outputs of a teacher, which is no part of what is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.module[0].drop_rate = 0.0
        self.teacher = nn.Linear(4, 1).requires_grad_(False)

    def outputs(self, micro_batch: _Rows) -> tuple[Tensor, Tensor]:
        return super().outputs(micro_batch), self.teacher(micro_batch.values)

    def terms(self, micro_batch: _Rows, outputs: tuple[Tensor, Tensor]) -> Mapping[str, LossTerm]:
        student, teacher = outputs
        soft = LossTerm(((student - teacher) ** 2).sum(), weight=0.9)
        return super().terms(micro_batch, student) | {"taught": soft}

    def counts(self, micro_batch: _Rows) -> Mapping[str, int]:
        return {"squared": len(micro_batch.values), "taught": len(micro_batch.values)}


def test_an_objective_may_have_a_teacher(tmp_path: Path):
    objective = _Taught()
    teacher = {name: tensor.clone() for name, tensor in objective.teacher.state_dict().items()}
    train(objective, _batches, replace(OPTIONS, steps=300, log_every=50), RunFolder(tmp_path))
    lines = [line for line in RunFolder(tmp_path).read_metrics() if line["kind"] == "train"]
    assert lines[-1]["taught_loss"] < lines[0]["taught_loss"]
    for name, tensor in teacher.items():
        assert torch.equal(tensor, objective.teacher.state_dict()[name])
    assert not any("teacher" in path.name for path in tmp_path.rglob("*"))
    # Where both terms pull, the minimum lies between the teacher and the sum of the inputs, nine parts to ten.
    expected = (0.9 * objective.teacher.weight + 1) / 1.9
    torch.testing.assert_close(objective.module[1].weight, expected, rtol=0, atol=0.05)


class _InBatchNegatives(_Regression):
    """Every row is to be nearer to itself than to the other rows of its batch, which are its negatives."""

    may_split = False

    def __init__(self, most_rows: int = 99) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.module, self.most_rows = nn.Linear(4, 3), most_rows

    def outputs(self, micro_batch: _Rows) -> Tensor:
        if len(micro_batch.values) > self.most_rows:
            raise torch.OutOfMemoryError
        return self.module(micro_batch.values)

    def terms(self, micro_batch: _Rows, outputs: Tensor) -> Mapping[str, LossTerm]:
        own = torch.arange(len(outputs))
        return {"contrast": LossTerm(nn.functional.cross_entropy(outputs @ outputs.T, own, reduction="sum"))}

    def counts(self, micro_batch: _Rows) -> Mapping[str, int]:
        return {"contrast": len(micro_batch.values)}


class _CachedNegatives(_InBatchNegatives):
    """Encodes a part at a time and keeps no activations (GradCache, Gao et al. 2021), where the batch is too large."""

    def outputs(self, micro_batch: _Rows) -> Tensor:
        parts = micro_batch.values.split(self.most_rows)
        return torch.cat([checkpoint(self.module, part, use_reentrant=False) for part in parts])


def test_a_batch_that_may_not_be_split_is_not_where_memory_is_too_small(tmp_path: Path):
    objective = _InBatchNegatives(most_rows=4)
    before = objective.module.weight.detach().clone()
    with pytest.raises(
        MemoryLimitError, match="does not hold 5 tokens at once, and this batch may not be split: lower"
    ):
        train(objective, _batches, OPTIONS, RunFolder(tmp_path))
    assert torch.equal(objective.module.weight, before)


def test_an_objective_may_cut_the_work_on_a_batch_that_may_not_be_split(tmp_path: Path):
    gradients = []
    for objective in (_InBatchNegatives(), _CachedNegatives(most_rows=2)):
        accumulate_gradients(objective, next(_batches(0, 1))[:1], OPTIONS, Replicas(objective))
        gradients.append(objective.module.weight.grad)
    values = next(_batches(0, 1))[0].values
    plain = _InBatchNegatives()
    states = plain.module(values)
    nn.functional.cross_entropy(states @ states.T, torch.arange(len(values))).backward()
    for gradient in gradients:
        torch.testing.assert_close(gradient, plain.module.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
