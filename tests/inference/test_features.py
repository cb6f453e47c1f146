from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import TokenStates
from bertkit.inference.feature_layers import find_layers, last_layers
from bertkit.inference.load import load
from bertkit.inference.predictor import Predictor

TEXTS = ["the cat sat", "a dog and the mat ran far", ""]


@pytest.fixture(scope="module")
def encoder(pretrained: Path) -> Predictor:
    return load(pretrained, device="cpu")


@pytest.fixture(scope="module")
def states(encoder: Predictor) -> list[np.ndarray]:
    """Of each text all hidden states (3, n, H), the text alone in its batch."""
    tokenizer, engine = encoder.model.tokenizer, encoder.model.engine
    outputs = [engine.run(PackedArrays.of([tokenizer.encode(text)]), TokenStates((0, 1, 2))) for text in TEXTS]
    return [np.stack(output) for output in outputs]


LAYERS = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)


@settings(max_examples=6)
@given(layers=LAYERS, weights=st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3))
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_layers_are_combined_as_their_names_say(encoder, states, layers: list[int], weights: list[float], pooling: str):
    pooled = [[one.mean(0) if pooling == "mean" else one[0] for one in text[layers]] for text in states]
    weights = weights[: len(layers)]
    expected = {
        "concat": [np.concatenate(one) for one in pooled],
        "sum": [np.sum(one, 0) for one in pooled],
        "mean": [np.mean(one, 0) for one in pooled],
        "weighted": [np.tensordot(weights, one, 1) for one in pooled],
    }
    for combine, vectors in expected.items():
        given_weights = weights if combine == "weighted" else None
        found = encoder.features(TEXTS, layers, combine, pooling, weights=given_weights)
        np.testing.assert_allclose(found, vectors, atol=1e-5)


def test_tokens_have_their_own_vectors_and_their_places_in_the_text(encoder: Predictor, states):
    for text, found, expected in zip(TEXTS, encoder.features(TEXTS, "all", pooling="tokens"), states, strict=True):
        np.testing.assert_allclose(found.vectors, np.concatenate([expected[1], expected[2]], -1), atol=1e-5)
        assert [found.tokens[0], found.tokens[-1]] == ["[CLS]", "[SEP]"]
        assert [text[start:end] for start, end in found.offsets[1:-1]] == list(found.tokens[1:-1])


def test_a_single_text_gives_a_single_result(encoder: Predictor):
    together = encoder.features(TEXTS, "last")
    np.testing.assert_allclose(encoder.features(TEXTS[1], "last"), together[1], atol=1e-5)
    assert encoder.features(TEXTS[0], "last", pooling="tokens").tokens[1] == "the"
    assert encoder.features([], "last").shape == (0, 24)


def test_names_of_layers():
    assert find_layers("embeddings, -2,last", 12) == (0, 11, 12)
    assert find_layers([-4, -3, -2, -1], 12) == (9, 10, 11, 12)
    assert find_layers("all", 3) == (1, 2, 3)
    assert find_layers(last_layers(12), 12) == (9, 10, 11, 12)
    assert find_layers(last_layers(2), 2) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": "lats"}, "layer 'lats' is unknown: use embeddings, last, all or a number from -3 to 2"),
        ({"layers": 3}, "layer 3 is unknown"),
        ({"layers": "last,-1"}, "name layer 2 twice"),
        ({"layers": []}, "no layer was named"),
        ({"layers": -1, "combine": "product"}, "combination 'product' is unknown"),
        ({"layers": -1, "pooling": "pooler"}, "pooling 'pooler' is unknown"),
        ({"layers": "all", "combine": "weighted"}, "needs 2 weights, there are none"),
        ({"layers": "all", "combine": "weighted", "weights": [1.0]}, "needs 2 weights, there are 1"),
        ({"layers": -1, "combine": "weighted", "weights": [float("nan")]}, "weight nan"),
        ({"layers": "all", "combine": "sum", "weights": [1.0, 1.0]}, "weights belong to a weighted sum"),
    ],
)
def test_choices_that_cannot_be_are_named(encoder: Predictor, arguments: dict, words: str):
    with pytest.raises(InputError, match=words):
        encoder.features(TEXTS, **arguments)
