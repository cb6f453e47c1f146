"""Pre-training runs of a tiny model, and what they leave in their folder."""

import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError, MemoryLimitError
from bertkit.data.corpus.prepare import prepare
from bertkit.data.instances.batches import PretrainingBatch
from bertkit.data.instances.options import InstanceOptions, StageOptions
from bertkit.model.config import BertConfig
from bertkit.model.pretraining import PretrainingOutput
from bertkit.recipes import estimate as estimate_module
from bertkit.recipes import pretrain as pretrain_module
from bertkit.recipes.estimate import plan_run
from bertkit.recipes.options import MachineCost, PretrainOptions
from bertkit.recipes.pretrain import pretrain
from bertkit.recipes.pretrain_evaluation import HeldOutEvaluation
from bertkit.recipes.pretrain_objective import PretrainingObjective
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import measure_step
from bertkit.text.tokenizer import Tokenizer
from bertkit.training import schedule
from bertkit.training.guard import StepGuard
from bertkit.training.loop import accumulate_gradients
from bertkit.training.optimizers import AdamW, new_optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions, TrainingOptions
from bertkit.training.parallel import Replicas
from bertkit.training.run_folder import RunFolder

WORDS = ["wind", "river", "stone", "light", "over", "under", "runs", "falls", "keeps", "green", "old", "quiet"]
OPTIONS = PretrainOptions(
    model=BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.1,
    ),
    training=TrainingOptions(
        steps=12, optimizer=OptimizerOptions(learning_rate=1e-3), precision="float32", log_every=4, checkpoint_every=5
    ),
    instances=InstanceOptions(seq_length=16),
    batch_size=8,
    micro_batch_tokens=64,
    held_out_share=0.2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = torch.Generator().manual_seed(1)
    draw = lambda low, high: int(torch.randint(low, high, (), generator=rng))  # noqa: E731
    documents = [
        "\n".join(" ".join(WORDS[draw(0, 12)] for _ in range(draw(3, 12))) + "." for _ in range(draw(3, 9)))
        for _ in range(40)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n")
    prepare([folder / "text.txt"], Tokenizer.train(WORDS * 9, vocab_size=70), folder / "data")
    return folder / "data"


def _weights(run: Path) -> bytes:
    return (run / "model/model.safetensors").read_bytes()


def _half_done(run: Path, copy: Path, checkpoint: int) -> Path:
    """The run as it was when it had been killed after a checkpoint."""
    shutil.copytree(run, copy)
    for later in (copy / "checkpoints").iterdir():
        if int(later.name.removeprefix("step-")) > checkpoint:
            shutil.rmtree(later)
    shutil.rmtree(copy / "model")
    return copy


@pytest.mark.parametrize("full_sentences", [False, True])
def test_a_run_that_grows_ends_with_the_same_bits_when_it_is_killed(data: Path, tmp_path: Path, full_sentences: bool):
    options = replace(
        OPTIONS,
        training=replace(OPTIONS.training, keep_checkpoints=9),
        instances=replace(OPTIONS.instances, next_sentence=not full_sentences),
        full_sentences=full_sentences,
        stages=StageOptions(ramp_from=2, ramp_share=0.5, long_seq_length=32, long_share=0.25),
    )
    pretrain(data, tmp_path / "whole", options)
    for checkpoint in (5, 10):
        half = _half_done(tmp_path / "whole", tmp_path / f"half-{checkpoint}", checkpoint)
        pretrain(data, half, options)
        assert _weights(half) == _weights(tmp_path / "whole")
    lines = [line for line in RunFolder(tmp_path / "whole").read_metrics() if line["kind"] == "train"]
    tokens = [line["tokens_per_second"] * line["seconds_per_step"] for line in lines]
    assert tokens == sorted(tokens), "batches grow, then sequences"
    assert tokens[-1] > 2 * tokens[0]
    assert all(0 < line["share_of_matrix_peak"] < 1 for line in lines)


class _Ticks:
    """A clock that moves by a twentieth of a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.05
        return self.now


def test_a_budget_is_kept_and_compared_with_its_estimate(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    ticks = _Ticks()
    monkeypatch.setattr(pretrain_module, "time", ticks)
    monkeypatch.setattr(estimate_module, "time", ticks)
    monkeypatch.setattr(schedule, "time", ticks)
    training = replace(OPTIONS.training, steps=None, budget_seconds=4.0, log_every=1, evaluate_every=10**6)
    options = replace(OPTIONS, training=training, initial_weights="informed")
    machine = MachineCost(price_per_hour=900.0, watts=180.0)
    result = pretrain(data, tmp_path, options, machine=machine)
    lines = RunFolder(tmp_path).read_metrics()
    assert lines[-1]["kind"] == "evaluation"
    assert lines[-2]["learning_rate"] < 0.1 * 1e-3, "the rate ends with the time"
    assert 3.8 < lines[-1]["wall_seconds"] < 4.3
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["actual"]["steps"] == lines[-1]["step"] > 10
    assert plan["actual"]["tokens"] > 10 * plan["actual"]["steps"]
    assert plan["actual"]["loss"] == result.evaluation["held_out/masked_lm_loss"]
    assert plan | {"estimated": asdict(result.estimated), "actual": asdict(result.actual)} == plan
    assert plan["estimated"]["loss"] > 0
    assert plan["actual"].keys() == plan["estimated"].keys()
    assert plan["actual"]["memory"] >= plan["estimated"]["memory"] > 0
    assert (plan["estimated"]["price"], plan["estimated"]["kilowatt_hours"]) == pytest.approx((1.0, 0.0002))
    assert plan["actual"]["price"] == pytest.approx(1.0, abs=0.1)
    (actual,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("actual: ")]
    assert all(word in actual for word in (" MiB", " kWh", "price "))

    shutil.rmtree(tmp_path / "model")
    pretrain(data, tmp_path, options)
    without = json.loads((tmp_path / "plan.json").read_text())
    assert (without["estimated"]["price"], without["actual"]["kilowatt_hours"]) == (None, None)
    pretrain(data, tmp_path, options, machine=machine)
    assert RunFolder(tmp_path).read_metrics()[-1]["step"] == lines[-1]["step"], "the time is used up already"
    assert json.loads((tmp_path / "plan.json").read_text()) == plan


def test_layers_that_are_computed_twice_give_the_same_gradients(data: Path):
    gradients = []
    for twice in (False, True):
        setup = PretrainSetup.of(data, replace(OPTIONS, activation_checkpointing=twice), ProcessGroup())
        module = setup.objective.module
        module.train()
        torch.manual_seed(3)
        replicas = Replicas(setup.objective)
        accumulate_gradients(setup.objective, setup.loader.batch(0), OPTIONS.training, replicas)
        gradients.append({name: p.grad for name, p in module.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())


def test_the_halves_of_a_micro_batch_are_its_sequences(data: Path):
    whole = max(PretrainSetup.of(data, OPTIONS, ProcessGroup()).loader.batch(0), key=lambda b: b.inputs.num_sequences)
    first, second = whole.halved()
    assert first.inputs.num_sequences + second.inputs.num_sequences == whole.inputs.num_sequences > 2
    assert torch.equal(torch.cat([first.inputs.input_ids, second.inputs.input_ids]), whole.inputs.input_ids)
    assert torch.equal(torch.cat([first.masked_labels, second.masked_labels]), whole.masked_labels)
    moved = torch.cat([first.masked_positions, second.masked_positions + first.inputs.num_tokens])
    assert torch.equal(moved, whole.masked_positions)
    assert second.inputs.cu_seqlens[0] == 0 and second.inputs.cu_seqlens[-1] == second.inputs.num_tokens
    assert second.inputs.max_seqlen == int(second.inputs.cu_seqlens.diff().max())
    lone = whole.halved()[0].halved()[0].halved()[0]
    assert lone.inputs.num_sequences == 1 and lone.halved() == [lone]


def test_a_profile_is_a_table_and_a_trace(data: Path, tmp_path: Path):
    pretrain(data, tmp_path, OPTIONS, profile=True)
    assert "addmm" in (tmp_path / "profile/table.txt").read_text()
    assert json.loads((tmp_path / "profile/trace.json").read_text())["traceEvents"]


def test_a_plan_takes_the_largest_size_that_sees_a_token_a_parameter(data: Path):
    sizes = {f"{width}": replace(OPTIONS.model, hidden_size=width, intermediate_size=2 * width) for width in (16, 512)}
    options = replace(OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=20.0))
    (only,) = plan_run(data, options, sizes)
    assert (only.size, only.loss) == ("16", None)
    assert only.batch_size >= 8 and only.tokens > only.steps > 0
    assert any("1.25" in line for line in only.lines(MachineCost(price_per_hour=225.0, watts=300.0)))
    assert only.to_json(MachineCost(watts=180.0))["kilowatt_hours"] == pytest.approx(0.001)


class _Memory:
    """Lets a model's pass through where it has at most so many tokens and the model at most so wide states."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, tokens: int, width: int = 16) -> None:
        outputs = PretrainingObjective.outputs

        def limited(objective: PretrainingObjective, micro_batch: PretrainingBatch) -> PretrainingOutput:
            if micro_batch.inputs.num_tokens > tokens or objective.module.bert.config.hidden_size > width:
                raise torch.OutOfMemoryError
            return outputs(objective, micro_batch)

        monkeypatch.setattr(PretrainingObjective, "outputs", limited)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_weight_of_next_sentences_that_is_no_weight_is_refused(weight: float):
    with pytest.raises(InputError, match="next_sentence_weight must be above 0 and finite"):
        replace(OPTIONS, next_sentence_weight=weight)


def test_the_largest_and_the_smallest_batch_of_a_growing_run_are_measured(data: Path, monkeypatch: pytest.MonkeyPatch):
    sizes = []
    outputs = PretrainingObjective.outputs

    def recorded(objective: PretrainingObjective, micro_batch: PretrainingBatch) -> PretrainingOutput:
        sizes.append(micro_batch.inputs.num_sequences)
        return outputs(objective, micro_batch)

    monkeypatch.setattr(PretrainingObjective, "outputs", recorded)
    growing = replace(OPTIONS, stages=StageOptions(ramp_from=2), micro_batch_tokens=1024)
    cost = measure_step(PretrainSetup.of(data, growing, ProcessGroup()), 0.0)
    assert set(sizes) == {2, OPTIONS.batch_size}
    assert min(cost.pass_seconds, cost.token_seconds) >= 0


def test_what_memory_does_not_hold_is_halved_where_a_step_is_measured(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    setup = PretrainSetup.of(data, OPTIONS, ProcessGroup())
    _Memory(monkeypatch, tokens=32)
    assert measure_step(setup, 0.0).tokens_per_sequence <= 16
    assert capsys.readouterr().err.count("continuing with half as many") == 1, "once for all"


def test_evaluations_that_memory_does_not_hold_are_halved(data: Path, monkeypatch: pytest.MonkeyPatch):
    setup = PretrainSetup.of(data, OPTIONS, ProcessGroup())
    setup.objective.module.eval()
    evaluate = HeldOutEvaluation(setup, Replicas(setup.objective))
    with torch.no_grad():
        whole = evaluate()
        _Memory(monkeypatch, tokens=32)
        assert evaluate() == pytest.approx(whole, rel=1e-5)


def test_a_size_of_which_memory_does_not_hold_a_sequence_ends_the_climb(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    sizes = {f"{width}": replace(OPTIONS.model, hidden_size=width, intermediate_size=2 * width) for width in (16, 18)}
    options = replace(OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=20.0))
    _Memory(monkeypatch, tokens=64)
    assert [one.size for one in plan_run(data, options, sizes)] == ["16"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "too large" in line]
    assert line.startswith("18 is too large: the memory of the")
    with pytest.raises(MemoryLimitError, match="does not hold"):
        plan_run(data, options, {"18": sizes["18"]})


def test_memory_that_does_not_hold_the_moments_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(AdamW, "update", too_large)
    for options in (OPTIONS, replace(OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=20.0))):
        with pytest.raises(MemoryLimitError, match="does not hold the model"):
            pretrain(data, tmp_path / "run", options)
        assert not (tmp_path / "run").exists()


def test_a_budget_too_short_for_a_plan_is_too_short_for_a_run(data: Path, tmp_path: Path, capsys):
    options = replace(OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=1e-4))
    for attempt in (lambda: plan_run(data, options, {"": OPTIONS.model}), lambda: pretrain(data, tmp_path, options)):
        with pytest.raises(InputError, match=r"budget 0\.0s is too short for one step"):
            attempt()
    assert "estimated" not in capsys.readouterr().err


