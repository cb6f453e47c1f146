import numpy as np
import torch

from bertkit.studies.feature_based.layer_mix import LayerMix
from bertkit.studies.feature_based.text_classifier import TextClassifier, learned_weights


def test_a_mix_is_the_sum_with_weights_of_a_softmax():
    mix, layers = LayerMix(3), torch.randn(3, 5, 4)
    torch.testing.assert_close(mix(layers), layers.mean(0))
    with torch.no_grad():
        mix.scores.copy_(torch.tensor([0.3, -1.0, 2.0]))
    weights = np.exp([0.3, -1.0, 2.0]) / np.exp([0.3, -1.0, 2.0]).sum()
    expected = sum(weight * layer for weight, layer in zip(weights, layers.numpy(), strict=True))
    np.testing.assert_allclose(mix(layers).detach(), expected, atol=1e-6)


def test_the_layer_that_tells_classes_apart_gets_the_weight():
    draw = np.random.default_rng(1)
    targets = draw.integers(0, 3, 120)
    noise = draw.normal(size=(3, 120, 4)).astype(np.float32)
    noise[1, np.arange(120), targets] += 6
    weights = learned_weights(list(noise), targets, 3, 1.0)
    assert np.argmax(weights) == 1
    assert np.isclose(sum(weights), 1)
    assert weights[1] > 0.6
    classifier = TextClassifier(list(noise), targets, 4, "learned", 1.0)
    logits = classifier.logits(list(noise))
    assert (logits.argmax(-1).numpy() == targets).mean() > 0.9
    assert torch.isinf(logits[:, 3]).all()  # a class without a training text


def test_sums_and_ends_of_layers_are_what_scikit_learn_sees():
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(2)
    layers, targets = list(draw.normal(size=(2, 60, 5)).astype(np.float32)), draw.integers(0, 2, 60)
    for combination, features in (("sum", layers[0] + layers[1]), ("concat", np.concatenate(layers, 1))):
        expected = LogisticRegression(C=0.5, max_iter=1000).fit(features, targets).predict_log_proba(features)
        found = TextClassifier(layers, targets, 2, combination, 0.5).logits(layers)
        np.testing.assert_allclose(found, expected, atol=1e-5)
