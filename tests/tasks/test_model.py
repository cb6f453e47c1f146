import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import bertkit
from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.inference.convert import convert
from bertkit.inference.evaluation import compute_logits
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.model import TaskModel, load_task_model, save_task_model
from bertkit.tasks.multi_label import MultiLabel
from bertkit.tasks.options import Columns
from bertkit.tasks.regression import Regression
from bertkit.tasks.task_folder import load_task
from bertkit.text.tokenizer import Tokenizer

COLUMNS = Columns(text=3, label=1, header=False)
TASKS = [
    Classification(classes=("c", "a", "b"), max_length=12, metric_names=("matthews",), columns=COLUMNS),
    Regression(max_length=12, benchmark="STS-B"),
    MultiLabel(classes=("c", "a", "b"), max_length=12, thresholds=(0.25, 0.5, 0.125)),
]
TEXTS = ["a good film", "the plot was so long the plot was so long", "bad"]


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, request: pytest.FixtureRequest) -> tuple[Path, TaskModel]:
    task: Task[Any] = request.param
    tokenizer = Tokenizer.from_pretrained(tiny_model)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    model = TaskModel(Encoder(config), task.head(config))
    initialize(model, 0.3, 5)
    save_task_model(tmp_path / "model", model, task, tokenizer)
    return tmp_path / "model", model


@pytest.mark.parametrize(("folder", "task"), list(zip(TASKS, TASKS, strict=True)), indirect=["folder"])
def test_a_task_and_its_weights_come_back_as_they_were(folder: tuple[Path, TaskModel], task: Task[Any]):
    loaded, its_task = load_task_model(ModelFolder.open(folder[0]))
    assert its_task == task
    assert not loaded.training
    for name, tensor in folder[1].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize("folder", TASKS, indirect=True)
def test_transformers_gives_the_same_outputs(folder: tuple[Path, TaskModel]):
    import transformers

    peer = transformers.AutoModelForSequenceClassification.from_pretrained(folder[0]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder[0])
    with torch.no_grad():
        theirs = peer(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    model, task = load_task_model(ModelFolder.open(folder[0]))
    encoded = Tokenizer.from_pretrained(folder[0]).encode_batch(TEXTS)
    ours = compute_logits(model, encoded, max_tokens=10, precision="float32")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    if isinstance(task, MultiLabel):
        assert peer.config.problem_type == "multi_label_classification"
        targets = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 1]])
        with torch.no_grad():
            loss = peer(**tokenizer(TEXTS, padding=True, return_tensors="pt"), labels=targets).loss
        our_loss = task.loss(ours, targets, torch.arange(4)) / task.count(targets)
        torch.testing.assert_close(our_loss, loss, atol=1e-5, rtol=0)
    if isinstance(task, Classification):
        assert tuple(peer.config.id2label.values()) == task.classes
        torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("folder", "task"), list(zip(TASKS, TASKS, strict=True)), indirect=["folder"])
def test_a_folder_without_task_json_is_described_by_its_config(folder: tuple[Path, TaskModel], task: Task[Any]):
    (folder[0] / "task.json").unlink()
    found = load_task(ModelFolder.open(folder[0]))
    assert (found.kind, found.classes) == (task.kind, task.classes)
    assert found.max_length == 40


def test_a_model_that_was_not_fine_tuned_is_refused(tiny_model: Path):
    with pytest.raises(InputError, match=r"BertForPreTraining.*fine-tune"):
        load_task(ModelFolder.open(tiny_model))


@pytest.mark.parametrize("folder", TASKS[:1], indirect=True)
@pytest.mark.parametrize(
    "damage", [{}, {"kind": "poetry", "max_length": 3}, {"kind": "regression", "columns": {"x": 1}}]
)
def test_a_task_file_of_something_else_is_refused(folder: tuple[Path, TaskModel], damage: dict[str, object]):
    write_json(folder[0] / "task.json", damage)
    with pytest.raises(InputError, match=r"task\.json"):
        load_task(ModelFolder.open(folder[0]))


@pytest.mark.parametrize("folder", TASKS[:1], indirect=True)
def test_logits_come_in_the_order_of_the_texts(folder: tuple[Path, TaskModel]):
    model, _ = load_task_model(ModelFolder.open(folder[0]))
    tokenizer = Tokenizer.from_pretrained(folder[0])
    together = compute_logits(model, tokenizer.encode_batch(TEXTS * 3), max_tokens=16, precision="float32")
    for index, text in enumerate(TEXTS * 3):
        alone = compute_logits(model, [tokenizer.encode(text)], max_tokens=16, precision="float32")
        torch.testing.assert_close(together[index], alone[0])


@pytest.mark.parametrize("folder", TASKS[:1], indirect=True)
def test_a_failed_save_leaves_the_old_folder(folder: tuple[Path, TaskModel], monkeypatch: pytest.MonkeyPatch):
    before = {path.name: path.read_bytes() for path in folder[0].iterdir()}
    monkeypatch.setattr("bertkit.tasks.model.write_json", lambda *_: shutil.copy("/nonexistent", "/nowhere"))
    with pytest.raises(FileNotFoundError):
        save_task_model(folder[0], folder[1], TASKS[0], Tokenizer.from_pretrained(folder[0]))
    assert {path.name: path.read_bytes() for path in folder[0].iterdir()} == before


@pytest.mark.parametrize("labels", [1, 3])
def test_a_multi_label_folder_of_someone_else_stays_one(tmp_path: Path, tiny_model: Path, labels: int):
    import transformers

    theirs = transformers.BertForSequenceClassification.from_pretrained(
        tiny_model, num_labels=labels, problem_type="multi_label_classification"
    )
    theirs.classifier.weight.data.zero_()
    theirs.classifier.bias.data = torch.tensor([2.0, 1.5, -3.0])[:labels]
    theirs.save_pretrained(tmp_path / "theirs")
    Tokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "theirs", max_length=32, token_types=True)
    convert(tmp_path / "theirs", tmp_path / "ours")
    assert read_json(tmp_path / "ours/config.json")["problem_type"] == "multi_label_classification"
    for name in ("theirs", "ours"):
        found = bertkit.load(tmp_path / name).predict("a good film")
        assert found.labels == ("LABEL_0", "LABEL_1")[:labels]
        assert list(found.probabilities.values()) == pytest.approx([0.880797, 0.817574, 0.047426][:labels], abs=1e-6)
