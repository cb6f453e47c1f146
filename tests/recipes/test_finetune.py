import json
import shutil
import statistics
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bertkit.core.errors import InputError
from bertkit.inference.evaluation import evaluate
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes import finetune_seed
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.data import TaskData, read_task_data
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import load_task_model
from bertkit.tasks.options import Columns
from bertkit.tasks.regression import Regression
from bertkit.text.tokenizer import Tokenizer

OPTIONS = FinetuneOptions(
    epochs=4, batch_size=8, learning_rate=5e-3, max_length=12, precision="float32", micro_batch_tokens=48
)
LEARNING = replace(OPTIONS, epochs=14, hidden_dropout=0.0, attention_dropout=0.0)
GOOD, BAD = ("good", "fine", "great"), ("bad", "poor", "weak")


def _examples(count: int, name: str = "train.csv") -> LabelledExamples:
    """Films whose adjective gives the label away."""
    words = [(GOOD if index % 2 else BAD)[index % 3] for index in range(count)]
    texts = tuple(f"{'the plot was ' * (index % 3)}a {word} film" for index, word in enumerate(words))
    labels = tuple("pos" if word in GOOD else "neg" for word in words)
    places = tuple(f"{name}, row {index + 2}" for index in range(count))
    return LabelledExamples(texts=texts, text_pairs=None, labels=labels, places=places)


DATA = TaskData(name="films", train=_examples(48), dev=_examples(24), test=_examples(12), columns=Columns())


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_plain_task_is_learnt_and_the_best_seed_is_the_model(tmp_path: Path, tiny_model: Path):
    result = finetune(tiny_model, DATA, tmp_path / "run", replace(LEARNING, seeds=2))
    assert [seed.seed for seed in result.seeds] == [0, 1]
    assert result.best.dev["accuracy"] > 0.9
    written = json.loads((tmp_path / "run/results.json").read_text())
    assert written["seeds"][1]["dev"] == dict(result.seeds[1].dev)
    assert written["dev_examples"] == "as given"
    accuracies = [seed.dev["accuracy"] for seed in result.seeds]
    assert written["dev"]["accuracy"]["mean"] == pytest.approx(statistics.fmean(accuracies))
    assert written["dev"]["accuracy"]["standard_deviation"] == pytest.approx(statistics.stdev(accuracies))
    best = tmp_path / "run" / f"seed-{result.best.seed}" / "model"
    assert (result.model / "model.safetensors").read_bytes() == (best / "model.safetensors").read_bytes()

    model, task = load_task_model(ModelFolder.open(result.model))
    assert task.classes == ("neg", "pos")
    assert DATA.test is not None
    instances = task.encode(DATA.test, Tokenizer.from_pretrained(result.model))
    figures = evaluate(model, task, instances, max_tokens=500, precision="float32")
    assert figures == pytest.approx(result.best.test, abs=1e-5)


@pytest.mark.parametrize("damaged", ["model/model.safetensors", "model/tokenizer.json", "result.json"])
def test_a_damaged_seed_of_a_finished_run_does_not_replace_the_good_model(
    tmp_path: Path, tiny_model: Path, damaged: str
):
    options = replace(OPTIONS, epochs=1)
    finetune(tiny_model, DATA, tmp_path, options)
    good = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    path = tmp_path / "seed-0" / damaged
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path.name}.*: remove .*seed-0, the seed is trained again"):
        finetune(tiny_model, DATA, tmp_path, options)
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == good


