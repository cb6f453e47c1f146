import errno
import itertools

import numpy as np
import pytest

from bertkit.core.errors import InputError, ResourceError
from bertkit.data.corpus import hashing as hash_buckets
from bertkit.data.corpus import prepare as assemble
from bertkit.data.corpus import shards, write_shards
from bertkit.data.corpus.documents import read_documents
from bertkit.data.corpus.hashing import band_rows, signatures, similarities
from bertkit.data.corpus.manifest import Duplicates, Manifest
from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.google_files import prepare_static
from bertkit.data.instances.options import StaticOptions
from bertkit.text.bulk_encoder import ChunkEncoder
from tiny_corpora import WORDS, contents, make_text, spy

BOTH = DuplicateOptions(drop_duplicates="both")


@pytest.fixture
def text(tmp_path, monkeypatch):
    """Text over many shards and buckets in which lines and documents come back, in capitals too."""
    monkeypatch.setattr(write_shards, "SHARD_BYTES", 2000)
    monkeypatch.setattr(hash_buckets, "_BUCKET_ENTRIES", 64)
    documents = make_text(40).split("\n\n")
    draw = np.random.default_rng(5)
    for _ in range(30):
        documents.insert(draw.integers(len(documents)), documents[draw.integers(len(documents))].upper())
        documents[draw.integers(len(documents))] += "\n" + documents[draw.integers(len(documents))].split("\n")[0]
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(documents))
    return path


def tokens_of(path, tokenizer):
    """Documents of sentences of token ids."""
    encoder = ChunkEncoder(tokenizer)
    return [
        [tuple(encoder.encode_lines([sentence])[0].tolist()) for sentence in document]
        for document in read_documents([path], CorpusOptions())
    ]


def prepared_tokens(folder):
    corpus = PreparedCorpus.open(folder)
    ids, sentences, documents = (
        corpus.tokens(0, corpus.num_tokens).tolist(),
        corpus.sentence_tokens.tolist(),
        corpus.document_sentences.tolist(),
    )
    lines = [tuple(ids[a:b]) for a, b in itertools.pairwise(sentences)]
    return [lines[a:b] for a, b in itertools.pairwise(documents)]


def without_repeats(documents, *, lines, whole):
    """What stays when every line and document is looked up among all before it."""
    seen_documents, seen_lines, kept = set(), set(), []
    for document in documents:
        if whole and tuple(document) in seen_documents:
            continue
        seen_documents.add(tuple(document))
        stays = [line for line in document if not lines or not (line in seen_lines or seen_lines.add(line))]
        if stays:
            kept.append(stays)
    return kept


@pytest.mark.parametrize(("drop", "workers"), [("lines", 1), ("documents", 1), ("both", 1), ("both", 2)])
def test_what_stays_is_the_first_of_each(tmp_path, text, tokenizer, drop, workers):
    options = PrepareOptions(duplicates=DuplicateOptions(drop_duplicates=drop), workers=workers)
    manifest = prepare([text], tokenizer, tmp_path / "out", options)
    documents = tokens_of(text, tokenizer)
    kept = without_repeats(documents, lines=drop != "documents", whole=drop != "lines")
    assert len(manifest.shards) > 3
    assert prepared_tokens(tmp_path / "out") == kept
    assert manifest.duplicates.dropped_documents == len(documents) - len(kept)
    assert manifest.duplicates.dropped_sentences == sum(map(len, documents)) - sum(map(len, kept))
    assert manifest.duplicates.documents == len(documents) - len({tuple(document) for document in documents})
    assert sorted(path.name for path in (tmp_path / "out" / ".prepare").iterdir() if "shard" not in path.name) == [
        "fingerprint.json"
    ]


def test_repeats_are_counted_where_all_text_stays(tmp_path, text, tokenizer):
    manifest = prepare([text], tokenizer, tmp_path / "out")
    documents = tokens_of(text, tokenizer)
    lines = [line for document in documents for line in document]
    assert prepared_tokens(tmp_path / "out") == documents
    assert manifest.duplicates == Duplicates(
        documents=len(documents) - len(set(map(tuple, documents))),
        near_documents=None,
        sentences=len(lines) - len(set(lines)),
    )
    assert Manifest.read(tmp_path / "out") == manifest


def test_a_killed_call_goes_on_to_the_same_bytes(tmp_path, text, tokenizer, monkeypatch):
    options = PrepareOptions(duplicates=BOTH)
    prepare([text], tokenizer, tmp_path / "whole", options)
    encoded = []
    monkeypatch.setattr(write_shards, "write_shard", spy(write_shards.write_shard, encoded))
    out = tmp_path / "out"
    for step in ("find_duplicates", "run_filter"):
        with monkeypatch.context() as patch:
            calls = []
            original = getattr(assemble, step)

            def killed(*arguments, original=original, calls=calls):
                calls.append(arguments)
                if len(calls) == (1 if original.__name__ == "find_duplicates" else 3):
                    raise KeyboardInterrupt
                return original(*arguments)

            patch.setattr(assemble, step, killed)
            with pytest.raises(KeyboardInterrupt):
                prepare([text], tokenizer, out, options)
        assert not (out / "manifest.json").exists()
    calls = len(encoded)
    prepare([text], tokenizer, out, options)
    assert contents(out) == contents(tmp_path / "whole")
    assert len(encoded) == calls


