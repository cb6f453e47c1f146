"""The sequences that are drawn in every epoch, against the original's procedure, in distribution.

Sequences of one document and epoch hang together (they share a target length), so one of them is taken at random of
every document and epoch: these are independent. Both samples take as many from each document, which makes every test
below conservative. Each test rejects at 0.001, so that the whole file would fail by chance with one in thirty seeds;
the seeds are fixed. That the samples are large enough to show a difference is tested too: procedures that differ a
little are rejected at the same level.
"""

import random
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.drawn import DrawnInstances
from bertkit.data.instances.options import InstanceOptions, MaskingOptions
from bertkit.data.instances.sampling import plan_epoch
from bertkit.text.tokenizer import Tokenizer
from reference_instances import Procedure
from static_documents import TOKENIZER, VOCABULARY, documents_of
from tiny_corpora import lay_out

LEVEL = 0.001
SEQ_LENGTH = 64
EPOCHS = 100
INSTANCES = InstanceOptions(seq_length=SEQ_LENGTH)


@dataclass(frozen=True)
class Sample:
    """n sequences, m masked positions of them."""

    length: np.ndarray  # (n,)
    first_segment: np.ndarray  # (n,)
    is_random: np.ndarray  # (n,)
    masks: np.ndarray  # (n,) masked positions of the sequence
    place: np.ndarray  # (m,) place in the sequence, from 0 to 1
    outcome: np.ndarray  # (m,) 0 [MASK], 1 the same, 2 another
    drawn: np.ndarray  # (m',) what stands where it is another


def describe(sequences):
    """A sample from (ids after masking, tokens of the first segment, positions, labels, is_random), in ids."""
    place, outcome, drawn = [], [], []
    for ids, _, positions, labels, _ in sequences:
        for position, label in zip(positions, labels, strict=True):
            kind = 0 if ids[position] == TOKENIZER.mask_token_id else 1 if ids[position] == label else 2
            place.append(position / (len(ids) - 1))
            outcome.append(kind)
            drawn += [ids[position]] * (kind == 2)
    lengths, firsts, masks, is_random = zip(
        *((len(ids), first, len(positions), flag) for ids, first, positions, _, flag in sequences), strict=True
    )
    columns = (lengths, firsts, is_random, masks, place, outcome, drawn)
    return Sample(*(np.array(column) for column in columns))


def of_original(corpus, vocabulary, whole_word, epochs, seed):
    documents, ids = documents_of(corpus, vocabulary), {token: i for i, token in enumerate(vocabulary)}
    procedure = Procedure(vocabulary, seq_length=SEQ_LENGTH, whole_word=whole_word)
    rng = random.Random(seed)
    sequences = []
    for _ in range(epochs):
        for own in range(len(documents)):
            made = rng.choice(procedure.of_document(documents, own, rng))
            tokens, labels = [ids[t] for t in made.tokens], [ids[t] for t in made.labels]
            sequences.append((tokens, made.segments.count(0), made.positions, labels, made.is_random))
    return describe(sequences)


def of_bertkit(corpus, masking, epochs, seed, instances=INSTANCES):
    source = DrawnInstances(corpus, instances, masking, seed=seed)
    starts = corpus.sentence_tokens[corpus.document_sentences]
    choice = np.random.default_rng(seed)
    sequences = []
    for epoch in range(epochs):
        document = np.searchsorted(starts, plan_epoch(corpus, instances, seed, epoch).a_start, side="right") - 1
        shuffled = choice.permutation(len(document))
        rows = shuffled[np.unique(document[shuffled], return_index=True)[1]]
        assert len(rows) == corpus.num_documents
        (batch,) = source.batches(epoch, rows, numbers=rows, micro_batch_tokens=1 << 30)
        bounds, positions = batch.inputs.cu_seqlens.numpy(), batch.masked_positions.numpy()
        ids, segments, labels = (
            t.tolist() for t in (batch.inputs.input_ids, batch.inputs.token_type_ids, batch.masked_labels)
        )
        for number, (start, stop) in enumerate(pairwise(bounds)):
            begin, end = np.searchsorted(positions, [start, stop])
            mine = (positions[begin:end] - start).tolist(), labels[begin:end]
            is_random = bool(batch.next_sentence_labels[number])
            sequences.append((ids[start:stop], segments[start:stop].count(0), *mine, is_random))
    return describe(sequences)


def homogeneous(one, other, bins=None):
    """p of the chi-square test that two samples of numbers have one distribution; equal shares a bin."""
    both = np.concatenate([one, other])
    edges = np.unique(both if bins is None else np.quantile(both, np.linspace(0, 1, bins + 1), method="lower"))
    table = np.stack(
        [np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1) for x in (one, other)]
    )
    table = table[:, table.sum(0) > 0]
    assert table.sum(0).min() >= 10 and table.shape[1] > 1
    return stats.chi2_contingency(table, correction=False).pvalue


