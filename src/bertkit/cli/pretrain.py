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
    """Options that belong together, as in a --config file; yours and those of a --config file come first. bert: the
    paper. roberta: no next sentences, full sequences. budget: most quality for little time. modern: ModernBERT."""
    steps: int | None = None
    """Updates of the weights."""
    budget: str | None = None
    """Time for the run in place of steps: 30m, 1h30m, 2d. The learning rate ends with it."""
    architecture: Architecture = "bert"
    """bert: the paper's. modern: ModernBERT's, with rotary positions, local attention and gated layers."""
    batch_size: int = 256
    """Sequences an update."""
    nsp: bool = True
    """Learn next-sentence prediction too; needs at least two documents."""
    nsp_weight: float = 1.0
    """Weight of the next-sentence loss; 0.1 where batches are small, or its noise drowns the masked LM."""
    seq_length: int = 128
    """Longest sequence in tokens, special ones counted."""
    short_seq_prob: float = 0.1
    """Share of the documents whose sequences aim at a random shorter length."""
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
    """Positions that the model knows, in place of the preset's 512."""
    initializer_range: float | None = None
    """Deviation of the random weights, in place of the preset's 0.02; small models on little text learn sooner with
    0.05."""
    initial_weights: InitialWeights = "paper"
    """paper: all at random. informed: word embeddings start from what stands beside each word in the corpus, heads at
    the neighbouring tokens, the output at the frequencies of words; short runs learn many times more."""
    initial_model: Path | None = None
    """Model folder to go on from, with its sizes and its vocabulary."""
    held_out: tuple[Path, ...] = ()
    """Prepared corpora to evaluate on; without any, a share of the documents is held out."""
    held_out_share: float = 0.005
    """That share."""
    evaluation_sequences: int = 1024
    """Sequences of each held-out corpus in one evaluation, masked as in the paper."""
    micro_batch_tokens: int | None = None
    """Tokens that go through the model at once: memory against speed. 4096 on a processor, 65536 on a GPU unless
    given."""
    activation_checkpointing: bool = False
    """Compute activations twice rather than keep them: far less memory, a third more time."""
    compile: bool = False
    """Fuse each layer's element-wise work by torch.compile: for GPUs; processors gain nothing from it."""
    spike_deviations: float | None = 6.0
    """Leave out steps whose loss or gradient norm is over the usual by so many standard deviations."""
    seed: int = 0
    """Decides every random draw."""
    precision: Precision = "auto"
    """auto is bf16 where the device multiplies it in hardware."""
    log_every: int = 20
    """Steps between two log lines."""
    evaluate_every: int = 500
    """Steps between two evaluations."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep."""
    parallel: Parallel = "ddp"
    """Under torchrun. ddp: the model whole in every process. fsdp: each holds a share, for models that do not fit."""

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

    A run that was stopped goes on when the same command is given again. The model is OUT/model in the end.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    out
        Run folder: config.yaml, metrics.jsonl, tensorboard/, checkpoints/, model/, report.html.
    preset
        Size of the model.
    profile
        Record some early steps: OUT/profile/table.txt, and trace.json for ui.perfetto.dev.
    resume
        --resume insists that there is a run to go on with, --no-resume starts over.
    dry_run
        Print the plan and stop.
    """
    options = choices.options(preset)

    if dry_run:
        from bertkit.recipes.estimate import describe_run

        if Launch.read().rank == 0:
            print(describe_run(data, options))
        return

    from bertkit import api

    result = api.pretrain(data, out, options, resume=resume, profile=profile, machine=machine)
    if result.report is None:  # another process than the first
        return
    for name, value in result.evaluation.items():
        print(f"{name}: {value:.4f}")
    print(f"model: {result.model}\nreport: {result.report}")


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
    """Foretell a pre-training run of some time: size, batch, tokens, steps, loss, memory, energy and money.

    Runs some passes of every size that comes into question, a few seconds each. The other options are those of
    `bertkit pretrain`, whose command it prints.

    Parameters
    ----------
    data
        Folder that `bertkit prepare` wrote.
    preset
        Size of the model; auto chooses it, and the batch with it.
    json_output
        Print the figures as JSON.
    """
    if choices.budget is None:
        raise InputError("a plan is for some time: give --budget, such as 30m")
    options = choices.options("tiny" if preset == "auto" else preset)
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
        print(json.dumps([one.to_json(machine) for one in planned], indent=2))
        return
    for one in planned[:-1]:
        print(f"measured: {one.describe()}")
    print("\n".join(chosen.lines(machine)))
    asked = list(typed[1:])
    if preset == "auto":
        asked = _without(asked, "--preset")
    if len(sizes) > 1:
        asked = [*_without(asked, "--batch-size"), "--preset", chosen.size, "--batch-size", str(chosen.batch_size)]
    print(shlex.join(["bertkit", "pretrain", *asked, "--out", "RUN"]))


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
