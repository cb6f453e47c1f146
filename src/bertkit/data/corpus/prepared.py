"""A prepared corpus opened for reading: its tokens, views of some of its documents, counts of its entries."""
# N tokens, S sentences, D documents, V vocabulary; offsets count over all shards.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertkit.core.console import counted
from bertkit.core.errors import InputError
from bertkit.core.randomness import derive_key, uniforms
from bertkit.data.corpus.manifest import Manifest, changed_manifest
from bertkit.data.corpus.shards import DOCUMENTS, SENTENCES, TOKENS, record_error, shard_file, token_dtype
from bertkit.text.tokenizer import Tokenizer


def prepared_tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    """The tokenizer of a prepared folder; raises `InputError` if its fingerprint is another."""
    tokenizer = Tokenizer.from_pretrained(folder / "tokenizer")
    if tokenizer.fingerprint != fingerprint:
        raise InputError(f"{folder / 'tokenizer'} was changed since the corpus was prepared: prepare it again")
    return tokenizer


_MAX_OPEN_SHARDS = 512
"""Each mapped file takes a file descriptor; a process usually has 1,024."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedCorpus:
    """Documents of sentences of token ids; a view of some of the documents shares everything else.

    `documents` int64, ascending, are the documents that belong to this view; `document_sentences` int64 (D+1,) says
    at which sentence each document starts, `sentence_tokens` int64 (S+1,) at which token each sentence starts.
    """

    folder: Path
    manifest: Manifest
    documents: NDArray[np.int64]
    document_sentences: NDArray[np.int64]
    sentence_tokens: NDArray[np.int64]
    shard_tokens: NDArray[np.int64]
    """Token at which each shard starts, and the end of the last."""

    @classmethod
    def open(cls, folder: str | Path, verify: bool = True) -> PreparedCorpus:
        """Open a folder that `prepare` finished; `verify` reads every file once to compare its SHA-256."""
        folder = Path(folder)
        manifest = Manifest.read(folder)
        if (damage := manifest.damage(folder, verify)) is not None:
            raise InputError(f"{damage}: run the same `bertkit prepare` again, which writes it again")
        for shard in manifest.shards:
            if (error := record_error(folder, shard)) is not None:
                raise changed_manifest(folder, error)
        sentence_tokens = _joined(folder, manifest, SENTENCES)
        document_sentences = _joined(folder, manifest, DOCUMENTS)
        return cls(
            folder=folder,
            manifest=manifest,
            documents=np.arange(manifest.documents),
            document_sentences=document_sentences,
            sentence_tokens=sentence_tokens,
            shard_tokens=np.cumsum([0, *(shard.tokens for shard in manifest.shards)]),
        )

    @property
    def num_documents(self) -> int:
        """Documents of this view."""
        return len(self.documents)

    @property
    def num_sentences(self) -> int:
        """Sentences of this view."""
        starts, stops = self.document_sentences[self.documents], self.document_sentences[self.documents + 1]
        return int((stops - starts).sum())

    @property
    def num_tokens(self) -> int:
        """Tokens of this view, special ones not counted."""
        bounds = self.sentence_tokens[self.document_sentences]
        return int((bounds[self.documents + 1] - bounds[self.documents]).sum())

    @property
    def vocab_size(self) -> int:
        """Size of the vocabulary that the corpus was prepared with."""
        return self.manifest.vocab_size

    @property
    def tokenizer_fingerprint(self) -> str:
        """`Tokenizer.fingerprint` of the tokenizer that the corpus was prepared with."""
        return self.manifest.tokenizer_fingerprint

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the corpus was prepared with."""
        return prepared_tokenizer(self.folder, self.tokenizer_fingerprint)

    def describe(self) -> str:
        """Its size in a few words."""
        return f"{counted(self.num_documents, 'document')}, {counted(self.num_tokens, 'token')}"

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """Token ids from `start` up to `stop`, uint16 or uint32."""
        assert 0 <= start <= stop <= self.shard_tokens[-1], (start, stop)
        shard = int(np.searchsorted(self.shard_tokens, start, side="right")) - 1
        parts = []
        while start < stop:
            base, end = int(self.shard_tokens[shard]), min(stop, int(self.shard_tokens[shard + 1]))
            parts.append(self._shard(shard)[start - base : end - base])
            start, shard = end, shard + 1
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, token_dtype(self.vocab_size))

    def copy_tokens(
        self,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        target: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> None:
        """Copy many ranges, each within one document, to their places in `target`; all but `target` are (n,)."""
        shards = np.searchsorted(self.shard_tokens, starts, side="right") - 1
        arrays = {index: self._shard(index) for index in np.unique(shards).tolist()}
        columns = (shards, starts - self.shard_tokens[shards], lengths, places)
        for shard, start, length, place in zip(*(column.tolist() for column in columns), strict=True):
            target[place : place + length] = arrays[shard][start : start + length]

    def _shard(self, index: int) -> NDArray[np.unsignedinteger[Any]]:
        record = self.manifest.shards[index]
        name = shard_file(record.name, TOKENS)
        return _mapped(self.folder, name, record.files[name]["sha256"])

    def split(self, held_out_share: float, seed: int) -> tuple[PreparedCorpus, PreparedCorpus]:
        """Cut into the rest and about `held_out_share` of the documents, drawn at random from `seed`.

        Both parts get at least two documents where there are four, since next-sentence pairs need two. Of a single
        document the last sentences are held out.
        """
        if not 0 < held_out_share < 1:
            raise InputError(f"the held-out share must lie in (0, 1), got {held_out_share}")
        if self.num_documents == 1:
            return self._split_document(held_out_share)
        count = max(1, min(max(round(held_out_share * self.num_documents), 2), self.num_documents - 2))
        draws = uniforms(derive_key(seed, "held-out"), self.documents.astype(np.uint64))
        chosen = np.zeros(self.num_documents, bool)
        chosen[np.argsort(draws, kind="stable")[:count]] = True
        return replace(self, documents=self.documents[~chosen]), replace(self, documents=self.documents[chosen])

    def _split_document(self, held_out_share: float) -> tuple[PreparedCorpus, PreparedCorpus]:
        if self.num_sentences < 2:
            raise InputError(
                f"{self.folder} has one document of one sentence, of which nothing can be held out: add text, or give "
                "--held-out a folder prepared from other text"
            )
        count = min(max(round(held_out_share * self.num_sentences), 1), self.num_sentences - 1)
        first, stop = self.document_sentences[self.documents[0]], self.document_sentences[self.documents[0] + 1]
        parts = replace(self, document_sentences=np.array([first, stop - count, stop]))
        return replace(parts, documents=np.array([0])), replace(parts, documents=np.array([1]))


@lru_cache(maxsize=_MAX_OPEN_SHARDS)
def _mapped(folder: Path, name: str, checksum: str) -> NDArray[np.unsignedinteger[Any]]:
    # The checksum is part of the key: a file written again under the same name is another array.
    del checksum
    # A plain view, since slicing an `np.memmap` costs ten times as much.
    return np.asarray(np.load(folder / name, mmap_mode="r"))


def _joined(folder: Path, manifest: Manifest, part: str) -> NDArray[np.int64]:
    """Offsets of all shards as one ascending array."""
    parts = [np.zeros(1, np.int64)]
    for shard in manifest.shards:
        parts.append(np.load(folder / shard_file(shard.name, part))[1:] + parts[-1][-1])
    return np.concatenate(parts)


_BLOCK = 1 << 21


def token_blocks(corpus: PreparedCorpus, max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of the ids of this view's documents, in order, or evenly spread ones where there are over `max_tokens`."""
    bounds = corpus.sentence_tokens[corpus.document_sentences]
    # Neighbouring documents are read together.
    gaps = np.flatnonzero(np.diff(corpus.documents) != 1) + 1
    starts, stops = bounds[corpus.documents], bounds[corpus.documents + 1]
    runs = zip(starts[np.concatenate(([0], gaps))], stops[np.concatenate((gaps, [len(stops)])) - 1], strict=True)
    ranges = [(start, min(start + _BLOCK, stop)) for first, stop in runs for start in range(first, stop, _BLOCK)]
    for start, stop in ranges[:: max(1, -(-corpus.num_tokens // max_tokens))]:
        yield corpus.tokens(int(start), int(stop)).astype(np.int64)


def token_counts(corpus: PreparedCorpus, max_tokens: int = 1 << 27) -> NDArray[np.int64]:
    """Counts (V,) over this view's documents, or over evenly spread blocks where there are over `max_tokens`."""
    counts = np.zeros(corpus.vocab_size, np.int64)
    for tokens in token_blocks(corpus, max_tokens):
        counts += np.bincount(tokens, minlength=corpus.vocab_size)
    return counts
