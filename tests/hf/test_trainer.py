"""Hugging Face's Trainer and Accelerate train the drop-in classes."""

from pathlib import Path

import pytest
import torch
import transformers
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import bertkit.hf
from bertkit.hf import BertForMaskedLM, BertForSequenceClassification

LENGTHS = (12, 3, 7, 9, 5, 12, 4, 8)


def _examples(kind: str) -> list[dict[str, torch.Tensor]]:
    """The class of a sequence is that of its second token."""
    draw = torch.Generator().manual_seed(0)
    examples = []
    for length in LENGTHS * 4:
        mask = (torch.arange(12) < length).long()
        ids = torch.randint(1, 50, (12,), generator=draw) * mask
        labels = ids[1] % 3 if kind == "classes" else torch.where(torch.arange(12) < min(length, 3), ids, -100)
        examples.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return examples


def _arguments(folder: Path, **changes) -> TrainingArguments:
    settings = {
        "output_dir": str(folder),
        "max_steps": 24,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "logging_steps": 4,
        "save_steps": 12,
        "report_to": [],
        "use_cpu": True,
        "seed": 0,
        "disable_tqdm": True,
    }
    return TrainingArguments(**(settings | changes))


def _losses(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(("kind", "name"), [("classes", "BertForSequenceClassification"), ("words", "BertForMaskedLM")])
def test_the_trainer_takes_the_steps_that_it_takes_with_transformers(config, tmp_path: Path, kind: str, name: str):
    theirs = getattr(transformers, name)(transformers.BertConfig.from_dict(config.to_dict()))
    ours = getattr(bertkit.hf, name)(config)
    ours.load_state_dict(theirs.state_dict())
    losses = []
    for model in (theirs, ours):
        trainer = Trainer(
            model,
            _arguments(tmp_path / type(model).__module__, gradient_accumulation_steps=2, max_steps=12),
            train_dataset=_examples(kind),
            eval_dataset=_examples(kind),
            compute_metrics=lambda answers: {"rows": len(answers.predictions)},
        )
        trainer.train()
        metrics = trainer.evaluate()
        assert metrics["eval_rows"] == len(LENGTHS) * 4
        losses.append([*_losses(trainer), metrics["eval_loss"]])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[1][-1] < losses[1][0]


def test_a_checkpoint_of_the_trainer_resumes_and_loads(config, tmp_path: Path):
    model = BertForMaskedLM(config)
    trainer = Trainer(model, _arguments(tmp_path), train_dataset=_examples("words"))
    trainer.train()
    whole = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    again = Trainer(BertForMaskedLM(config), _arguments(tmp_path), train_dataset=_examples("words"))
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))
    for key, tensor in again.model.state_dict().items():
        torch.testing.assert_close(tensor, whole[key])

    checkpoint = tmp_path / "checkpoint-24"
    model.config.save_pretrained(checkpoint)  # the Trainer saves the weights alone
    for library in (bertkit.hf, transformers):
        loaded = library.BertForMaskedLM.from_pretrained(checkpoint)
        for key, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, whole[key])


def test_bf16_checkpointed_layers_and_the_best_model_work_under_the_trainer(config, tmp_path: Path, monkeypatch):
    rows: list[int] = []
    plain = bertkit.hf.layers.BertLMPredictionHead.logits
    monkeypatch.setattr(
        bertkit.hf.layers.BertLMPredictionHead,
        "logits",
        lambda self, hidden: rows.append(len(hidden)) or plain(self, hidden),
    )
    model = BertForMaskedLM(config)
    trainer = Trainer(
        model,
        _arguments(
            tmp_path,
            bf16=True,
            gradient_checkpointing=True,
            eval_strategy="steps",
            eval_steps=12,
            load_best_model_at_end=True,
            prediction_loss_only=True,
        ),
        train_dataset=_examples("words"),
        eval_dataset=_examples("words")[:8],
    )
    trainer.train()
    losses = _losses(trainer)
    assert losses[-1] < losses[0]
    assert max(rows[:12]) <= 8 * 3  # under mixed precision, too, the labelled places alone


def test_accelerate_trains_and_saves(config, tmp_path: Path):
    accelerator = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2)
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    loader = DataLoader(_examples("classes"), batch_size=8, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    losses = []
    for _ in range(12):
        for batch in loader:
            with accelerator.accumulate(model):
                outputs = model(**batch)
                assert outputs.logits.dtype == torch.float32
                accelerator.backward(outputs.loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(float(outputs.loss.detach()))
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    accelerator.save_state(str(tmp_path / "state"))
    before = {key: tensor.clone() for key, tensor in accelerator.unwrap_model(model).state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    accelerator.load_state(str(tmp_path / "state"))
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(
        tmp_path / "model",
        is_main_process=accelerator.is_main_process,
        state_dict=accelerator.get_state_dict(model),
        save_function=accelerator.save,
    )
    loaded = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "model")
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, before[key])
