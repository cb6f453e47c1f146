from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.core.packing import PackedArrays
from bertkit.inference import engine
from bertkit.inference.backends.base import PooledStates, TokenStates
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far")
POSITIONS = 40  # of the models in conftest.py

SENTENCES = st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=45).map(" ".join)


@pytest.fixture(scope="module")
def encoder(pretrained: Path) -> Predictor:
    return load(pretrained, device="cpu")


@settings(max_examples=6, deadline=None)
@given(texts=st.lists(SENTENCES, min_size=1, max_size=5))
def test_vectors_come_in_order_and_do_not_depend_on_the_neighbours(encoder: Predictor, texts: list[str]):
    together = encoder.embed(texts)
    alone = np.stack([encoder.embed(text) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_small_chunks_change_nothing(encoder: Predictor, monkeypatch: pytest.MonkeyPatch):
    texts = [" ".join(WORDS[: 1 + index % 4]) for index in range(11)]
    masked = [f"{text} [MASK]" for text in texts]
    expected, filled = encoder.embed(texts), encoder.fill_mask(masked)
    monkeypatch.setattr(engine, "CHUNK_TEXTS", 5)
    np.testing.assert_allclose(encoder.embed(texts), expected, atol=1e-5)
    assert [[entry for entry, _ in mask] for one in encoder.fill_mask(masked) for mask in one] == [
        [entry for entry, _ in mask] for one in filled for mask in one
    ]


def test_no_texts_give_no_vectors(encoder: Predictor):
    assert encoder.embed([]).shape == (0, 24)


def test_mean_cls_and_pooler_are_what_their_names_say(encoder: Predictor):
    text = "the cat sat"
    ids = encoder.model.tokenizer.encode(text)
    states = encoder.model.engine.run(PackedArrays.of([ids]), TokenStates((0, 1, 2)))
    (pooled,) = encoder.model.engine.run(PackedArrays.of([ids]), PooledStates())
    np.testing.assert_allclose(encoder.embed(text), states[-1].mean(0), atol=1e-6)
    np.testing.assert_allclose(encoder.embed(text, "cls"), states[-1][0], atol=1e-6)
    np.testing.assert_allclose(encoder.embed(text, "pooler"), pooled[0], atol=1e-6)
    for layer in (0, 1, -2, 2):
        np.testing.assert_allclose(encoder.embed(text, layer=layer), states[layer].mean(0), atol=1e-6)


def test_normalized_vectors_have_length_one(encoder: Predictor):
    np.testing.assert_allclose(np.linalg.norm(encoder.embed(["a cat", "a dog"], normalize=True), axis=1), 1, atol=1e-6)


def test_texts_are_cut_at_the_number_of_positions(encoder: Predictor):
    words = ["cat"] * (POSITIONS - 2)
    np.testing.assert_allclose(encoder.embed(" ".join([*words, "dog"])), encoder.embed(" ".join(words)), atol=1e-6)
    np.testing.assert_allclose(encoder.embed("a cat ran far", max_length=4), encoder.embed("a cat"), atol=1e-6)


def test_every_mask_gets_its_likeliest_entries(encoder: Predictor):
    one = encoder.fill_mask("the [MASK] sat", top_k=3)
    assert len(one) == 1 and len(one[0]) == 3
    assert one[0] == sorted(one[0], key=lambda filling: -filling[1])
    first, second = encoder.fill_mask(["a [MASK] and a [MASK]", "the [MASK] sat"], top_k=15)
    assert [len(mask) for mask in first] == [15, 15]
    assert sum(chance for _, chance in first[0]) <= 1 + 1e-6
    assert second[0][0][0] == one[0][0][0]
    assert second[0][0][1] == pytest.approx(one[0][0][1], abs=1e-5)


def test_masks_are_filled_as_transformers_fills_them(encoder: Predictor, pretrained: Path):
    import transformers

    theirs = transformers.BertForPreTraining.from_pretrained(pretrained).eval()
    text = "the [MASK] sat on a [MASK]"
    ids = torch.from_numpy(encoder.model.tokenizer.encode(text).input_ids.astype(np.int64))[None]
    with torch.no_grad():
        chances = theirs(ids).prediction_logits[0].softmax(-1)[ids[0] == encoder.model.tokenizer.mask_token_id]
    entries = encoder.model.tokenizer.vocab_size
    chances = chances[:, :entries] / chances[:, :entries].sum(-1, keepdim=True)
    for found, expected in zip(encoder.fill_mask(text, top_k=entries), chances, strict=True):
        for token, chance in found:
            assert chance == pytest.approx(expected[encoder.model.tokenizer.token_to_id(token)].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "words"), [("the cat sat", "is missing"), ("a " * 60 + "[MASK]", "is beyond max_length")]
)
def test_a_text_without_a_mask_is_named(encoder: Predictor, text: str, words: str):
    with pytest.raises(InputError, match=rf"text 1: \[MASK\] {words}"):
        encoder.fill_mask(["the [MASK] sat", text])


def test_classes_come_with_the_probabilities_of_transformers(classifier: Path):
    import transformers

    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    predictor = load(classifier, device="cpu")
    pairs = [("the cat", "a dog ran far"), ("mat", "sat"), ("the dog and the cat", "on")]
    for (first, second), prediction in zip(pairs, predictor.predict(pairs), strict=True):
        example = predictor.model.tokenizer.encode(first, second)
        ids, segments = (
            torch.from_numpy(x.astype(np.int64))[None] for x in (example.input_ids, example.token_type_ids)
        )
        with torch.no_grad():
            chances = theirs(ids, token_type_ids=segments).logits[0].softmax(-1)
        assert list(prediction.probabilities) == ["bad", "fair", "good"]
        np.testing.assert_allclose(list(prediction.probabilities.values()), chances, atol=1e-5)
        assert prediction.label == ["bad", "fair", "good"][chances.argmax()]


def test_one_text_gives_one_prediction_and_the_task_cuts_it(classifier: Path):
    predictor = load(classifier, device="cpu")
    words = ["cat"] * 14
    cut = predictor.predict(" ".join([*words, "dog", "dog"]))
    assert cut.probabilities == pytest.approx(predictor.predict([" ".join(words)])[0].probabilities, abs=1e-6)


def test_scores_are_numbers(scorer: Path):
    predictor = load(scorer, device="cpu")
    assert isinstance(predictor.predict("the cat").score, float)
    assert len(predictor.predict(["the cat", "a dog"])) == 2


@pytest.mark.parametrize("texts", [("the cat", "a dog"), [("a", "b"), "c"], [("a", "b", "c")], ["a", 3], [("a", 3)]])
def test_what_is_neither_texts_nor_pairs_is_refused(classifier: Path, texts):
    with pytest.raises(InputError):
        load(classifier, device="cpu").predict(texts)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"pooling": "max"}, "pooling 'max' is unknown"),
        ({"layer": 3}, "layer 3 is unknown"),
        ({"layer": -4}, "layer -4 is unknown"),
        ({"pooling": "pooler", "layer": 1}, "last layer"),
        ({"max_length": 41}, "3 to 40"),
        ({"max_length": 2}, "3 to 40"),
    ],
)
def test_settings_that_cannot_be_are_named(encoder: Predictor, arguments: dict, words: str):
    with pytest.raises(InputError, match=words):
        encoder.embed(["the cat"], **arguments)


def test_a_model_says_what_it_cannot_do(encoder: Predictor, classifier: Path):
    with pytest.raises(InputError, match=r"holds BertForPreTraining, which labels nothing: fine-tune it"):
        encoder.predict("the cat")
    with pytest.raises(InputError, match=r"holds BertForSequenceClassification, which has no masked-LM head"):
        load(classifier, device="cpu").fill_mask("the [MASK]")
    with pytest.raises(InputError, match="top_k must lie in 1 to 15"):
        encoder.fill_mask("the [MASK]", top_k=16)
