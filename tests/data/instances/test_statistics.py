import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from bertkit.data.corpus.documents import read_documents
from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.options import InstanceOptions
from bertkit.data.instances.sampling import plan_epoch
from bertkit.data.instances.statistics import Lengths, corpus_figures
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.vocabulary import WordEntries
from tiny_corpora import make_text


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    documents = make_text(20).replace(" cat", ", cat's ☃ don't §9").split("\n\n")
    path.write_text("\n\n".join([*documents, documents[3], documents[4] + "\na mat of its own"]))
    return path


@pytest.fixture(scope="module")
def corpus(text, tokenizer):
    out = text.parent / "out"
    prepare([text], tokenizer, out)
    return PreparedCorpus.open(out)


def pieces_by_hand(text, tokenizer):
    """Of each sentence the words as lists of pieces; marks that stand alone left out."""
    sentences = []
    for document in read_documents([text], CorpusOptions()):
        for sentence in document:
            words = []
            for token in map(tokenizer.id_to_token, tokenizer.encode(sentence).input_ids[1:-1]):
                if token.startswith("##"):
                    words[-1].append(token)
                else:
                    words.append([token])
            sentences.append([word for word in words if len(word) > 1 or any(map(str.isalnum, word[0]))])
    return sentences


def test_words_and_entropy_are_those_counted_by_hand(text, corpus, tokenizer):
    figures = corpus_figures(corpus)
    sentences = pieces_by_hand(text, tokenizer)
    words = [word for sentence in sentences for word in sentence]
    assert figures.words == len(words)
    assert figures.fertility == pytest.approx(sum(map(len, words)) / len(words))
    lengths = Counter(map(len, words))
    assert figures.pieces_of_words == tuple(lengths[n] for n in range(1, 13))

    ids = corpus.tokens(0, corpus.num_tokens).tolist()
    shares = [count / len(ids) for count in Counter(ids).values()]
    assert figures.unigram_entropy == pytest.approx(-sum(share * math.log(share) for share in shares))
    assert figures.most_frequent[0][1] == max(shares)
    assert figures.entries_used == len(set(ids))
    unknown = ids.count(tokenizer.unk_token_id)
    assert unknown > 0
    assert figures.unknown_share == unknown / len(ids)
    assert figures.unknown_sentences == sum(["[UNK]"] in sentence for sentence in sentences) / len(sentences)


def test_repeats_and_what_was_left_out(text, corpus, tokenizer):
    found = corpus_figures(corpus).duplicates
    assert (found.documents, found.dropped_tokens) == (1, 0)
    assert found.sentences > 0
    out = text.parent / "dropped"
    prepare([text], tokenizer, out, PrepareOptions(duplicates=DuplicateOptions(drop_duplicates="both")))
    stays = corpus_figures(PreparedCorpus.open(out)).duplicates
    assert (stays.documents, stays.sentences) == (0, 0)
    assert stays.dropped_sentences == found.sentences
    # A folder of an older version says nothing of them, and has them all the same.
    path = corpus.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: value for name, value in manifest.items() if name not in ("duplicates", "checksum")})
    )
    assert corpus_figures(PreparedCorpus.open(corpus.folder)).duplicates == found
    path.write_text(json.dumps(manifest))


def test_sequences_are_those_of_training(corpus):
    (figures,) = corpus_figures(corpus, [32]).sequences
    plan = plan_epoch(corpus, InstanceOptions(seq_length=32), seed=0, epoch=0)
    lengths = plan.a_length + plan.b_length + 3
    assert (figures.instances, figures.random_share) == (len(lengths), plan.is_random.mean())
    assert figures.padding == pytest.approx(1 - lengths.mean() / 32)
    assert 0 <= figures.batch_padding <= figures.padding


def test_one_document_has_no_pairs(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("the cat\na mat\n")
    prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out")
    assert not corpus_figures(PreparedCorpus.open(tmp_path / "out"), [32]).sequences[0].next_sentence


def test_lengths_are_counted_between_powers_of_two():
    lengths = Lengths.of(np.array([1, 2, 3, 4, 7, 8, 9]))
    assert lengths.counts == (1, 2, 2, 2)
    assert (lengths.median, lengths.longest) == (4, 9)


def test_a_mark_that_is_continued_is_a_word():
    tokenizer = Tokenizer.train(["€5 €7 €9 costs less, or 5 less?"] * 9, vocab_size=60)
    ids = np.array(tokenizer.encode("€5, or less?").input_ids[1:-1], np.uint16)
    pieces, bounds, places = WordEntries.of(tokenizer.wordpiece.vocabulary).words(ids)
    words = [[tokenizer.id_to_token(i) for i in pieces[a:b]] for a, b in itertools.pairwise(bounds)]
    assert ["".join(word).replace("##", "") for word in words] == ["€5", "or", "less"]
    assert ids[places].tolist() == [pieces[start] for start in bounds[:-1]]
