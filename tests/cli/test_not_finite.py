"""A result that is not finite is an error, and no model or prediction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bertkit.cli.main import run
from bertkit.core.errors import DivergedError, InputError
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.tasks.choice import MultipleChoice
from bertkit.tasks.classification import Classification
from bertkit.tasks.contract import Task
from bertkit.tasks.model import new_task_model, save_task_model
from bertkit.tasks.questions.task import SpanExtraction
from bertkit.tasks.regression import Regression
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer

TASKS: dict[str, tuple[Task, str]] = {
    "classes": (Classification(classes=("bad", "good"), max_length=16), "a good film"),
    "scores": (Regression(max_length=16), "a good film"),
    "tags": (Tagging(classes=("O", "B-PER"), max_length=16), "a good film"),
    "answers": (SpanExtraction(max_length=24, doc_stride=4), "a film\tgood film"),
    "choices": (MultipleChoice(max_length=24), "a film\tgood\tbad"),
}


@pytest.fixture
def overflowing(tiny_model: Path, tmp_path: Path) -> Callable[[str], str]:
    """Folders of models with finite weights whose outputs are not."""

    def folder(kind: str) -> str:
        task, tokenizer = TASKS[kind][0], Tokenizer.from_pretrained(tiny_model)
        config = BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=24,
        )
        model = new_task_model(task, config)
        initialize(model, 0.2, 1)
        with torch.no_grad():
            for parameter in model.head.parameters():
                parameter.fill_(3e38)
        save_task_model(tmp_path / kind, model, task, tokenizer)
        return str(tmp_path / kind)

    return folder


@pytest.mark.parametrize("kind", TASKS)
def test_a_prediction_that_is_not_finite_is_an_error_that_names_the_text(kind: str, overflowing, tmp_path, capsys):
    output = tmp_path / "o.jsonl"
    assert run(["predict", overflowing(kind), TASKS[kind][1], "--output", str(output)]) == InputError.exit_code
    assert "text 0: the model's output is not finite" in capsys.readouterr().err
    assert not output.exists()


def _spoil(folder: Path, copy: Path) -> str:
    """The tiny model with a last LayerNorm whose finite weights make outputs overflow."""
    from safetensors.torch import load_file, save_file

    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = load_file(copy / "model.safetensors")
    name = [name for name in sorted(weights) if name.endswith("output.LayerNorm.weight") and "attention" not in name][
        -1
    ]
    weights[name].fill_(3e38)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    (copy / "SHA256SUMS").unlink()
    return str(copy)


@pytest.mark.parametrize("command", ["embed", "features"])
def test_a_vector_that_is_not_finite_is_an_error_that_names_the_text(command: str, tiny_model, tmp_path, capsys):
    model = _spoil(tiny_model, tmp_path / "m")
    assert run([command, model, "a film", "--output", str(tmp_path / "o.npy")]) == InputError.exit_code
    assert "text 0, 'a film': the model's output is not finite" in capsys.readouterr().err
    assert not (tmp_path / "o.npy").exists()


def test_a_filling_that_is_not_finite_is_an_error(tiny_model, tmp_path, capsys):
    assert run(["fill-mask", _spoil(tiny_model, tmp_path / "m"), "a [MASK] film"]) == InputError.exit_code
    captured = capsys.readouterr()
    assert "text 0: the model's output is not finite" in captured.err
    assert captured.out == ""


def test_fine_tuning_that_diverges_writes_no_model(tiny_model: Path, tmp_path: Path, capsys):
    rows = [{"text": f"a {'good' if number % 2 else 'bad'} film", "label": number % 2} for number in range(12)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["finetune", str(tiny_model), "--train", str(tmp_path / "t.jsonl"), "--epochs", "1", "--batch-size", "4"]
    out = tmp_path / "run"
    assert run([*command, "--learning-rate", "1e30", "--out", str(out)]) == DivergedError.exit_code
    assert "training diverged by step" in capsys.readouterr().err
    assert not (out / "model").exists()
    assert not [*out.glob("**/model.safetensors")]
