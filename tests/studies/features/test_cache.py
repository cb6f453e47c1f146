import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from bertkit.studies.features.cache import LayerMix
from bertkit.studies.features.classifier import TextClassifier, learned_weights
from bertkit.studies.features.tagger import BiLstmTagger, TaggedWords


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


def words(lengths: list[int], layers: int = 2) -> TaggedWords:
    """Every word's features are its number, and its layer's hundred."""
    count = sum(lengths)
    features = [np.tile(100 * layer + np.arange(count)[:, None], (1, 3)).astype(np.float16) for layer in range(layers)]
    return TaggedWords(features, torch.arange(count), np.array(lengths), torch.device("cpu"))


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=8).filter(any))
def test_a_batch_lies_as_torch_packs_sequences(lengths: list[int]):
    tagged = words(lengths)
    chosen = np.flatnonzero(lengths)
    batch = tagged.batch(chosen)
    starts = np.cumsum(lengths) - lengths
    runs = [torch.arange(starts[place], starts[place] + lengths[place]) for place in chosen]
    packed = pack_sequence(sorted(runs, key=len, reverse=True))
    assert torch.equal(batch.batch_sizes, packed.batch_sizes)
    assert torch.equal(batch.targets, packed.data)
    assert batch.rows.tolist() == packed.data.tolist()
    for layer, features in enumerate(batch.features):
        assert torch.equal(features, (100 * layer + packed.data.float())[:, None].expand(-1, 3))


def test_an_epoch_has_every_sentence_once_in_an_order_of_its_own():
    tagged = words([3, 0, 1, 2, 4, 2, 5, 1, 2])
    assert tagged.steps_per_epoch(3) == 3
    batches = [batch for (batch,) in tagged.shuffled(3, seed=5, start=0, stop=6)]
    epochs = [np.concatenate([batch.rows for batch in batches[first : first + 3]]) for first in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()
    (again,) = next(tagged.shuffled(3, seed=5, start=5, stop=6))
    assert again.rows.tolist() == batches[5].rows.tolist()
    assert sorted(np.concatenate([batch.rows for batch in tagged.in_order(2)])) == list(range(20))


def test_a_sentence_is_read_alone_whatever_its_neighbours():
    torch.manual_seed(0)
    for combination in ("concat", "sum", "learned"):
        tagger = BiLstmTagger(3, 2, combination, width=4, tags=5, drop_rate=0.3).eval()
        tagged = words([3, 5, 1])
        together = torch.zeros(9, 5)
        batch = tagged.batch(np.arange(3))
        together[batch.rows] = tagger(batch.features, batch.batch_sizes)
        for sentence in range(3):
            alone = tagged.batch(np.array([sentence]))
            torch.testing.assert_close(tagger(alone.features, alone.batch_sizes), together[alone.rows])