def test_a_run_that_was_killed_resumes_to_the_same_bits_and_a_finished_seed_is_left_alone(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    options = replace(OPTIONS, epochs=2, seeds=2)
    finetune(tiny_model, DATA, tmp_path / "whole", options)

    evaluations = 0

    def killed(*arguments: object, **options: object) -> dict[str, float]:
        nonlocal evaluations
        evaluations += 1
        if evaluations == 5:  # dev, dev and test of the first seed, one dev of the second
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(finetune_seed, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_model, DATA, tmp_path / "killed", options)
    assert not (tmp_path / "killed/model").exists()
    finetune(tiny_model, DATA, tmp_path / "killed", options)
    assert evaluations == 5 + 2  # the second seed's last dev evaluation and its test
    for seed in (0, 1):
        whole, killed_run = (_weights(tmp_path / run / f"seed-{seed}/model") for run in ("whole", "killed"))
        assert all(torch.equal(whole[name], killed_run[name]) for name in whole)


def test_more_seeds_are_added_to_those_that_are_done(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1)
    first = finetune(tiny_model, DATA, tmp_path, options)
    both = finetune(tiny_model, DATA, tmp_path, replace(options, seeds=2))
    assert both.seeds[0] == first.seeds[0]
    assert len(both.seeds) == 2


def test_other_options_in_the_same_folder_are_refused(tmp_path: Path, tiny_model: Path):
    finetune(tiny_model, DATA, tmp_path, replace(OPTIONS, epochs=1))
    with pytest.raises(InputError, match=r"learning_rate = 0\.005, now it is 0\.1"):
        finetune(tiny_model, DATA, tmp_path, replace(OPTIONS, epochs=1, learning_rate=0.1))
    with pytest.raises(InputError, match="data"):
        finetune(tiny_model, replace(DATA, train=_examples(40)), tmp_path, replace(OPTIONS, epochs=1))


def test_without_a_dev_set_a_part_of_training_is_held_out_and_said_so(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1, dev_share=0.25)
    result = finetune(tiny_model, replace(DATA, dev=None, test=None), tmp_path, options)
    assert result.dev == "12 of 48 training examples held out"
    assert result.seeds[0].test is None


def test_frozen_parts_keep_the_weights_of_the_model_and_the_rest_moves(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1, freeze=("embeddings,layers:0",))
    before, after = _weights(tiny_model), _weights(finetune(tiny_model, DATA, tmp_path, options).model)
    for name in before:
        if name.startswith(("bert.embeddings", "bert.encoder.layer.0")):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(
        before["bert.encoder.layer.1.output.dense.weight"], after["bert.encoder.layer.1.output.dense.weight"]
    )


def test_random_weights_differ_from_the_model_but_its_head_starts_alike(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    pretrained = _weights(finetune(tiny_model, DATA, tmp_path / "a", options).model)
    random = _weights(finetune(tiny_model, DATA, tmp_path / "b", replace(options, from_random=True)).model)
    name = "bert.encoder.layer.1.output.dense.weight"
    torch.testing.assert_close(pretrained[name], _weights(tiny_model)[name])
    assert not torch.allclose(pretrained[name], random[name])
    torch.testing.assert_close(pretrained["classifier.weight"], random["classifier.weight"])


def test_scores_of_pairs_are_learnt_from_a_file(tmp_path: Path, tiny_model: Path):
    lines = ["one\ttwo\tscore"]
    for index in range(40):
        other = BAD[index % 3] if index % 2 else GOOD[index % 3]
        lines.append(f"a {GOOD[index % 3]} film\ta {other} film\t{-1.5 if index % 2 else 1.5}")
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(lines))
    columns = Columns(text="one", text_pair="two", label="score")
    data = read_task_data(path, path, family=Regression, columns=columns)
    result = finetune(tiny_model, data, tmp_path / "run", LEARNING)
    assert result.select_by == "pearson"
    assert result.best.dev["pearson"] > 0.8


def _bad_model(tiny_model: Path, folder: Path, **config: int) -> Path:
    shutil.copytree(tiny_model, folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return folder


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        (replace(OPTIONS, max_length=41), DATA, "max_length 41 is over the model's 40 positions"),
        (replace(OPTIONS, select_by="pearson"), DATA, "select_by 'pearson'"),
        (replace(OPTIONS, freeze=("layers:0-2",)), DATA, "layers are 0-1"),
        (replace(OPTIONS, gradual_unfreezing=True, epochs=1), DATA, "gradual_unfreezing needs 2 epochs"),
        (replace(OPTIONS, class_weights=("new=2",)), DATA, r"class_weights 'new=2'.*of 'neg', 'pos'"),
        (replace(OPTIONS, reinitialize_layers=3), DATA, "over the model's 2 layers"),
        (replace(OPTIONS, reinitialize_layers=1, freeze=("layers:1",)), DATA, "layer 1 is frozen and re-initialized"),
        (OPTIONS, replace(DATA, train=_examples(1)), "at least 2 labels"),
        (OPTIONS, replace(DATA, dev=replace(_examples(2, "dev.csv"), labels=("pos", "new"))), "dev.csv, row 3.*'new'"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    tmp_path: Path, tiny_model: Path, options: FinetuneOptions, data: TaskData, message: str
):
    with pytest.raises(InputError, match=message):
        finetune(tiny_model, data, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path: Path, tiny_model: Path):
    with pytest.raises(InputError, match="do not belong together"):
        finetune(_bad_model(tiny_model, tmp_path / "model", vocab_size=20), DATA, tmp_path / "run", OPTIONS)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"seeds": 0},
        {"dev_share": 0.0},
        {"learning_rate": -1.0},
        {"layer_decay": 1.1},
        {"patience": 0},
        {"min_steps": 0},
        {"label_smoothing": 1.0},
        {"parallel_seeds": 0},
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, float]):
    with pytest.raises(InputError, match=next(iter(change))):
        FinetuneOptions(**change)


def test_reinitialized_layers_are_those_of_random_weights_and_the_rest_is_the_models(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1, learning_rate=1e-12, weight_decay=0.0)
    mixed = _weights(finetune(tiny_model, DATA, tmp_path / "a", replace(options, reinitialize_layers=1)).model)
    random = _weights(finetune(tiny_model, DATA, tmp_path / "b", replace(options, from_random=True)).model)
    for name, tensor in _weights(tiny_model).items():
        if name.startswith(("bert.encoder.layer.1.", "bert.pooler.")):
            torch.testing.assert_close(mixed[name], random[name], msg=name)
        elif name.startswith("bert."):
            torch.testing.assert_close(mixed[name], tensor, msg=name)


