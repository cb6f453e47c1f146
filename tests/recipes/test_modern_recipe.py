"""A modern encoder from text to predictions, loaded by Transformers on the way."""

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import bertkit
from bertkit.data.corpus.prepare import prepare
from bertkit.data.instances.options import InstanceOptions
from bertkit.model.config import ModernBertConfig
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes.finetune import finetune
from bertkit.recipes.finetune_setup import starting_model
from bertkit.recipes.options import FinetuneOptions, PretrainOptions
from bertkit.recipes.pretrain import pretrain
from bertkit.tasks.data import TaskData
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import save_task_model
from bertkit.tasks.options import Columns
from bertkit.tasks.tagging.task import Tagging
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.run_folder import RunFolder

WORDS = ["wind", "river", "stone", "light", "over", "under", "runs", "falls", "keeps", "green", "old", "quiet"]
TEXT = "the old wind [MASK] over green stone"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a few steps of masked LM alone."""
    folder, rng = tmp_path_factory.mktemp("modern"), random.Random(0)
    documents = [[" ".join(rng.choices(WORDS, k=rng.randint(3, 12))) for _ in range(4)] for _ in range(40)]
    text = folder / "corpus.txt"
    text.write_text("\n\n".join("\n".join(document) for document in documents) + "\n")
    prepare([text], Tokenizer.train([*WORDS * 9, "the"], vocab_size=80), folder / "data")
    options = PretrainOptions(
        model=ModernBertConfig(
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=64,
            local_attention=4,
            pad_token_id=0,
            classifier_pooling="mean",
        ),
        training=TrainingOptions(
            steps=12,
            optimizer=OptimizerOptions(
                optimizer="stable-adamw", schedule="trapezoidal", learning_rate=1e-2, max_grad_norm=math.inf
            ),
            precision="float32",
            log_every=1,
        ),
        instances=InstanceOptions(seq_length=40, next_sentence=False),
        batch_size=8,
        micro_batch_tokens=128,
        held_out_share=0.2,
    )
    pretrain(folder / "data", folder / "run", options)
    return folder / "run"


def test_it_learns_and_fills_masks_as_transformers_does(run: Path):
    losses = [line["masked_lm_loss"] for line in RunFolder(run).read_metrics() if line["kind"] == "train"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model")
    theirs, info = transformers.AutoModelForMaskedLM.from_pretrained(run / "model", output_loading_info=True)
    assert type(theirs).__name__ == "ModernBertForMaskedLM"
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    inputs = tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        logits = theirs.eval()(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
        hidden = theirs.model(**inputs).last_hidden_state
    best = logits.softmax(-1).topk(3)
    model = bertkit.load(run / "model")
    (found,) = model.fill_mask(TEXT, top_k=3)
    assert [token for token, _ in found] == tokenizer.convert_ids_to_tokens(best.indices[0])
    assert [chance for _, chance in found] == pytest.approx(best.values[0].tolist(), rel=1e-4)
    np.testing.assert_allclose(model.embed(TEXT, pooling="mean"), hidden[0].mean(0), rtol=1e-4, atol=1e-5)


def test_its_classifier_starts_from_the_masked_lms_transform_and_predicts_as_transformers_does(
    run: Path, tmp_path: Path
):
    texts = tuple(f"the {word} river runs" for word in WORDS)
    labels = tuple("seen" if len(word) > 4 else "heard" for word in WORDS)
    places = tuple(f"row {index}" for index in range(len(texts)))
    examples = LabelledExamples(texts=texts, text_pairs=None, labels=labels, places=places)
    data = TaskData(name="words", train=examples, dev=examples, test=None, columns=Columns())
    options = FinetuneOptions(epochs=1, batch_size=4, max_length=16, precision="float32", learning_rate=1e-12)
    result = finetune(run / "model", data, tmp_path / "run", options)
    theirs, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        result.model, output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    start = transformers.AutoModelForMaskedLM.from_pretrained(run / "model")
    torch.testing.assert_close(theirs.head.dense.weight, start.head.dense.weight, rtol=0, atol=1e-9)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.model)
    inputs = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs.eval()(**inputs).logits.softmax(-1)
    for row, prediction in zip(expected, bertkit.load(result.model).predict(list(texts)), strict=True):
        found = [prediction.probabilities[theirs.config.id2label[index]] for index in range(2)]
        assert found == pytest.approx(row.tolist(), abs=1e-5)


def test_its_tagger_starts_there_too(run: Path, tmp_path: Path):
    folder = ModelFolder.open(run / "model")
    task = Tagging(classes=("O", "B-WIND", "I-WIND"), max_length=16)
    model = starting_model(folder, folder.config, task, FinetuneOptions(), 0)
    save_task_model(tmp_path / "tagger", model, task, Tokenizer.from_pretrained(run / "model"))
    theirs, info = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path / "tagger", output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    start = transformers.AutoModelForMaskedLM.from_pretrained(run / "model")
    assert torch.equal(theirs.head.dense.weight, start.head.dense.weight)
    assert torch.equal(theirs.head.norm.weight, start.head.norm.weight)