def p_values(ours, theirs, vocab_size):
    mix = np.array([0.8 + 0.1 / vocab_size, 0.1 + 0.1 / vocab_size, 0.1 - 0.2 / vocab_size])
    drawn = np.histogram(ours.drawn, bins=10, range=(0, vocab_size))[0]
    return {
        "length": homogeneous(ours.length, theirs.length, 12),
        "length, Kolmogorov-Smirnov": stats.ks_2samp(ours.length, theirs.length).pvalue,
        "share of full length": homogeneous(ours.length == SEQ_LENGTH, theirs.length == SEQ_LENGTH),
        "first segment, Kolmogorov-Smirnov": stats.ks_2samp(ours.first_segment, theirs.first_segment).pvalue,
        "share of random pairs": homogeneous(ours.is_random, theirs.is_random),
        "masks a sequence": homogeneous(ours.masks, theirs.masks, 8),
        "place of the masks": homogeneous(ours.place, theirs.place, 10),
        "mix against the original": homogeneous(ours.outcome, theirs.outcome),
        "mix against 80/10/10": stats.chisquare(np.bincount(ours.outcome), mix * len(ours.outcome)).pvalue,
        "random tokens": stats.chisquare(drawn).pvalue,
    }


def assert_all_alike(found):
    report = ", ".join(f"{name} {p:.3f}" for name, p in found.items())
    print(f"p: {report}")
    assert min(found.values()) > LEVEL, report


@pytest.fixture(scope="module")
def made_corpus(tmp_path_factory):
    """50 documents of 1 to 30 sentences of 1 to 24 tokens, every token another."""
    draw = np.random.default_rng(3)
    lengths = [draw.integers(1, 25, draw.integers(1, 31)).tolist() for _ in range(50)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparedCorpus, "tokenizer", TOKENIZER)
        patch.setattr(TOKENIZER, "vocab_size", len(VOCABULARY), raising=False)
        yield lay_out(tmp_path_factory.mktemp("made"), lengths, first_id=5)


@pytest.fixture(scope="module", params=[False, True], ids=["tokens", "whole words"])
def compared(request, made_corpus):
    """(whole_word, sample of the original's procedure), 5,000 sequences."""
    return request.param, of_original(made_corpus, VOCABULARY, request.param, EPOCHS, seed=1)


def test_drawn_sequences_are_distributed_as_the_originals(made_corpus, compared):
    whole_word, theirs = compared
    ours = of_bertkit(made_corpus, MaskingOptions(whole_word=whole_word, max_predictions=20), EPOCHS, seed=2)
    found = p_values(ours, theirs, len(VOCABULARY))
    assert_all_alike(found)


@pytest.mark.parametrize(
    ("changed", "noticed"),
    [
        ({"instances": replace(INSTANCES, short_seq_prob=0.2)}, "length"),
        ({"instances": replace(INSTANCES, short_seq_prob=0.2)}, "share of full length"),
        ({"instances": replace(INSTANCES, seq_length=SEQ_LENGTH - 2)}, "length, Kolmogorov-Smirnov"),
        ({"masking": MaskingOptions(select_rate=0.17)}, "masks a sequence"),
        ({"masking": MaskingOptions(mask_rate=0.78, random_rate=0.11)}, "mix against the original"),
        ({"masking": MaskingOptions(mask_rate=0.78, random_rate=0.11)}, "mix against 80/10/10"),
    ],
)
def test_a_slightly_different_procedure_would_be_noticed(made_corpus, compared, changed, noticed):
    whole_word, theirs = compared
    masking = replace(changed.get("masking", MaskingOptions()), whole_word=whole_word)
    ours = of_bertkit(made_corpus, masking, EPOCHS, seed=2, instances=changed.get("instances", INSTANCES))
    assert p_values(ours, theirs, len(VOCABULARY))[noticed] < LEVEL


def test_a_slightly_different_share_of_random_pairs_would_be_noticed(compared):
    _, theirs = compared
    kept = ~theirs.is_random | (np.random.default_rng(4).random(len(theirs.is_random)) < 0.8)
    assert homogeneous(theirs.is_random[kept], theirs.is_random) < LEVEL


def test_a_random_second_segment_comes_from_any_other_document(made_corpus):
    counts = np.zeros(50)
    starts = made_corpus.sentence_tokens[made_corpus.document_sentences]
    for epoch in range(20):
        plan = plan_epoch(made_corpus, INSTANCES, 5, epoch)
        own, other = (
            np.searchsorted(starts, x[plan.is_random], side="right") - 1 for x in (plan.a_start, plan.b_start)
        )
        counts += np.bincount((other - own) % 50, minlength=50)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > LEVEL


def test_real_text_is_cut_and_masked_as_by_the_original(shared_data, tmp_path):
    path = shared_data / "pretrain" / "mini.txt"
    tokenizer = Tokenizer.train(path.read_text(encoding="utf-8").splitlines(), vocab_size=3000)
    prepare([path], tokenizer, tmp_path)
    corpus, vocabulary = PreparedCorpus.open(tmp_path), list(tokenizer.wordpiece.vocabulary)
    theirs = of_original(corpus, vocabulary, True, 5, seed=1)
    ours = of_bertkit(corpus, MaskingOptions(whole_word=True, max_predictions=20), 5, seed=2)
    found = p_values(ours, theirs, len(vocabulary))
    assert_all_alike(found)
