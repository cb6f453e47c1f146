"""A model folder becomes an int8 folder: the loss is measured, bad layers are kept, a bad model is not written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bertkit import api
from bertkit.core.errors import InputError
from bertkit.inference.backends.torch_int8 import find_weight_range
from bertkit.inference.load import load
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import encoder_linears
from bertkit.pretrained.models import BertWithHeads
from bertkit.recipes import quantize as recipe
from bertkit.recipes.options import QuantizeOptions
from bertkit.recipes.quantize import QuantizeResult
from bertkit.recipes.quantize_check import VectorCheck
from bertkit.reports.quantization import quantization_page
from bertkit.tasks.classification import Classification
from bertkit.tasks.model import TaskModel, save_task_model
from bertkit.text.tokenizer import Tokenizer

WORDS = ["good", "fine", "great", "bad", "poor", "weak", "film", "plot", "long", "so"]
TEXTS = [" ".join(WORDS[(place * step) % 10] for step in range(1, 2 + place % 7)) for place in range(40)]
LOSSY = "bert.layers.0.output"


@pytest.fixture(scope="module", autouse=True)
def _cpu() -> None:
    if find_weight_range() is None:
        pytest.skip("torch has no exact int8 products on this CPU")


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose first down-projection has a weight per row that hides all others in int8, and is never used."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    tokenizer = Tokenizer.from_pretrained(tiny_model)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    task = Classification(classes=("bad", "good"), max_length=16)
    model = TaskModel(Encoder(config), task.head(config))
    initialize(model, 0.5, seed=3)
    with torch.no_grad():
        first = model.bert.layers[0]
        first.intermediate.weight[0], first.intermediate.bias[0] = 0, -30  # type: ignore[index, operator, union-attr]
        first.output.weight[:, 0] = 1e4  # type: ignore[index, operator, union-attr]
    save_task_model(folder, model, task, tokenizer)
    return folder


@pytest.fixture(scope="module")
def labelled(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with the labels that the float32 model gives them."""
    path = tmp_path_factory.mktemp("data") / "dev.tsv"
    texts = list(dict.fromkeys(TEXTS))
    predictions = load(classifier, device="cpu").predict(texts)
    lines = [f"{text}\t{one.label}" for text, one in zip(texts, predictions, strict=True)]
    path.write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def quantized(classifier: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantizeResult:
    return api.quantize(classifier, tmp_path_factory.mktemp("out") / "int8", check=labelled)


def test_a_layer_that_loses_too_much_stays_in_float32_and_the_others_become_int8(quantized: QuantizeResult):
    errors = {f"bert.{one.layer}": one.error for one in quantized.layers}
    assert tuple(errors) == encoder_linears(2)
    assert max(errors, key=errors.__getitem__) == LOSSY
    assert quantized.kept == (LOSSY.removeprefix("bert."),)
    assert [count for count, _ in quantized.tried] == [0, 1]
    assert quantized.tried[0][1] > 0.5 >= quantized.tried[1][1] == quantized.quality.points_lost
    folder = ModelFolder.open(quantized.out)
    assert set(folder.int8_weights()) == set(encoder_linears(2)) - {LOSSY}
    assert folder.int8 is not None
    assert folder.int8.float32_layers == ("bert.encoder.layer.0.output.dense",)


def test_the_folder_predicts_what_the_report_says(quantized: QuantizeResult, classifier: Path, labelled: Path):
    quality = quantized.quality
    assert quality.metrics_before == {"accuracy": 1.0, "macro_f1": 1.0}
    assert quality.metrics_after is not None
    for precision in ("int8", "auto"):
        found = api.evaluate(quantized.out, labelled, precision=precision).figures
        assert found["accuracy"] == pytest.approx(quality.metrics_after["accuracy"])
    assert api.evaluate(quantized.out, labelled, precision="float32").figures["loss"] != found["loss"]
    texts = [line.split("\t")[0] for line in labelled.read_text().splitlines()[1:]]
    exact = load(classifier, precision="float32", device="cpu").predict(texts)
    said = [exact, load(quantized.out, precision="int8", device="cpu").predict(texts)]
    same = np.mean([one.label == other.label for one, other in zip(*said, strict=True)])
    assert same == pytest.approx(quality.agreement) == pytest.approx(quality.metrics_after["accuracy"])


def test_the_report_lies_in_the_folder_in_json_and_as_a_page(quantized: QuantizeResult):
    stored = json.loads((quantized.out / "quantization.json").read_text())
    assert stored["quality"]["points_lost"] == quantized.quality.points_lost
    assert stored["tried"] == [list(one) for one in quantized.tried]
    assert len(stored["layers"]) == 8
    page = (quantized.out / "quantization.html").read_text()
    assert "layers.0.output" in page
    assert quantization_page(quantized).title == f"{quantized.out.name}, an int8 model"
    card = (quantized.out / "README.md").read_text()
    assert "library_name: bertkit" in card
    assert "from transformers" not in card


def test_a_model_that_loses_too_much_is_not_written(classifier: Path, labelled: Path, tmp_path: Path):
    model = BertWithHeads.from_pretrained(classifier)
    with torch.no_grad():
        for layer in model.bert.layers:
            layer.intermediate.weight[0], layer.intermediate.bias[0] = 0, -30  # type: ignore[index, operator, union-attr]
            layer.output.weight[:, 0] = 1e4  # type: ignore[index, operator, union-attr]
            for linear in (layer.attention.query_key_value, layer.attention.output, layer.intermediate):  # type: ignore[union-attr]
                linear.weight[:, 0] = 1e4  # type: ignore[index, operator, union-attr]
    model.save_pretrained(tmp_path / "wild")
    Tokenizer.from_pretrained(classifier).save_pretrained(tmp_path / "wild")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    (tmp_path / "wild" / "config.json").write_text(
        (tmp_path / "wild" / "config.json").read_text().replace("BertForSequenceClassification", "BertModel")
    )
    with pytest.raises(InputError, match=r"points in int8 even with \d of its 8 linear layers in float32") as caught:
        api.quantize(tmp_path / "wild", tmp_path / "out", check=texts, options=QuantizeOptions(max_loss=0))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_without_a_check_vectors_of_built_in_sentences_are_compared_and_it_is_said(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = api.quantize(tiny_model, tmp_path / "int8", options=QuantizeOptions(weight_range=63, max_loss=5))
    assert "48 built-in sentences" in capsys.readouterr().err
    assert found.data == "48 built-in sentences"
    assert found.quality.metrics_before is None
    assert found.quality.mean_cosine is not None and found.quality.mean_cosine > 0.98
    assert found.quality.least_cosine <= found.quality.cosine_of_worst_percent <= found.quality.mean_cosine
    folder = ModelFolder.open(found.out)
    assert folder.int8 is not None and folder.int8.weight_range == 63
    assert all(np.abs(weight.values).max() <= 63 for weight in folder.int8_weights().values())
    masked = [load(path, device="cpu").fill_mask("a good [MASK]", top_k=3) for path in (tiny_model, found.out)]
    assert len(masked[1][0]) == len(masked[0][0])


def test_speeds_are_torchs_where_the_engine_is_not_installed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def missing(*_: object) -> None:
        raise InputError("not compiled")

    monkeypatch.setattr(recipe, "Native", missing)
    found = api.quantize(tiny_model, tmp_path / "int8", options=QuantizeOptions(max_loss=5))
    assert found.backend == "torch"
    assert found.rate_before > 0 and found.rate_after > 0


def test_what_is_compared_of_vectors_is_perfect_where_nothing_changed():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    quality = VectorCheck.of([None] * 30, 2, "mean").compare(vectors, 2 * vectors)  # type: ignore[list-item]
    assert quality.mean_cosine == pytest.approx(1)
    assert quality.rank_agreement == pytest.approx(1)
    assert quality.same_neighbours == 1
    assert quality.points_lost == pytest.approx(0, abs=1e-4)
    shuffled = VectorCheck.of([None] * 30, 2, "mean").compare(vectors, vectors[::-1])  # type: ignore[list-item]
    assert shuffled.points_lost > 50
    assert shuffled.same_neighbours < 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_loss": -1}, "max_loss is -1: give points of 0 or more"),
        ({"max_loss": float("nan")}, "max_loss is nan"),
        ({"weight_range": 100}, "weight_range is 100: give 127, or 63"),
    ],
)
def test_options_that_make_no_sense_are_one_line(options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        QuantizeOptions(**options)  # type: ignore[arg-type]


def test_bad_input_is_one_line(quantized: QuantizeResult, tiny_model: Path, tmp_path: Path):
    few = tmp_path / "few.txt"
    few.write_text("one\ntwo\n")
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "a good film,1\n" * 20)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    new = tmp_path / "new"
    for message, call in {
        "is int8 already": lambda: api.quantize(quantized.out, new),
        "is there already": lambda: api.quantize(tiny_model, quantized.out),
        "would be lost": lambda: api.quantize(tiny_model, tmp_path / "full", overwrite=True),
        "2 texts are too few": lambda: api.quantize(tiny_model, new, check=few),
        "name the column of the texts with --text": lambda: api.quantize(tiny_model, new, check=table),
        "has no task: leave --split out": lambda: api.quantize(tiny_model, new, check=few, split="dev"),
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not new.exists()
