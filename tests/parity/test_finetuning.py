"""Fine-tuning beside a plain loop of Transformers' model and torch's AdamW: same weights, same batches."""

from pathlib import Path

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup

from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_seed import FinetuneLoader
from bertkit.recipes.finetune_setup import FinetuneSetup, starting_model
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.data import TaskData
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import save_task_model
from bertkit.tasks.options import Columns
from parity_table import ParityTable

OPTIONS = FinetuneOptions(
    epochs=1,
    batch_size=8,
    learning_rate=3e-3,
    warmup_share=0.0,
    weight_decay=0.1,
    max_length=24,
    hidden_dropout=0.0,
    attention_dropout=0.0,
    precision="float32",
    micro_batch_tokens=64,
)


def _examples(count: int) -> LabelledExamples:
    words = [("good", "fine", "bad", "poor")[index % 4] for index in range(count)]
    return LabelledExamples(
        texts=tuple(f"{'the plot was so long ' * (index % 3)}a {word} film" for index, word in enumerate(words)),
        text_pairs=None,
        labels=tuple("pos" if word in ("good", "fine") else "neg" for word in words),
        places=tuple(f"row {index}" for index in range(count)),
    )


def test_an_epoch_ends_with_the_weights_of_a_plain_loop(parity_table: ParityTable, tiny_model: Path, tmp_path: Path):
    data = TaskData(name="films", train=_examples(160), dev=_examples(8), test=None, columns=Columns())
    setup = FinetuneSetup.of(tiny_model, data, OPTIONS)
    start = starting_model(setup.folder, setup.model_config, setup.task, OPTIONS, 0)
    save_task_model(tmp_path / "start", start, setup.task, setup.tokenizer)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "start").train()
    before = {name: weight.detach().clone() for name, weight in theirs.named_parameters()}

    matrices = [weight for weight in theirs.parameters() if weight.ndim > 1]
    vectors = [weight for weight in theirs.parameters() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=OPTIONS.learning_rate, eps=1e-6)
    loader = FinetuneLoader(setup.train, batch_size=8, micro_batch_tokens=1024, seed=0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, loader.steps_per_epoch)
    for (batch,) in loader.batches(0, loader.steps_per_epoch):
        ids = list(batch.inputs.input_ids.split(batch.inputs.cu_seqlens.diff().tolist()))
        mask = pad_sequence([torch.ones_like(sequence) for sequence in ids], batch_first=True)
        logits = theirs(input_ids=pad_sequence(ids, batch_first=True), attention_mask=mask).logits
        F.cross_entropy(logits, batch.targets).backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), OPTIONS.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

    ours = AutoModelForSequenceClassification.from_pretrained(
        finetune(tiny_model, data, tmp_path / "run", OPTIONS).model
    )
    trained = dict(ours.named_parameters())
    assert max((weight - before[name]).abs().max().item() for name, weight in theirs.named_parameters()) > 0.01
    for name, weight in theirs.named_parameters():
        difference = (trained[name] - weight).abs().max().item()
        parity_table.check(
            "weights after an epoch",
            "finetune",
            "Transformers and AdamW, float32",
            difference,
            1e-5,
            "largest difference of a weight",
        )
