"""All that a pre-training run needs, made from its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bertkit.core.console import counted, format_duration, note
from bertkit.core.devices import autocast, full_memory_named, resolve_precision, token_budget
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.core.files import atomic_folder
from bertkit.data.corpus.prepared import PreparedCorpus, token_counts
from bertkit.data.corpus.word_vectors import word_vectors
from bertkit.data.instances.batches import InstanceSource, PretrainingBatch
from bertkit.data.instances.fixed import FixedInstances, Prepared
from bertkit.data.instances.google_files import LABELS
from bertkit.data.instances.loader import AHEAD, StagedLoader, evaluation_batches
from bertkit.data.instances.stages import BatchPhase, plan_stages
from bertkit.model.initialization import (
    initialize,
    position_dimensions,
    start_with_frequencies,
    start_with_neighbours,
    start_with_word_vectors,
)
from bertkit.model.pretraining import PretrainingModel, PretrainingOutput
from bertkit.pretrained.folder import ModelFolder, write_model_folder
from bertkit.recipes.cards import pretraining_card
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.pretrain_data import PretrainData
from bertkit.recipes.pretrain_objective import PretrainingObjective, unigram_entropy
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.parallel import Replicas, compile_layers, recompute_layers
from bertkit.training.run_folder import as_yaml
from bertkit.training.schedule import RunProgress
from bertkit.training.step import Halving, LossTerm, StepFigures

MAY_CHANGE = (
    *("data", "held_out"),  # places, of whose content there is a fingerprint
    *("micro_batch_tokens", "parallel", "activation_checkpointing", "compile"),  # how the work is cut and shared
)
"""Options that a run may go on with other values of: they do not decide its result."""

_COUNTED_TOKENS = 1 << 24
"""Enough for the entropy of the frequencies."""


@dataclass(frozen=True)
class PretrainSetup:
    """Data, model and clock of a run; every process of a group makes its own."""

    folder: Path
    data: PretrainData
    stages: list[BatchPhase]
    loader: StagedLoader
    clock: RunProgress
    objective: PretrainingObjective
    group: ProcessGroup

    @classmethod
    def of(
        cls, folder: Path, options: PretrainOptions, group: ProcessGroup, started: float | None = None
    ) -> PretrainSetup:
        """Open the data and draw the weights; `started` is when the run's budget begins, by `time.perf_counter`."""
        micro_batch_tokens = token_budget(group.device, "training", options.micro_batch_tokens)
        data = PretrainData.open(folder, replace(options, micro_batch_tokens=micro_batch_tokens))
        options = data.options
        module = _new_module(options, data.prepared)
        stages = plan_stages(
            options.stages,
            batch_size=options.batch_size,
            seq_length=options.instances.seq_length,
            by_time=options.training.steps is None,
        )
        milestones = [stage.start for stage in stages[1:]]
        clock = RunProgress(options.training, group, started=started, milestones=milestones, lead=AHEAD)
        loader = StagedLoader(
            data.sources,
            stages,
            clock.milestone_steps,
            micro_batch_tokens=micro_batch_tokens,
            seed=options.training.seed,
            rank=group.rank,
            size=group.size,
            pin_memory=group.device.type == "cuda",
        )
        if options.compile:
            compile_layers(module.bert, group.device)
        if options.activation_checkpointing:
            recompute_layers(module.bert)
        if group.size == 1 or options.parallel != "fsdp":  # shards are cut before they are moved
            with full_memory_named(group.device):
                module.to(group.device)
        objective = PretrainingObjective(module, options.next_sentence_weight)
        return cls(folder, data, stages, loader, clock, objective, group)

    @property
    def options(self) -> PretrainOptions:
        """The run's, with all that its data and its device decide."""
        return self.data.options

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(parameter.numel() for parameter in self.objective.module.parameters())

    def config(self) -> dict[str, object]:
        """Every option, and what the data is."""
        return {
            "data": self.folder,
            "data_fingerprint": self.data.fingerprint,
            "tokenizer": self.data.prepared.tokenizer_fingerprint,
            **asdict(self.options),
        }

    def options_as_yaml(self) -> str:
        """Every option, as the run's config.yaml has it."""
        return as_yaml(self.config())

    def describe(self) -> str:
        """The run in one line."""
        options, training = self.options, self.options.training
        dropout, on_gpu = options.model.attention_probs_dropout_prob, self.group.device.type == "cuda"
        if training.steps is not None:
            length = f"{counted(training.steps, 'step')} of {counted(options.batch_size, 'sequence')}"
            length += f" ({self.loader.epochs(training.steps):.2f} epochs)"
        else:
            assert training.budget_seconds is not None
            length = f"{format_duration(training.budget_seconds)} of steps of {counted(options.batch_size, 'sequence')}"
        ramp_from = options.stages.ramp_from
        if ramp_from is not None and ramp_from >= options.batch_size:
            length += f" from the start, as ramp_from {ramp_from} is not below that"
        return (
            f"{self.parameters:,} parameters, vocabulary {options.model.vocab_size:,}, "
            f"{self.data.prepared.describe()}, {length}, "
            f"{resolve_precision(training.precision, self.group.device)} on {self.group.device.type}"
            + (f" in {self.group.size} processes ({options.parallel})" if self.group.size > 1 else "")
            + (f", no flash attention as attention_dropout is {dropout:g}" if dropout and on_gpu else "")
        )

    def inform(self) -> None:
        """Let the weights start from what can be counted in the corpus."""
        module, options, corpus = self.objective.module, self.options, self.data.prepared
        assert isinstance(corpus, PreparedCorpus)
        note("counting words and their neighbours, from which the weights start")
        counts = token_counts(corpus)
        dimensions = options.model.hidden_size - position_dimensions(options.model)
        vectors = word_vectors(corpus, counts, dimensions, seed=options.training.seed)
        start_with_neighbours(module.bert, options.model.initializer_range)
        start_with_word_vectors(module.bert, torch.from_numpy(vectors))
        start_with_frequencies(module.masked_lm.bias, torch.from_numpy(counts))

    def unigram_entropy(self) -> float:
        """Of the text, or of what is predicted in fixed instances, in nats."""
        prepared = self.data.prepared
        if isinstance(prepared, FixedInstances):
            return unigram_entropy(np.bincount(prepared.arrays[LABELS]))
        return unigram_entropy(token_counts(prepared, _COUNTED_TOKENS))

    def evaluate(self, replicas: Replicas[PretrainingBatch, PretrainingOutput]) -> Mapping[str, float]:
        """Figures of every held-out part, named `part/figure`."""
        figures = {}
        for name, source in self.data.held_out.items():
            for figure, value in self._evaluate(source, replicas).items():
                figures[f"{name}/{figure}"] = value
        return figures

    def _evaluate(
        self, source: InstanceSource, replicas: Replicas[PretrainingBatch, PretrainingOutput]
    ) -> dict[str, float]:
        figures, halving = StepFigures(self.objective), Halving(self.objective, self.group)
        assert self.options.micro_batch_tokens is not None
        batches = evaluation_batches(
            source,
            micro_batch_tokens=self.options.micro_batch_tokens,
            seed=self.options.training.seed,
            max_sequences=self.options.evaluation_sequences,
        )
        for batch, counts in self.group.deal(batches):
            found = halving.run([batch], partial(self._terms, replicas))
            if counts:
                for part, terms in found:
                    figures.add(part, terms)
        return figures.take(self.group)

    def _terms(
        self, replicas: Replicas[PretrainingBatch, PretrainingOutput], parts: Sequence[PretrainingBatch]
    ) -> list[tuple[PretrainingBatch, Mapping[str, LossTerm]]]:
        with autocast(self.options.training.precision, self.group.device):
            return [(part, replicas.terms(part.to(self.group.device))) for part in parts]

    def write_model(self, out: Path, weights: Mapping[str, Tensor], evaluation: Mapping[str, float]) -> None:
        """Write the model folder from whole weights."""
        options, prepared = self.options, self.data.prepared
        next_sentence = options.instances.next_sentence
        with torch.device("meta"):
            module = PretrainingModel(options.model, next_sentence=next_sentence)
        module.load_state_dict(weights, assign=True)
        with atomic_folder(out) as folder:
            write_model_folder(
                folder,
                module,
                options.model,
                architecture="BertForPreTraining" if next_sentence else "BertForMaskedLM",
                card=pretraining_card(options, corpus=self.folder, contents=prepared.describe(), evaluation=evaluation),
            )
            token_types = options.model.type_vocab_size > 0
            prepared.tokenizer.save_pretrained(folder, max_length=options.model.max_length, token_types=token_types)


def _new_module(options: PretrainOptions, prepared: Prepared) -> PretrainingModel:
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
