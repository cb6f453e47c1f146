"""A folder as ELECTRA's are published, through every command: Transformers' discriminator with a tokenizer of words."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import bertkit
from bertkit.cli.main import run
from bertkit.core.errors import InputError
from bertkit.core.files import read_json
from bertkit.model.config import ElectraConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import start_with_neighbours
from bertkit.text.tokenizer import Tokenizer

GOOD, BAD = ("good", "fine", "great"), ("bad", "poor", "weak")
TEXTS = ["a good film", "the plot was so long"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("electra")
    tokenizer = Tokenizer.train(["a good fine great film", "a bad poor weak film", *TEXTS] * 4, 90)
    tokenizer.save_pretrained(folder)
    config = transformers.ElectraConfig(
        vocab_size=tokenizer.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    transformers.ElectraForPreTraining(config).save_pretrained(folder)
    return folder


def _table(path: Path, rows: int) -> Path:
    """Films whose adjective gives the label away."""
    words = [(GOOD if index % 2 else BAD)[index % 3] for index in range(rows)]
    lines = (f"a {word} film,{'pos' if word in GOOD else 'neg'}" for word in words)
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def test_embeddings_are_those_of_transformers_before_and_after_conversion(folder: Path, tmp_path: Path):
    assert run(["convert", str(folder), str(tmp_path / "copy")]) == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [theirs(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in TEXTS]
    for place in (folder, tmp_path / "copy"):
        found = bertkit.load(place).embed(TEXTS, pooling="mean")
        np.testing.assert_allclose(found, torch.stack(expected), rtol=1e-5, atol=1e-5)
    back, info = transformers.ElectraForPreTraining.from_pretrained(tmp_path / "copy", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    assert back.config.architectures == ["ElectraForPreTraining"]


def test_the_doctor_counts_what_transformers_counts(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["doctor", "--model", str(folder), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert counts["architecture"] == "ElectraForPreTraining"
    theirs = transformers.ElectraForPreTraining.from_pretrained(folder)
    assert counts["total"] == sum(parameter.numel() for parameter in theirs.parameters())
    assert counts["embeddings"]["projection"] == sum(p.numel() for p in theirs.electra.embeddings_project.parameters())


def test_it_is_fine_tuned_and_the_classifier_is_transformers(folder: Path, tmp_path: Path, capsys):
    train, dev = _table(tmp_path / "train.csv", 48), _table(tmp_path / "dev.csv", 12)
    options = [
        "--epochs",
        "20",
        "--batch-size",
        "8",
        "--learning-rate",
        "5e-3",
        "--hidden-dropout",
        "0",
        "--attention-dropout",
        "0",
    ]
    arguments = ["--train", str(train), "--dev", str(dev), "--kind", "classification", *options, "--json"]
    assert run(["finetune", str(folder), "--out", str(tmp_path / "run"), *arguments]) == 0
    capsys.readouterr()
    model = tmp_path / "run" / "model"
    assert read_json(model / "config.json")["architectures"] == ["ElectraForSequenceClassification"]
    found = bertkit.load(model).predict(["a great film", "a weak film"])
    assert [one.label for one in found] == ["pos", "neg"]
    theirs = transformers.pipeline("text-classification", model=str(model), top_k=None)
    for one, scores in zip(found, theirs(["a great film", "a weak film"]), strict=True):
        expected = {each["label"]: each["score"] for each in scores}
        assert one.probabilities == pytest.approx(expected, abs=1e-5)


def test_a_generator_fills_masks_as_in_transformers(folder: Path, tmp_path: Path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.ElectraForMaskedLM(transformers.ElectraConfig.from_pretrained(folder)).eval()
    theirs.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    inputs = tokenizer("a [MASK] film", return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
    best = logits.softmax(-1).topk(3)
    (found,) = bertkit.load(tmp_path).fill_mask("a [MASK] film", top_k=3)
    assert [token for token, _ in found] == tokenizer.convert_ids_to_tokens(best.indices[0])
    assert [chance for _, chance in found] == pytest.approx(best.values[0].tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"summary_type": "mean"}, "summary_type is 'mean'"),
        ({"embedding_size": 0}, "embedding_size is 0, not a whole number"),
    ],
)
def test_what_the_encoder_is_not_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], words: str):
    (tmp_path / "config.json").write_text(json.dumps(read_json(folder / "config.json") | change))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=words):
        bertkit.BertModel.from_pretrained(tmp_path)


def test_first_weights_from_a_corpus_are_bert_and_modernberts_alone():
    config = ElectraConfig(vocab_size=9, num_hidden_layers=1)
    with pytest.raises(InputError, match=r"electra .*paper's initial weights"):
        start_with_neighbours(Encoder(config), 0.02)
