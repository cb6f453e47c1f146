"""`bertkit pretrain` and `bertkit plan`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from bertkit.core.errors import InputError
from bertkit.core.machine import Launch, Precision
from bertkit.data.instances.options import MaskingOptions, StageOptions
from bertkit.recipes.options import InitialWeights, MachineCost, PretrainOptions
from bertkit.recipes.presets import RecipeName
from bertkit.recipes.pretrain_options import Architecture, Size, pretrain_options
from bertkit.training.options import OptimizerOptions, Parallel

FLAT = Parameter(name="*")


@dataclass(frozen=True, kw_only=True)
class PretrainingChoices:
    """Options of the command line and of files, by the same names; each is documented where help prints it."""

    recipe: RecipeName | None = None
    """A set of options that belong together; options that you give, here or in a --config file, override it. bert: the
    paper's. roberta: no next-sentence prediction, full sequences. budget: most quality in little time. modern:
    ModernBERT's."""
    steps: int | None = None
    """Number of updates."""
    budget: str | None = None
    """Time for the run, such as 30m, 1h30m or 2d, instead of --steps; the learning rate falls until it is over."""
    architecture: Architecture = "bert"
    """bert: the paper's. modern: ModernBERT's, with rotary positions, local attention and gated layers."""
    batch_size: int = 256
    """Sequences per update."""
    nsp: bool = True
    """Train next-sentence prediction too; needs at least two documents."""
    nsp_weight: float = 1.0
    """Weight of the next-sentence loss; with small batches use 0.1, since its gradient is noisy."""
    seq_length: int = 128
    """Tokens of the longest sequence, with special tokens."""
    short_seq_prob: float = 0.1
    """Share of the documents that are cut into sequences of a random shorter length."""
    full_sentences: bool = False
    """Fill every sequence to its length, across documents."""
    stages: Annotated[StageOptions, FLAT] = field(default_factory=StageOptions)
    masking: Annotated[MaskingOptions, FLAT] = field(default_factory=MaskingOptions)
    optimizer: Annotated[OptimizerOptions, FLAT] = field(default_factory=OptimizerOptions)
    hidden_dropout: float | None = None
    """Dropout of hidden states, in place of the preset's 0.1."""
    attention_dropout: float | None = None
    """Dropout of attention probabilities, in place of the preset's 0.1."""
    max_position_embeddings: int | None = None
    """Positions of the model, in place of the preset's 512."""
    initializer_range: float | None = None
    """Standard deviation of the random initial weights, in place of the preset's 0.02; small models on little text
    learn faster with 0.05."""
    initial_weights: InitialWeights = "paper"
    """paper: all random. informed: word embeddings start from the words' neighbours in the corpus, attention heads at
    the neighbouring tokens, and the output bias at the words' frequencies; short runs learn much more."""
    initial_model: Path | None = None
    """Model folder to continue from, with its sizes and its vocabulary."""
    held_out: tuple[Path, ...] | None = None
    """Prepared corpora to evaluate on; unless given, a share of the documents is held out."""
    held_out_share: float = 0.005
    """Share of the documents that is held out where no --held-out is given."""
    evaluation_sequences: int = 1024
    """Sequences of each held-out corpus in one evaluation, masked as in the paper."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once; more are faster and take more memory. Unless given, 4096 on a CPU and
    65536 on a GPU."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: much less memory, a third more time."""
    compile: bool = False
    """Fuse the element-wise operations of each layer by torch.compile; helps on GPUs, not on CPUs."""
    spike_deviations: float | None = 6.0
    """Skip steps whose loss or gradient norm is this many standard deviations above the mean of recent steps."""
    seed: int = 0
    """Seed of all random draws."""
    precision: Precision = "auto"
    """auto is bf16 where the device supports it in hardware, else float32."""
    log_every: int = 20
    """Steps between two log lines."""
    evaluate_every: int = 500
    """Steps between two evaluations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints to keep."""
    parallel: Parallel = "ddp"
    """With torchrun. ddp: every process holds the whole model. fsdp: each holds a share, for models that do not fit."""

    def options(self, size: Size) -> PretrainOptions:
        """What the recipe takes; raises `InputError` where choices do not fit together."""
        given = {name: value for name, value in vars(self).items() if name != "recipe"}  # its file was read before
        for group in ("stages", "masking", "optimizer"):
            given |= vars(given.pop(group))
        return pretrain_options(size, **given)


