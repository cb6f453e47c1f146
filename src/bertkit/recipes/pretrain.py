"""Pre-training, from a prepared folder to a model folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bertkit.data.evaluation_batches import evaluation_batches
from bertkit.data.instance_source import InstanceSource
from bertkit.data.loader import PretrainingLoader
from bertkit.data.prepared import Prepared
from bertkit.data.pretraining_batch import PretrainingBatch
from bertkit.data.token_counts import token_counts
from bertkit.foundation.console import note
from bertkit.foundation.devices import autocast, default_device, resolve_precision, tune_allocator
from bertkit.foundation.errors import InputError
from bertkit.foundation.files import atomic_folder, exclusive
from bertkit.model.folder import ModelFolder, write_model_folder
from bertkit.model.initialization import initialize, start_with_frequencies, start_with_neighbours
from bertkit.model.pretraining import PretrainingModel
from bertkit.recipes.cards import pretraining_card
from bertkit.recipes.pretrain_data import PretrainData
from bertkit.recipes.pretrain_options import PretrainOptions
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.loop import accumulate_gradients, train
from bertkit.training.optimizer import AdamW
from bertkit.training.pretraining_objective import PretrainingObjective
from bertkit.training.run_config import settle_config
from bertkit.training.step_figures import StepFigures

_PLAN_STEPS = 3


@dataclass(frozen=True)
class PretrainResult:
    """Where the model is, the last held-out figures and the seconds of training."""

    model: Path
    evaluation: Mapping[str, float]
    seconds: float


def pretrain(data: Path, out: Path, options: PretrainOptions, *, resume: bool | None = None) -> PretrainResult:
    """Pre-train on the prepared folder `data` and write `out/model` (Devlin et al. 2019, section 3.1).

    `resume` None goes on with a run of the same options in `out`, True insists on one, False starts over.
    """
    tune_allocator()
    setup = _Setup.of(data, options)
    with exclusive(out):
        settle_config(out, setup.config(), resume)
        note(setup.describe())
        result = train(
            setup.objective,
            setup.batches,
            setup.options.training,
            out,
            evaluate=setup.evaluate,
            description="pre-training",
        )
        with atomic_folder(out / "model") as folder:
            next_sentence = setup.options.instances.next_sentence
            architecture = "BertForPreTraining" if next_sentence else "BertForMaskedLM"
            card = pretraining_card(
                setup.options,
                corpus=data,
                contents=setup.data.prepared.describe(),
                evaluation=result.evaluation,
            )
            write_model_folder(
                folder, setup.objective.module, setup.options.model, architecture=architecture, card=card
            )
            setup.data.prepared.tokenizer.save_pretrained(folder)
    return PretrainResult(out / "model", result.evaluation, result.seconds)


def plan(data: Path, options: PretrainOptions) -> str:
    """Say what a run would be: model, corpus, epochs, memory, and the time that a few real steps foretell."""
    tune_allocator()
    setup = _Setup.of(data, options)
    setup.objective.module.train()
    training, optimizer = (
        setup.options.training,
        AdamW(setup.objective.module.named_parameters(), options.training.optimizer),
    )
    seconds = []
    for micro_batches in setup.batches(0, _PLAN_STEPS):
        start = time.perf_counter()
        accumulate_gradients(setup.objective, micro_batches, training, StepFigures())
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
    device: torch.device

    @classmethod
    def of(cls, folder: Path, options: PretrainOptions) -> _Setup:
        data = PretrainData.open(folder, options)
        options = data.options
        module = _new_module(options, data.prepared)
        loader = PretrainingLoader(
            data.source,
            batch_size=options.batch_size,
            micro_batch_tokens=options.micro_batch_tokens,
            seed=options.training.seed,
        )
        device = default_device()
        return cls(folder, data, loader, PretrainingObjective(module.to(device), options.next_sentence_weight), device)

    @property
    def options(self) -> PretrainOptions:
        return self.data.options

    def config(self) -> dict[str, object]:
        return {"data": self.folder, "tokenizer": self.data.prepared.tokenizer_fingerprint, **asdict(self.options)}

    def describe(self) -> str:
        options = self.options
        return (
            f"{sum(parameter.numel() for parameter in self.objective.module.parameters()):,} parameters, "
            f"vocabulary {options.model.vocab_size:,}, {self.data.prepared.describe()}, "
            f"{options.training.steps:,} steps of {options.batch_size} sequences "
            f"({options.training.steps / self.loader.steps_per_epoch:.2f} epochs), "
            f"{resolve_precision(options.training.precision, self.device)} on {self.device.type}"
        )

    def batches(self, start: int, stop: int) -> Iterator[Sequence[PretrainingBatch]]:
        for step in self.loader.batches(start, stop):
            yield [micro_batch.to(self.device) for micro_batch in step]

    def evaluate(self) -> Mapping[str, float]:
        """Figures of every held-out part, named `part/figure`."""
        figures = {}
        for name, source in self.data.held_out.items():
            for figure, value in self._evaluate(source).items():
                figures[f"{name}/{figure}"] = value
        return figures

    def _evaluate(self, source: InstanceSource) -> dict[str, float]:
        figures = StepFigures()
        for batch in evaluation_batches(
            source,
            micro_batch_tokens=self.options.micro_batch_tokens,
            seed=self.options.training.seed,
            max_sequences=self.options.evaluation_sequences,
        ):
            counts = self.objective.counts(batch)
            with autocast(self.options.training.precision, self.device):
                for name, term in self.objective.terms(batch.to(self.device)).items():
                    figures.add_term(name, term, counts[name])
        return figures.take()


def _new_module(options: PretrainOptions, prepared: Prepared) -> PretrainingModel:
    module = PretrainingModel(options.model, next_sentence=options.instances.next_sentence)
    initialize(module, options.model.initializer_range, options.training.seed)
    if options.initial_weights == "informed":
        start_with_neighbours(module.bert, options.model.initializer_range)
        start_with_frequencies(module.masked_lm.bias, torch.from_numpy(token_counts(prepared)))
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
