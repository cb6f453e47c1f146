"""Figures of a pre-training run on text that it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bertkit.core.devices import autocast
from bertkit.data.instances.batches import InstanceSource, PretrainingBatch
from bertkit.data.instances.loader import evaluation_batches
from bertkit.model.pretraining import PretrainingOutput
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.training.parallel import Replicas
from bertkit.training.step import Halving, LossTerm, StepFigures


class HeldOutEvaluation:
    """Measures the held-out parts of a run, shared by its processes."""

    def __init__(self, setup: PretrainSetup, replicas: Replicas[PretrainingBatch, PretrainingOutput]) -> None:
        self._setup, self._replicas = setup, replicas

    def __call__(self) -> Mapping[str, float]:
        """Figures of every part, named `part/figure`."""
        figures = {}
        for name, source in self._setup.data.held_out.items():
            for figure, value in self._measure(source).items():
                figures[f"{name}/{figure}"] = value
        return figures

    def _measure(self, source: InstanceSource) -> dict[str, float]:
        options, objective, group = self._setup.options, self._setup.objective, self._setup.group
        figures, halving = StepFigures(objective), Halving(objective, group)
        assert options.micro_batch_tokens is not None
        batches = evaluation_batches(
            source,
            micro_batch_tokens=options.micro_batch_tokens,
            seed=options.training.seed,
            max_sequences=options.evaluation_sequences,
        )
        for batch, counts in group.deal(batches):
            found = halving.run([batch], self._terms)
            if counts:
                for part, terms in found:
                    figures.add(part, terms)
        return figures.take(group)

    def _terms(self, parts: Sequence[PretrainingBatch]) -> list[tuple[PretrainingBatch, Mapping[str, LossTerm]]]:
        device = self._setup.group.device
        with autocast(self._setup.options.training.precision, device):
            return [(part, self._replicas.terms(part.to(device))) for part in parts]