def pretrain(
    data: Path,
    /,
    *,
    out: Path,
    preset: Size = "base",
    choices: Annotated[PretrainingChoices, FLAT] = PretrainingChoices(),
    machine: Annotated[MachineCost, FLAT] = MachineCost(),
    profile: bool = False,
    resume: bool | None = None,
    dry_run: bool = False,
) -> None:
    """Pre-train a BERT on a prepared corpus: masked LM and next-sentence prediction.

    To resume a run that was stopped, give the same command again. At the end the model is in OUT/model.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    out
        Run folder: config.yaml, metrics.jsonl, tensorboard/, checkpoints/, model/, report.html.
    preset
        Size of the model.
    profile
        Profile some early steps: OUT/profile/table.txt, and trace.json for ui.perfetto.dev.
    resume
        --resume insists that there is a run to resume, --no-resume starts over.
    dry_run
        Print model, data, memory, time and all options, and stop.
    """
    options = choices.options(preset)

    from bertkit.core.console import say

    if dry_run:
        from bertkit.recipes.estimate import describe_run

        if Launch.read().rank == 0:
            say(describe_run(data, options))
        return

    from bertkit import api

    result = api.pretrain(data, out, options, resume=resume, profile=profile, machine=machine)
    if result.report is None:  # another process than the first
        return
    for name, value in result.evaluation.items():
        say(f"{name}: {value:.4f}")
    say(f"model: {result.model}\nreport: {result.report}")


def plan(
    data: Path,
    /,
    *,
    preset: Size | Literal["auto"] = "auto",
    choices: Annotated[PretrainingChoices, FLAT] = PretrainingChoices(),
    machine: Annotated[MachineCost, FLAT] = MachineCost(),
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
    typed: Annotated[Sequence[str], Parameter(parse=False)] = (),
) -> None:
    """Estimate what pre-training in a given time comes to: size, batch, tokens, steps, loss, memory, energy and price.

    Runs a few passes of every size in question, some seconds each. Takes the options of `bertkit pretrain`, and prints
    that command.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    preset
        Size of the model; auto chooses size and batch.
    json_output
        Print the figures as JSON.
    """
    if choices.budget is None:
        raise InputError("a plan needs a time: give --budget, such as 30m")
    options = choices.options("tiny" if preset == "auto" else preset)
    from bertkit.core.console import say
    from bertkit.recipes.estimate import plan_run

    if choices.initial_model is not None:
        sizes = {choices.initial_model.name: options.model}
    elif preset != "auto":
        sizes = {preset: options.model}
    else:
        sizes = {name: choices.options(name).model for name in get_args(Size)}
    planned = plan_run(data, options, sizes)
    chosen = planned[-1]
    if json_output:
        say(json.dumps([one.to_json(machine) for one in planned], indent=2))
        return
    for one in planned[:-1]:
        say(f"measured: {one.describe()}")
    say("\n".join(chosen.lines(machine)))
    asked = list(typed[1:])
    if preset == "auto":
        asked = _without(asked, "--preset")
    if len(sizes) > 1:
        asked = [*_without(asked, "--batch-size"), "--preset", chosen.size, "--batch-size", str(chosen.batch_size)]
    say(shlex.join(["bertkit", "pretrain", *asked, "--out", "RUN"]))


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """Leave out an option and its value."""
    left, values = [], iter(arguments)
    for argument in values:
        name, equals, _ = argument.partition("=")
        if name.replace("_", "-") != option:
            left.append(argument)
        elif not equals:
            next(values)
    return left
