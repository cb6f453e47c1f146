"""The model of a pre-training run: the weights that it starts from, and the folder that it ends in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.data.corpus.prepared import PreparedCorpus, token_counts
from bertkit.data.corpus.word_vectors import word_vectors
from bertkit.data.instances.fixed import Prepared
from bertkit.model.initialization import (
    empty_weights,
    initialize,
    position_dimensions,
    start_with_frequencies,
    start_with_neighbours,
    start_with_word_vectors,
)
from bertkit.model.pretraining import PretrainingModel
from bertkit.pretrained.folder import ModelFolder, write_model_folder
from bertkit.recipes.cards import pretraining_card
from bertkit.recipes.options import PretrainOptions
from bertkit.text.tokenizer import Tokenizer


def starting_pretraining_model(options: PretrainOptions, prepared: Prepared) -> PretrainingModel:
    """Random weights, or those of `options.initial_model`; raises `InputError` where that has another vocabulary."""
    module = PretrainingModel(options.model, next_sentence=options.instances.next_sentence)
    initialize(module, options.model.initializer_range, options.training.seed)
    if options.initial_model is None:
        return module
    folder = ModelFolder.open(options.initial_model)
    if Tokenizer.from_pretrained(folder.path).fingerprint != prepared.tokenizer_fingerprint:
        raise InputError(
            f"the corpus was prepared with another vocabulary than {options.initial_model} has: "
            f"prepare it with --tokenizer {options.initial_model}"
        )
    folder.load_into(module, may_lack=("masked_lm.", "next_sentence.", "bert.pooler.")).show()
    return module


def init_from_corpus(module: PretrainingModel, options: PretrainOptions, corpus: PreparedCorpus) -> None:
    """Let the weights start from what can be counted in the corpus: words and their neighbours."""
    note("counting words and their neighbours, from which the weights start")
    counts = token_counts(corpus)
    dimensions = options.model.hidden_size - position_dimensions(options.model)
    vectors = word_vectors(corpus, counts, dimensions, seed=options.training.seed)
    start_with_neighbours(module.bert, options.model.initializer_range)
    start_with_word_vectors(module.bert, torch.from_numpy(vectors))
    start_with_frequencies(module.masked_lm.bias, torch.from_numpy(counts))


def write_pretrained_model(
    out: Path,
    weights: Mapping[str, Tensor],
    options: PretrainOptions,
    prepared: Prepared,
    corpus: Path,
    evaluation: Mapping[str, float],
) -> None:
    """Write the model folder `out` from whole weights; its card names the folder `corpus` and the figures."""
    next_sentence = options.instances.next_sentence
    with empty_weights():
        module = PretrainingModel(options.model, next_sentence=next_sentence)
    module.load_state_dict(weights, assign=True)
    with atomic_folder(out) as folder:
        write_model_folder(
            folder,
            module,
            options.model,
            architecture="BertForPreTraining" if next_sentence else "BertForMaskedLM",
            card=pretraining_card(options, corpus=corpus, contents=prepared.describe(), evaluation=evaluation),
        )
        token_types = options.model.type_vocab_size > 0
        prepared.tokenizer.save_pretrained(folder, max_length=options.model.max_length, token_types=token_types)
