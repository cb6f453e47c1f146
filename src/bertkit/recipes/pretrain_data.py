"""What a pre-training run reads: the instances it learns from and those it is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from bertkit.core.errors import InputError
from bertkit.core.files import sha256
from bertkit.data.corpus.manifest import changed_manifest
from bertkit.data.corpus.prepared import PreparedCorpus, token_counts
from bertkit.data.instances.batches import InstanceSource
from bertkit.data.instances.drawn import DrawnInstances, FullSentences
from bertkit.data.instances.fixed import FixedInstances, Prepared, open_prepared
from bertkit.data.instances.google_files import LABELS
from bertkit.data.instances.options import InstanceOptions, MaskingOptions
from bertkit.data.instances.sampling import check_documents
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.pretrain_objective import unigram_entropy

_COUNTED_TOKENS = 1 << 24
"""Enough for the entropy of the frequencies."""


@dataclass(frozen=True)
class PretrainData:
    """Opened folders; `options` are the run's with all that the folders decide."""

    prepared: Prepared
    """The part that is trained on."""
    fingerprint: str
    """Of the content of all folders."""
    options: PretrainOptions
    sources: Mapping[int, InstanceSource]
    """By the length of the longest sequence."""
    held_out: Mapping[str, InstanceSource]

    @classmethod
    def open(cls, folder: Path, options: PretrainOptions) -> PretrainData:
        """Open the prepared folder and those held out; raises `InputError` where they do not fit the options."""
        prepared = open_prepared(folder)
        if isinstance(prepared, FixedInstances):
            options = _fixed_options(prepared, options)
            if options.initial_weights == "informed":
                raise InputError(
                    f"{folder} holds fixed instances, and informed initial weights are counted in running text: "
                    "prepare it without --static, or use the paper's initial weights"
                )
        else:
            check_documents(prepared, options.instances)
        if (vocab_size := prepared.tokenizer.vocab_size) != prepared.vocab_size:
            raise changed_manifest(folder, f"vocab_size is {prepared.vocab_size:,}, the tokenizer's {vocab_size:,}")
        options = replace(options, model=replace(options.model, vocab_size=vocab_size))
        if options.held_out:
            _check_names(options.held_out)
            held_out = {path.name: _open_held_out(path, prepared, options) for path in options.held_out}
        elif isinstance(prepared, FixedInstances):
            raise InputError(
                f"{folder} holds fixed instances, of which none can be held out, for others show the same text: "
                "give --held-out a folder prepared from other text"
            )
        else:
            prepared, rest = _split(prepared, options)
            held_out = {"held_out": _for_evaluation(rest, options)}
        return cls(
            prepared, _fingerprint(folder, *options.held_out), options, _for_training(prepared, options), held_out
        )

    def unigram_entropy(self) -> float:
        """Of the text, or of what is predicted in fixed instances, in nats."""
        if isinstance(self.prepared, FixedInstances):
            return unigram_entropy(np.bincount(self.prepared.arrays[LABELS]))
        return unigram_entropy(token_counts(self.prepared, _COUNTED_TOKENS))


def _fingerprint(*folders: Path) -> str:
    """A manifest has the SHA-256 of every file."""
    return hashlib.sha256("".join(sha256(folder / "manifest.json") for folder in folders).encode()).hexdigest()[:16]


def _check_names(held_out: Sequence[Path]) -> None:
    """Figures have the names of their folders."""
    folders: dict[str, Path] = {}
    for path in held_out:
        if path.name in folders:
            raise InputError(
                f"--held-out {folders[path.name]} and {path} have the same last name, which their figures would share: "
                "rename one of them"
            )
        folders[path.name] = path


def _split(corpus: PreparedCorpus, options: PretrainOptions) -> tuple[PreparedCorpus, PreparedCorpus]:
    training, held_out = corpus.split(options.held_out_share, options.training.seed)
    if options.instances.next_sentence and min(training.num_documents, held_out.num_documents) < 2:
        raise InputError(
            f"next-sentence prediction needs at least two documents to learn from and two to be measured on, and "
            f"{corpus.folder} has {training.num_documents} left after holding out {held_out.num_documents} of "
            f"{corpus.num_documents} documents: add documents, give --held-out a folder prepared from other text, or "
            "use --no-nsp"
        )
    return training, held_out


def _for_training(prepared: Prepared, options: PretrainOptions) -> dict[int, InstanceSource]:
    lengths = [options.instances.seq_length]
    if options.stages.long_seq_length is not None:
        lengths.append(options.stages.long_seq_length)
    return {length: _drawn(prepared, length, options) for length in lengths}


def _drawn(prepared: Prepared, length: int, options: PretrainOptions) -> InstanceSource:
    seed = options.training.seed
    if isinstance(prepared, FixedInstances):
        return prepared
    if options.full_sentences:
        return FullSentences(prepared, length, options.masking, seed=seed)
    return DrawnInstances(prepared, replace(options.instances, seq_length=length), options.masking, seed=seed)


def _for_evaluation(corpus: PreparedCorpus, options: PretrainOptions) -> InstanceSource:
    # Masked as in the paper, whatever training hides, so that runs can be compared.
    masking, seed = MaskingOptions(), options.training.seed
    return DrawnInstances(corpus, options.instances, masking, seed=seed, purpose="evaluation masking")


def _open_held_out(path: Path, trained_on: Prepared, options: PretrainOptions) -> InstanceSource:
    part = open_prepared(path)
    if part.tokenizer_fingerprint != trained_on.tokenizer_fingerprint:
        raise InputError(f"{path} was prepared with another vocabulary than {trained_on.folder}: prepare it again")
    if not isinstance(part, FixedInstances):
        check_documents(part, options.instances)
        return _for_evaluation(part, options)
    seq_length, positions = part.manifest.static.seq_length, options.model.max_position_embeddings
    if seq_length > positions:
        raise InputError(
            f"{path} holds instances of up to {seq_length} tokens, over the model's {positions} positions: "
            f"prepare it with --seq-length {positions} or less"
        )
    if not options.instances.next_sentence:
        raise InputError(f"{path} holds sentence pairs, which a run with --no-nsp cannot use: hold out a corpus")
    return part


def _fixed_options(prepared: FixedInstances, options: PretrainOptions) -> PretrainOptions:
    """Take cutting and masking from the instances; what was asked for and differs raises `InputError`."""
    static = prepared.manifest.static
    for name, asked_for in (
        ("long_seq_length", options.stages.long_seq_length is not None),
        ("full_sentences", options.full_sentences),
    ):
        if asked_for:
            raise InputError(f"{prepared.folder} holds fixed instances, cut already: leave out {name}")
    for asked, fixed, default in (
        (options.instances, static.instances, InstanceOptions()),
        (options.masking, static.masking, MaskingOptions()),
    ):
        for field in fields(asked):
            value, there = getattr(asked, field.name), getattr(fixed, field.name)
            if value not in (there, getattr(default, field.name)):
                raise InputError(
                    f"{prepared.folder} holds fixed instances with {field.name} {there}, not {value}: "
                    "leave the option out, or prepare again"
                )
    return replace(options, instances=static.instances, masking=static.masking)