def test_a_full_disk_keeps_what_is_done(tmp_path, text, tokenizer, monkeypatch):
    prepare([text], tokenizer, tmp_path / "whole")
    saved = []

    def save(file, array, original=np.save):
        saved.append(file)
        if len(saved) == 9:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, array)

    with monkeypatch.context() as patch, pytest.raises(ResourceError, match=r"no space left on the disk of .*out"):
        patch.setattr(shards.np, "save", save)
        prepare([text], tokenizer, tmp_path / "out")
    assert (tmp_path / "out" / "shard-00000.tokens.npy").is_file()
    encoded = []
    monkeypatch.setattr(write_shards, "write_shard", spy(write_shards.write_shard, encoded))
    prepare([text], tokenizer, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert 0 < len(encoded) < len(Manifest.read(tmp_path / "out").shards)


def test_fixed_instances_come_from_what_stays(tmp_path, text, tokenizer):
    static = StaticOptions(dupe_factor=1, seq_length=32)
    made = prepare_static([text], tokenizer, tmp_path / "out", PrepareOptions(duplicates=BOTH), static)
    assert made.documents == len(without_repeats(tokens_of(text, tokenizer), lines=True, whole=True))
    assert made.options["drop_duplicates"] == "both"


class TestNearDuplicates:
    @pytest.fixture
    def variants(self, tmp_path, monkeypatch):
        """Forty documents of 300 words; copies with one word in a hundred changed, and with one in three."""
        monkeypatch.setattr(write_shards, "SHARD_BYTES", 20_000)
        draw = np.random.default_rng(3)
        words = [word + suffix for word in WORDS for suffix in ("", "s", "ed", "ing", "er")]
        originals = [draw.choice(words, 300) for _ in range(40)]

        def changed(document, share):
            return np.where(draw.random(300) < share, draw.choice(words, 300), document)

        near = [changed(document, 0.01) for document in originals]
        far = [changed(document, 0.33) for document in originals]
        path = tmp_path / "variants.txt"
        path.write_text("\n\n".join(" ".join(document) for document in [*originals, *near, *far, *originals[:5]]))
        return path

    def test_documents_that_resemble_an_earlier_one_are_left_out(self, tmp_path, variants, tokenizer):
        options = DuplicateOptions(drop_near_duplicates=0.7)
        manifest = prepare([variants], tokenizer, tmp_path / "out", PrepareOptions(duplicates=options))
        documents = tokens_of(variants, tokenizer)
        assert prepared_tokens(tmp_path / "out") == [*documents[:40], *documents[80:120]]
        assert manifest.duplicates.near_documents == 45
        assert manifest.duplicates.documents == 125 - len(set(map(tuple, documents)))

    def test_a_line_of_a_document_left_out_is_no_earlier_line(self, tmp_path, variants, tokenizer):
        near, line = DuplicateOptions(drop_near_duplicates=0.7, drop_duplicates="lines"), "the cat sat on a mat\n"
        original, copy, *_ = variants.read_text().split("\n\n")[0:41:40]
        variants.write_text(f"{original}\n\n{line}{copy}\n\nseven dogs\n{line}")
        prepare([variants], tokenizer, tmp_path / "out", PrepareOptions(duplicates=near))
        assert [len(document) for document in prepared_tokens(tmp_path / "out")] == [1, 2]

    def test_signatures_estimate_the_share_of_common_windows(self, variants, tokenizer):
        documents = [document[0] for document in tokens_of(variants, tokenizer)]
        bounds = np.cumsum([0, *map(len, documents)])
        signature = signatures(np.array([token for document in documents for token in document], np.uint16), bounds)
        sets = [{document[i : i + 5] for i in range(len(document) - 4)} for document in documents]
        for first, second in ((0, 40), (0, 80), (1, 41), (2, 120), (0, 1)):
            exact = len(sets[first] & sets[second]) / len(sets[first] | sets[second])
            estimate = similarities(signature[[first]], signature[[second]])[0]
            # Four standard errors of 128 draws.
            assert abs(estimate - exact) <= 4 * np.sqrt(exact * (1 - exact) / 128) + 1e-9

    def test_bands_find_pairs_at_the_threshold(self):
        for threshold in (0.5, 0.8, 0.95):
            rows = band_rows(threshold)
            found = [1 - (1 - threshold**r) ** (128 // r) for r in (rows, rows + 1)]
            assert found[0] >= 0.95 > found[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"drop_duplicates": "words"}, "lines, documents, both"), ({"drop_near_duplicates": 80}, r"\[0\.3, 1\], got 80")],
)
def test_unknown_options_are_named(options, words):
    with pytest.raises(InputError, match=words):
        DuplicateOptions(**options)
