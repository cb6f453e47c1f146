"""The static stream against an independent transcription and against google-research/bert itself."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.google_stream import StaticStream
from bertkit.data.instances.options import StaticOptions
from bertkit.text.tokenizer import Tokenizer
from google_bert import google_bert
from reference_instances import Procedure
from static_documents import TOKENIZER, VOCABULARY, documents_of
from tiny_corpora import lay_out, make_text

DOCUMENTS = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=1, max_size=6)
OPTIONS = st.builds(
    StaticOptions,
    seq_length=st.integers(8, 70),
    dupe_factor=st.integers(1, 3),
    short_seq_prob=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    masked_lm_prob=st.sampled_from([0.02, 0.15, 0.6]),
    max_predictions_per_seq=st.sampled_from([1, 5, 20, 99]),
    whole_word=st.booleans(),
    random_seed=st.integers(0, 1 << 40),
)


@pytest.fixture(scope="module")
def original():
    return google_bert("create_pretraining_data")


def reference(vocabulary, options):
    return Procedure(
        vocabulary,
        options.seq_length,
        options.dupe_factor,
        options.short_seq_prob,
        options.masked_lm_prob,
        options.max_predictions_per_seq,
        options.whole_word,
    )


def in_words(instance, vocabulary):
    """An instance of the stream as the references write it."""
    first, length = instance.first_segment, len(instance.input_ids)
    return (
        [vocabulary[i] for i in instance.input_ids],
        [0] * first + [1] * (length - first),
        instance.positions,
        [vocabulary[i] for i in instance.labels],
        instance.is_random,
    )


def of_reference(instance):
    return (instance.tokens, instance.segments, instance.positions, instance.labels, instance.is_random)


def of_original(instance):
    return (
        instance.tokens,
        instance.segment_ids,
        instance.masked_lm_positions,
        instance.masked_lm_labels,
        instance.is_random_next,
    )


def ours(corpus, tokenizer, options, vocabulary):
    stream = StaticStream(corpus, tokenizer, options)
    made = [in_words(instance, vocabulary) for instances in stream.documents() for instance in instances]
    return [made[i] for i in stream.order(len(made))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=DOCUMENTS, options=OPTIONS)
def test_any_documents_give_the_instances_of_the_procedure(tmp_path, lengths, options):
    corpus = lay_out(tmp_path, lengths, first_id=5)
    documents = documents_of(corpus, VOCABULARY)
    expected = reference(VOCABULARY, options).run(documents, random.Random(options.random_seed))
    assert ours(corpus, TOKENIZER, options, VOCABULARY) == [of_reference(instance) for instance in expected]


def _corpora(shared_data):
    yield shared_data / "pretrain" / "bert_sample_text.txt", 10
    yield shared_data / "pretrain" / "mini.txt", 1


def _record(parity_table, reference, whole_word, found, expected):
    assert len(found) == len(expected)
    different = sum(mine != theirs for mine, theirs in zip(found, expected, strict=True))
    kind = f"{reference}, whole words" if whole_word else reference
    measure = "instances that differ"
    parity_table.check("instances", "prepare --static", kind, different, 0, measure, cases=len(expected))


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize("seed", [12345, 7])
def test_real_text_gives_the_instances_of_the_procedure(parity_table, shared_data, tmp_path, seed, whole_word):
    compared = 0
    for path, dupe_factor in _corpora(shared_data):
        corpus, tokenizer = _prepared(path, tmp_path / path.stem)
        options = StaticOptions(dupe_factor=dupe_factor, random_seed=seed, whole_word=whole_word)
        vocabulary = list(tokenizer.wordpiece.vocabulary)
        expected = reference(vocabulary, options).run(documents_of(corpus, vocabulary), random.Random(seed))
        found = ours(corpus, tokenizer, options, vocabulary)
        _record(parity_table, "transcription", whole_word, found, [of_reference(instance) for instance in expected])
        compared += len(expected)
    assert compared > 4000


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize("seed", [12345, 7])
def test_the_original_gives_the_same_instances(parity_table, original, shared_data, tmp_path, seed, whole_word):
    tokenization = google_bert("tokenization")
    (tmp_path / "made.txt").write_text(make_text(300))
    compared = 0
    for path, dupe_factor in [*_corpora(shared_data), (tmp_path / "made.txt", 4)]:
        corpus, tokenizer = _prepared(path, tmp_path / path.stem)
        options = StaticOptions(dupe_factor=dupe_factor, random_seed=seed, whole_word=whole_word)
        original.FLAGS.do_whole_word_mask = whole_word
        expected = original.create_training_instances(
            [str(path)],
            tokenization.FullTokenizer(str(tmp_path / path.stem / "tokenizer" / "vocab.txt"), do_lower_case=True),
            options.seq_length,
            options.dupe_factor,
            options.short_seq_prob,
            options.masked_lm_prob,
            options.max_predictions_per_seq,
            random.Random(options.random_seed),
        )
        vocabulary = list(tokenizer.wordpiece.vocabulary)
        found = ours(corpus, tokenizer, options, vocabulary)
        _record(parity_table, "google-research/bert", whole_word, found, [of_original(one) for one in expected])
        compared += len(expected)
    assert compared > 6000


@settings(max_examples=100, deadline=None)
@given(lengths=DOCUMENTS, options=OPTIONS)
def test_the_transcription_is_the_original(original, lengths, options):
    words = iter(VOCABULARY[5:])
    documents = [[[next(words) for _ in range(count)] for count in document] for document in lengths]
    original.FLAGS.do_whole_word_mask = options.whole_word
    rng = random.Random(options.random_seed)
    arguments = (options.masked_lm_prob, options.max_predictions_per_seq, VOCABULARY, rng)
    theirs = []
    for own in range(len(documents)):
        theirs += original.create_instances_from_document(
            documents, own, options.seq_length, options.short_seq_prob, *arguments
        )
    procedure, rng = reference(VOCABULARY, options), random.Random(options.random_seed)
    mine = [i for own in range(len(documents)) for i in procedure.of_document(documents, own, rng)]
    assert [of_reference(instance) for instance in mine] == [of_original(instance) for instance in theirs]


def _prepared(path, folder):
    if not folder.exists():
        tokenizer = Tokenizer.train(path.read_text(encoding="utf-8").splitlines(), vocab_size=3000)
        prepare([path], tokenizer, folder)
    corpus = PreparedCorpus.open(folder)
    return corpus, corpus.tokenizer
