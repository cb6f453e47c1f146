"""A saved folder opens in Hugging Face's own class of its task, with the same outputs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertkit.inference.evaluation import compute_logits
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.pretrained.folder import ModelFolder
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.contract import Task
from bertkit.tasks.model import load_task_model, new_task_model, save_task_model
from bertkit.tasks.options import Columns
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.tagging.task import Tagging
from bertkit.tasks.task_folder import load_task
from bertkit.text.tokenizer import Tokenizer

PAIRS = [("what film", "the plot was so long the plot was so long"), ("was it", "a good film"), ("bad", "")]
TASKS: dict[str, Task[Any]] = {
    "AutoModelForQuestionAnswering": SpanExtraction(
        max_length=18, doc_stride=4, joint=True, impossible=True, threshold=-0.5, joint_threshold=0.25
    ),
    "AutoModelForTokenClassification": Tagging(
        classes=("O", "B-X", "I-X"), max_length=9, context="document", metric_names=("accuracy", "f1")
    ),
    "AutoModelForMultipleChoice": MultipleChoice(max_length=14, columns=Columns(text="q", choices=("a", "b"))),
}


def _save(folder: Path, tiny_model: Path, task: Task[Any]) -> None:
    tokenizer = Tokenizer.from_pretrained(tiny_model)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    model = new_task_model(task, config)
    initialize(model, 0.3, 5)
    save_task_model(folder, model, task, tokenizer)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_comes_back_as_it_was(tmp_path: Path, tiny_model: Path, name: str):
    _save(tmp_path / "model", tiny_model, TASKS[name])
    _, task = load_task_model(ModelFolder.open(tmp_path / "model"))
    assert task == TASKS[name]


@pytest.mark.parametrize("name", list(TASKS))
def test_a_folder_of_someone_else_is_known_by_its_class(tmp_path: Path, tiny_model: Path, name: str):
    _save(tmp_path / "ours", tiny_model, TASKS[name])
    peer = getattr(transformers, name).from_pretrained(tmp_path / "ours")
    peer.save_pretrained(tmp_path / "theirs")
    found = load_task(ModelFolder.open(tmp_path / "theirs"))
    assert (found.kind, found.classes, found.max_length) == (TASKS[name].kind, TASKS[name].classes, 40)


def test_scores_of_starts_and_ends_are_those_of_transformers(tmp_path: Path, tiny_model: Path):
    _save(tmp_path, tiny_model, TASKS["AutoModelForQuestionAnswering"])
    peer, report = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    with torch.no_grad():
        output = peer.eval()(**inputs)
    theirs = torch.stack([output.start_logits, output.end_logits], -1)[inputs["attention_mask"].bool()]
    encoded = Tokenizer.from_pretrained(tmp_path).encode_batch(*zip(*PAIRS, strict=True))
    model, _ = load_task_model(ModelFolder.open(tmp_path))
    ours = compute_logits(model, encoded, max_tokens=20, precision="float32")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_tags_of_tokens_are_those_of_transformers(tmp_path: Path, tiny_model: Path):
    name = "AutoModelForTokenClassification"
    _save(tmp_path, tiny_model, TASKS[name])
    peer, report = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert tuple(peer.config.id2label.values()) == TASKS[name].classes
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = ["a good film", "the plot was so long the plot", "bad"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = peer.eval()(**inputs).logits[inputs["attention_mask"].bool()]
    model, _ = load_task_model(ModelFolder.open(tmp_path))
    encoded = Tokenizer.from_pretrained(tmp_path).encode_batch(texts)
    ours = compute_logits(model, encoded, max_tokens=8, precision="float32")
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_scores_of_choices_are_those_of_transformers(tmp_path: Path, tiny_model: Path):
    name = "AutoModelForMultipleChoice"
    _save(tmp_path, tiny_model, TASKS[name])
    peer, report = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    choices = ["a good film", "bad", "the plot was so long"]
    inputs = tokenizer(["the film"] * 3, choices, padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = peer.eval()(**{key: value[None] for key, value in inputs.items()}).logits[0]
    model, task = load_task_model(ModelFolder.open(tmp_path))
    instances = task.encode(task.examples([("the film", choices)]), Tokenizer.from_pretrained(tmp_path), labelled=False)
    ours = compute_logits(model, instances.sequences, max_tokens=8, precision="float32")
    torch.testing.assert_close(ours[:, 0], theirs, atol=1e-5, rtol=0)