def test_lower_layers_move_less_with_layer_decay(tmp_path: Path, tiny_model: Path):
    options = replace(OPTIONS, epochs=1, layer_decay=0.01)
    before, after = _weights(tiny_model), _weights(finetune(tiny_model, DATA, tmp_path, options).model)
    names = ["bert.pooler.dense.weight"]
    names += [f"bert.encoder.layer.{layer}.output.dense.weight" for layer in (1, 0)]
    names += ["bert.embeddings.position_embeddings.weight"]
    moved = [float((after[name] - before[name]).abs().max()) for name in names]
    assert all(lower < 0.1 * upper for upper, lower in pairwise(moved)), moved


def test_seeds_side_by_side_have_the_bits_of_seeds_one_after_another(tmp_path: Path, tiny_model: Path, capfd):
    options = replace(OPTIONS, epochs=1, seeds=2, patience=5)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = finetune(tiny_model, DATA, tmp_path / "alone", options)
        beside = finetune(tiny_model, DATA, tmp_path / "beside", replace(options, parallel_seeds=2))
    finally:
        torch.set_num_threads(before)
    assert [seed.dev for seed in beside.seeds] == [seed.dev for seed in alone.seeds]
    for seed in (0, 1):
        weights = [_weights(tmp_path / run / f"seed-{seed}/model") for run in ("alone", "beside")]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    said = capfd.readouterr().err
    assert "seed 0: step 6: accuracy" in said
    assert "seed 1: step 6: accuracy" in said


def test_nothing_but_the_model_and_the_figures_of_a_seed_stays(tmp_path: Path, tiny_model: Path):
    finetune(tiny_model, DATA, tmp_path, replace(OPTIONS, epochs=1))
    left = {path.name for path in (tmp_path / "seed-0").iterdir()}
    assert left == {"model", "metrics.jsonl", "tensorboard", "result.json"}


def test_a_seed_that_learns_nothing_is_called_failed_and_still_counts(tmp_path: Path, tiny_model: Path, capsys):
    examples = _examples(24)
    assert examples.labels is not None
    stuck = replace(examples, labels=tuple("neg" if index % 3 else "pos" for index in range(24)))
    options = replace(OPTIONS, epochs=1, learning_rate=1e-12, seeds=2)
    result = finetune(tiny_model, replace(DATA, train=stuck, dev=stuck, test=None), tmp_path, options)
    written = json.loads((tmp_path / "results.json").read_text())
    assert [seed.failed for seed in result.seeds] == [seed.dev["accuracy"] <= 16 / 24 for seed in result.seeds]
    assert result.failed
    assert written["chance"] == pytest.approx(16 / 24)
    assert written["failed_seeds"] == [seed.seed for seed in result.failed]
    assert len(written["seeds"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "of 2 seeds failed: dev accuracy of seed" in said
    assert "--min-steps 1000" in said


def test_layers_join_from_the_top_an_epoch_each_and_new_ones_learn_at_once(tiny_model: Path):
    options = replace(OPTIONS, gradual_unfreezing=True)
    assert FinetuneSetup.of(tiny_model, DATA, options).first_steps() == [6, 12, 18]
    assert FinetuneSetup.of(tiny_model, DATA, replace(options, reinitialize_layers=1)).first_steps() == [0, 6, 12]
    assert FinetuneSetup.of(tiny_model, DATA, replace(options, epochs=2)).first_steps() == [6, 6, 6]


def test_the_head_alone_learns_in_the_first_epoch_of_gradual_unfreezing(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    accuracies = iter([0.9, 0.8, 0.7])  # so that the weights after the first epoch are kept
    monkeypatch.setattr(finetune_seed, "evaluate", lambda *_, **__: {"accuracy": next(accuracies)})
    options = replace(OPTIONS, epochs=2, gradual_unfreezing=True)
    before, after = _weights(tiny_model), _weights(finetune(tiny_model, DATA, tmp_path, options).model)
    for name in before:
        if name.startswith(("bert.embeddings", "bert.encoder")):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["bert.pooler.dense.weight"], after["bert.pooler.dense.weight"])


def test_small_sets_get_more_epochs_unless_epochs_are_given():
    assert FinetuneOptions().epochs_of(2000) == 3
    assert FinetuneOptions().epochs_of(100) == 5
    assert FinetuneOptions(epochs=3).epochs_of(100) == 3
    assert FinetuneOptions(epochs=3, min_steps=1000).epochs_of(100) == 10
    assert FinetuneOptions(min_steps=1).epochs_of(100) == 3
