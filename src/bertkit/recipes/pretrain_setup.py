"""All that a pre-training run needs, made from its options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bertkit.core.console import counted, format_duration
from bertkit.core.devices import full_memory_named, resolve_precision, token_budget
from bertkit.core.distributed import ProcessGroup
from bertkit.data.instances.loader import PREFETCHED_STEPS, PhasedLoader
from bertkit.data.instances.stages import BatchPhase, plan_stages
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.pretrain_data import PretrainData
from bertkit.recipes.pretrain_model import starting_pretraining_model
from bertkit.recipes.pretrain_objective import PretrainingObjective
from bertkit.training.parallel import compile_layers, recompute_layers
from bertkit.training.schedule import RunProgress

MAY_CHANGE = (
    *("data", "held_out"),  # places, of whose content there is a fingerprint
    *("micro_batch_tokens", "parallel", "activation_checkpointing", "compile"),  # how the work is cut and shared
)
"""Options of which a resumed run may have other values: they do not decide its result."""


@dataclass(frozen=True)
class PretrainSetup:
    """Data, model and clock of a run; every process of a group makes its own."""

    folder: Path
    data: PretrainData
    stages: list[BatchPhase]
    loader: PhasedLoader
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
        module = starting_pretraining_model(options, data.prepared)
        stages = plan_stages(
            options.stages,
            batch_size=options.batch_size,
            seq_length=options.instances.seq_length,
            by_time=options.training.steps is None,
        )
        milestones = [stage.start for stage in stages[1:]]
        clock = RunProgress(options.training, group, started=started, milestones=milestones, lead=PREFETCHED_STEPS)
        loader = PhasedLoader(
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
            compile_layers(module.bert.layers, group.device)
        if options.activation_checkpointing:
            recompute_layers(module.bert.layers)
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
