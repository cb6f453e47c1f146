"""Pre-training, from a prepared folder to a model folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from bertkit import __version__
from bertkit.data.evaluation_batches import evaluation_batches
from bertkit.data.instance_source import InstanceSource
from bertkit.data.loader import PretrainingLoader
from bertkit.data.prepared import Prepared
from bertkit.data.prepared_corpus import PreparedCorpus
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.data.token_counts import token_counts
from bertkit.data.word_vectors import word_vectors
from bertkit.foundation.console import note
from bertkit.foundation.devices import autocast, resolve_precision, tune_allocator
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder, exclusive
from bertkit.foundation.process_group import ProcessGroup
from bertkit.model.folder import ModelFolder, write_model_folder
from bertkit.model.initialization import (
    initialize,
    position_dimensions,
    start_with_frequencies,
    start_with_neighbours,
    start_with_word_vectors,
)
from bertkit.model.pretraining import PretrainingModel
from bertkit.recipes.cards import pretraining_card
from bertkit.recipes.pretrain_data import PretrainData
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.checkpoint import has_checkpoint
from bertkit.training.gradients import accumulate_gradients
from bertkit.training.loop import train
from bertkit.training.optimizers import new_optimizer
from bertkit.training.pretraining_objective import PretrainingObjective
from bertkit.training.replicas import Replicas
from bertkit.training.run_config import flat, settle_config
from bertkit.training.step_figures import StepFigures

_PLAN_STEPS = 3


@dataclass(frozen=True)
class PretrainResult:
    """Where the model is, the last held-out figures and the seconds of training."""

    model: Path
    evaluation: Mapping[str, float]
    seconds: float


def pretrain(
    data: Path,
    out: Path,
    options: PretrainOptions,
    *,
    resume: bool | None = None,
    group: ProcessGroup | None = None,
) -> PretrainResult:
    """Pre-train on the prepared folder `data` and write `out/model` (Devlin et al. 2019, section 3.1).

    `resume` None goes on with a run of the same options in `out`, True insists on one, False starts over. Every process
    of `group` calls this alike.
    """
    tune_allocator()
    group = ProcessGroup() if group is None else group
    with ExitStack() as stack:
        with group.together():
            setup = _Setup.of(data, options, group)
        group.agree({"bertkit": __version__, "torch": torch.__version__, **flat(setup.config())})
        with group.together():
            if group.leads:
                stack.enter_context(exclusive(out))
                settle_config(out, setup.config(), resume)
        note(setup.describe())
        if setup.options.initial_weights == "informed" and not has_checkpoint(out / "checkpoints"):
            setup.inform()
        replicas = Replicas(setup.objective.module, group, setup.options.parallel)
        result = train(
            setup.objective,
            setup.batches,
            setup.options.training,
            out,
            replicas=replicas,
            evaluate=setup.evaluate,
            description="pre-training",
        )
        weights = replicas.whole_weights()
        with group.together():
            if group.leads:
                setup.write_model(out / "model", weights, result.evaluation)
    return PretrainResult(out / "model", result.evaluation, result.seconds)


def plan(data: Path, options: PretrainOptions) -> str:
    """Say what a run would be: model, corpus, epochs, memory, and the time that a few real steps foretell."""
    tune_allocator()
    setup = _Setup.of(data, options, ProcessGroup())
    replicas = Replicas(setup.objective.module)
    setup.objective.module.train()
    training, optimizer = (
        setup.options.training,
        new_optimizer(setup.objective.module.named_parameters(), options.training.optimizer),
    )
    seconds = []
    for micro_batches in setup.batches(0, _PLAN_STEPS):
        start = time.perf_counter()
        accumulate_gradients(setup.objective, micro_batches, training, StepFigures(), replicas)
        optimizer.step(0.0)
        seconds.append(time.perf_counter() - start)
    weights = sum(parameter.numel() for parameter in setup.objective.module.parameters())
    minutes = min(seconds) * training.steps / 60
    return (
        f"{setup.describe()}\n"
        f"{4 * 4 * weights / 2**20:,.0f} MiB for weights, gradients and moments\n"
        f"{min(seconds):.2f} s a step here: {minutes:,.0f} minutes for {training.steps:,} steps"
    )


@dataclass(frozen=True)
class _Setup:
    """All that a run needs, made from its options."""

    folder: Path
    data: PretrainData
    loader: PretrainingLoader
    objective: PretrainingObjective
    group: ProcessGroup

    @classmethod
    def of(cls, folder: Path, options: PretrainOptions, group: ProcessGroup) -> _Setup:
        data = PretrainData.open(folder, options)
        options = data.options
        module = _new_module(options, data.prepared)
        loader = PretrainingLoader(
            data.source,
            batch_size=options.batch_size,
            micro_batch_tokens=options.micro_batch_tokens,
            seed=options.training.seed,
            rank=group.rank,
            size=group.size,
        )
        if group.size == 1 or options.parallel != "fsdp":  # shards are cut before they are moved
            module.to(group.device)
        return cls(folder, data, loader, PretrainingObjective(module, options.next_sentence_weight), group)

    @property
    def options(self) -> PretrainOptions:
        return self.data.options

    def config(self) -> dict[str, object]:
        """All that decides the result; how the work is shared does not."""
        options = asdict(self.options)
        del options["parallel"]
        return {
            "data": self.folder,
            "data_fingerprint": self.data.fingerprint,
            "tokenizer": self.data.prepared.tokenizer_fingerprint,
            **options,
        }

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

    def describe(self) -> str:
        options = self.options
        return (
            f"{sum(parameter.numel() for parameter in self.objective.module.parameters()):,} parameters, "
            f"vocabulary {options.model.vocab_size:,}, {self.data.prepared.describe()}, "
            f"{options.training.steps:,} steps of {options.batch_size} sequences "
            f"({options.training.steps / self.loader.steps_per_epoch:.2f} epochs), "
            f"{resolve_precision(options.training.precision, self.group.device)} on {self.group.device.type}"
            + (f" in {self.group.size} processes ({options.parallel})" if self.group.size > 1 else "")
        )

    def batches(self, start: int, stop: int) -> Iterator[Sequence[PretrainingBatch]]:
        for step in self.loader.batches(start, stop):
            yield [micro_batch.to(self.group.device) for micro_batch in step]

    def evaluate(self) -> Mapping[str, float]:
        """Figures of every held-out part, named `part/figure`."""
        figures = {}
        for name, source in self.data.held_out.items():
            for figure, value in self._evaluate(source).items():
                figures[f"{name}/{figure}"] = value
        return figures

    def _evaluate(self, source: InstanceSource) -> dict[str, float]:
        figures = StepFigures()
        batches = evaluation_batches(
            source,
            micro_batch_tokens=self.options.micro_batch_tokens,
            seed=self.options.training.seed,
            max_sequences=self.options.evaluation_sequences,
        )
        for batch, counts in self.group.deal(batches):
            with autocast(self.options.training.precision, self.group.device):
                terms = self.objective.terms(batch.to(self.group.device), self.objective.module)
            if counts:
                figures.add(self.objective, batch, terms)
        return figures.take(self.group)

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
            prepared.tokenizer.save_pretrained(folder)


def _new_module(options: PretrainOptions, prepared: Prepared) -> PretrainingModel:
    module = PretrainingModel(options.model, next_sentence=options.instances.next_sentence)
    initialize(module, options.model.initializer_range, options.training.seed)
    if options.initial_model is None:
        return module
    folder = ModelFolder.open(options.initial_model)
    if Tokenizer.from_pretrained(options.initial_model).fingerprint != prepared.tokenizer_fingerprint:
        raise InputError(
            f"the corpus was prepared with another vocabulary than {options.initial_model} has: "
            f"prepare it with --tokenizer {options.initial_model}"
        )
    folder.load_into(module, may_lack=("masked_lm.", "next_sentence.", "bert.pooler.")).show()
    return module