@pytest.mark.parametrize("folder_is_there", [False, True])
def test_a_run_that_is_refused_before_its_first_step_leaves_its_folder_to_the_next(
    data: Path, tmp_path: Path, folder_is_there: bool
):
    run, short = tmp_path / "run", replace(OPTIONS.training, steps=None, budget_seconds=1e-4)
    if folder_is_there:
        run.mkdir()
    with pytest.raises(InputError, match="too short"):
        pretrain(data, run, replace(OPTIONS, training=short))
    assert run.exists() == folder_is_there
    assert not folder_is_there or not [*run.iterdir()]
    pretrain(data, run, OPTIONS)
    left = sorted(run.rglob("*"))
    with pytest.raises(InputError, match="was started with"):
        pretrain(data, run, replace(OPTIONS, training=short))
    assert sorted(run.rglob("*")) == left


def test_a_resumed_run_that_is_refused_stays(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pretrain(data, tmp_path / "whole", OPTIONS)
    half = _half_done(tmp_path / "whole", tmp_path / "half", 5)
    with monkeypatch.context() as patch:
        _Memory(patch, tokens=0)
        with pytest.raises(MemoryLimitError, match="does not hold"):
            pretrain(data, half, OPTIONS)
    pretrain(data, half, OPTIONS)
    assert _weights(half) == _weights(tmp_path / "whole")


def test_a_run_resumes_with_another_cut_of_its_batches(data: Path, tmp_path: Path):
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    options = replace(OPTIONS, model=replace(OPTIONS.model, **dropout))
    pretrain(data, tmp_path / "whole", options)
    half = _half_done(tmp_path / "whole", tmp_path / "half", 5)
    pretrain(data, half, replace(options, micro_batch_tokens=16, activation_checkpointing=True))
    assert RunFolder(half).read_config()["micro_batch_tokens"] == 16
    one, other = (load_file(run / "model/model.safetensors") for run in (half, tmp_path / "whole"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert _weights(half) != _weights(tmp_path / "whole"), "rounded otherwise"
    assert [line["step"] for line in RunFolder(half).read_metrics()] == [
        line["step"] for line in RunFolder(tmp_path / "whole").read_metrics()
    ]


def test_a_run_resumes_with_the_same_data_at_another_path(data: Path, tmp_path: Path):
    moved = shutil.copytree(data, tmp_path / "moved")
    options = replace(OPTIONS, held_out=(data,))
    pretrain(data, tmp_path / "run", options)
    pretrain(moved, tmp_path / "run", replace(options, held_out=(moved,)))
    assert RunFolder(tmp_path / "run").read_config()["data"] == str(moved)


@pytest.mark.parametrize("content", ["{}", "[]", '{"estimated": {"steps": 1}}'])
def test_a_plan_that_is_not_what_was_written_is_one_line(
    data: Path, tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
):
    ticks = _Ticks()
    for module in (pretrain_module, estimate_module, schedule):
        monkeypatch.setattr(module, "time", ticks)
    options = replace(OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=4.0, checkpoint_every=1))
    pretrain(data, tmp_path, options)
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError, match=r"plan\.json: .*: remove it"):
        pretrain(data, tmp_path, options)
    (tmp_path / "plan.json").unlink()
    pretrain(data, tmp_path, options)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_run_on_a_gpu_says_what_attention_dropout_costs(data: Path, dropout: float):
    options = replace(OPTIONS, model=replace(OPTIONS.model, attention_probs_dropout_prob=dropout))
    setup = PretrainSetup.of(data, options, ProcessGroup(device=torch.device("cpu")))
    assert "flash" not in setup.describe()
    on_gpu = replace(setup, group=ProcessGroup(device=torch.device("cuda")))
    assert ("no flash attention as attention_dropout is 0.1" in on_gpu.describe()) == bool(dropout)


def test_the_configuration_has_the_tokens_that_suit_the_device(data: Path):
    options = replace(OPTIONS, micro_batch_tokens=None)
    setup = PretrainSetup.of(data, options, ProcessGroup(device=torch.device("cpu")))
    assert setup.config()["micro_batch_tokens"] == 4096


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_a_step_on_a_gpu_waits_for_nothing(data: Path, optimizer: OptimizerName, dropout: float):
    training = replace(
        OPTIONS.training, precision="bf16", spike_deviations=6.0, optimizer=OptimizerOptions(optimizer=optimizer)
    )
    model = replace(OPTIONS.model, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    options = replace(OPTIONS, model=model, training=training)
    setup = PretrainSetup.of(data, options, ProcessGroup())
    module = setup.objective.module.train()
    updates = new_optimizer(module.named_parameters(), training.optimizer)
    guard, replicas = StepGuard(setup.group, 6.0), Replicas(setup.objective)
    for step, micro_batches in enumerate(setup.loader.batches(0, 4)):
        assert all(micro_batch.masked_labels.is_pinned() for micro_batch in micro_batches)
        torch.cuda.set_sync_debug_mode("default" if step == 0 else "error")
        try:
            loss = accumulate_gradients(setup.objective, micro_batches, training, replicas).loss
            norm = updates.gradient_norm()
            updates.update(1e-3, norm, guard.veto(step, loss, norm))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert guard.report(4, 1e-3)["steps_not_finite"] == 0
