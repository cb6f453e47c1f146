import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.data.instances.options import InstanceOptions
from bertkit.data.instances.sampling import plan_epoch
from tiny_corpora import lay_out

DOCUMENTS = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=2, max_size=8)
EXAMPLES = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def document_of(corpus, tokens):
    bounds = corpus.sentence_tokens[corpus.document_sentences]
    return np.searchsorted(bounds, tokens, side="right") - 1


@EXAMPLES
@given(lengths=DOCUMENTS, seq_length=st.integers(8, 60), seed=st.integers(0, 9))
def test_pairs_keep_the_rules_of_the_procedure(tmp_path, lengths, seq_length, seed):
    corpus = lay_out(tmp_path, lengths)
    options = InstanceOptions(seq_length=seq_length)
    plan = plan_epoch(corpus, options, seed, 0)
    assert plan.a_length.min() >= 1 and plan.b_length.min() >= 1
    assert (plan.a_length + plan.b_length).max() <= seq_length - 3
    a_document = document_of(corpus, plan.a_start)
    b_document = document_of(corpus, plan.b_start)
    assert (a_document == document_of(corpus, plan.a_start + plan.a_length - 1)).all()
    assert (b_document == document_of(corpus, plan.b_start + plan.b_length - 1)).all()
    assert ((a_document != b_document) == plan.is_random).all()
    follows = ~plan.is_random
    assert (plan.a_start + plan.a_length <= plan.b_start)[follows].all()
    # Only truncation parts A from the B that follows it.
    apart = follows & (plan.a_start + plan.a_length < plan.b_start)
    assert (plan.a_length + plan.b_length == seq_length - 3)[apart].all()
    assert set(a_document) == set(range(len(lengths)))


@EXAMPLES
@given(lengths=DOCUMENTS, seq_length=st.integers(8, 60), seed=st.integers(0, 9))
def test_single_segments_hold_every_token_once(tmp_path, lengths, seq_length, seed):
    corpus = lay_out(tmp_path, lengths)
    plan = plan_epoch(corpus, InstanceOptions(seq_length=seq_length, next_sentence=False), seed, 0)
    order = np.argsort(plan.a_start)
    starts, lengths_ = plan.a_start[order], plan.a_length[order]
    assert starts[0] == 0 and (starts[1:] == starts[:-1] + lengths_[:-1]).all()
    assert lengths_.sum() == corpus.num_tokens
    assert lengths_.min() >= 1 and lengths_.max() <= seq_length - 2
    assert (document_of(corpus, plan.a_start) == document_of(corpus, plan.a_start + plan.a_length - 1)).all()
    assert not plan.b_length.any() and not plan.is_random.any()


def test_single_segments_end_with_a_sentence_where_one_fits(make_corpus):
    plan = plan_epoch(
        make_corpus([[4, 4, 4], [25]]), InstanceOptions(seq_length=12, short_seq_prob=0, next_sentence=False), 1, 0
    )
    assert sorted(zip(plan.a_start.tolist(), plan.a_length.tolist(), strict=True)) == [
        (0, 8),
        (8, 4),
        (12, 10),
        (22, 10),
        (32, 5),
    ]


def literal_pairs(documents, max_num_tokens, short_seq_prob, rng):
    """The procedure token by token: a document is a list of sentences, a sentence a list of tokens."""
    for index, document in enumerate(documents):
        target = rng.randint(2, max_num_tokens) if rng.random() < short_seq_prob else max_num_tokens
        position = 0
        while position < len(document):
            gathered = []
            while position < len(document) and sum(map(len, gathered)) < target:
                gathered.append(document[position])
                position += 1
            a_end = rng.randint(1, len(gathered) - 1) if len(gathered) > 1 else 1
            a = [token for sentence in gathered[:a_end] for token in sentence]
            is_random = len(gathered) == 1 or rng.random() < 0.5
            if is_random:
                other = documents[rng.choice([i for i in range(len(documents)) if i != index])]
                b = []
                for sentence in other[rng.randrange(len(other)) :]:
                    b += sentence
                    if len(a) + len(b) >= target:
                        break
                position -= len(gathered) - a_end
            else:
                b = [token for sentence in gathered[a_end:] for token in sentence]
            while len(a) + len(b) > max_num_tokens:
                longer = a if len(a) > len(b) else b
                del longer[0 if rng.random() < 0.5 else -1]
            yield index, a[0], len(a), b[0], len(b), is_random


def test_instances_are_distributed_as_those_of_the_literal_procedure(make_corpus):
    lengths = [[3, 9, 14, 2, 6, 1], [30, 4, 4], [7], [5, 5, 5, 5, 5, 5, 5, 5], [2, 50, 3]]
    corpus = make_corpus(lengths)
    tokens = iter(range(sum(map(sum, lengths))))
    documents = [[[next(tokens) for _ in range(n)] for n in document] for document in lengths]
    epochs, rng = 1500, random.Random(5)
    literal = [i for _ in range(epochs) for i in literal_pairs(documents, 21, 0.3, rng)]
    ours = []
    for epoch in range(epochs):
        plan = plan_epoch(corpus, InstanceOptions(seq_length=24, short_seq_prob=0.3), 7, epoch)
        columns = (plan.a_start, plan.a_length, plan.b_start, plan.b_length, plan.is_random)
        ours += zip(document_of(corpus, plan.a_start).tolist(), *(c.tolist() for c in columns), strict=True)
    # Compare every marginal: the number of instances of each kind is a sum over independent epochs.
    views = {
        "instances of a document": lambda i: i[0],
        "a and its label": lambda i: (i[1], i[5]),
        "lengths": lambda i: (i[2], i[4]),
        "b and its label": lambda i: (i[3], i[5]),
    }
    for name, view in views.items():
        expected, found = Counter(map(view, literal)), Counter(map(view, ours))
        for kind in expected.keys() | found.keys():
            spread = 5 * np.sqrt(2 * (max(expected[kind], found[kind]) + 1))
            assert abs(expected[kind] - found[kind]) < spread, (name, kind, expected[kind], found[kind])


def test_every_epoch_and_seed_has_draws_of_its_own_that_repeat(corpus):
    def plan(seed, epoch):
        return plan_epoch(corpus, InstanceOptions(seq_length=48), seed, epoch).b_start.tolist()

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(1, 1)
    assert plan(1, 0) != plan(2, 0)


def test_a_random_segment_of_a_part_comes_from_that_part(corpus):
    rest, held_out = corpus.split(0.2, seed=3)
    for part in (rest, held_out):
        plan = plan_epoch(part, InstanceOptions(seq_length=48), 1, 0)
        documents = document_of(corpus, np.concatenate([plan.a_start, plan.b_start]))
        assert set(documents) <= set(part.documents)


def test_pairs_from_one_document_are_refused_with_the_remedy(make_corpus):
    with pytest.raises(InputError, match=r"two documents.*--no-nsp"):
        plan_epoch(make_corpus([[3, 4]]), InstanceOptions(), 1, 0)
    assert len(plan_epoch(make_corpus([[3, 4]]), InstanceOptions(next_sentence=False), 1, 0)) == 1


@pytest.mark.parametrize("wrong", [{"seq_length": 7}, {"seq_length": 20000}, {"short_seq_prob": 1.5}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        InstanceOptions(**wrong)
