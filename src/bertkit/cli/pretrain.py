"""`bertkit pretrain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.data.instances import InstanceOptions
from bertkit.data.masking import MaskingOptions
from bertkit.data.stages import StageOptions
from bertkit.foundation.durations import parse_duration
from bertkit.foundation.launch import Launch
from bertkit.foundation.precision import Precision
from bertkit.model.presets import MODERN_PRESETS, PRESETS
from bertkit.recipes.presets import RecipeName
from bertkit.recipes.pretrain_options import InitialWeights, PretrainOptions
from bertkit.training.options import OptimizerOptions, TrainingOptions
from bertkit.training.parallel import Parallel

_FLAT = Parameter(name="*")
Architecture = Literal["bert", "modern"]


def pretrain(
    data: Path,
    /,
    *,
    out: Path,
    recipe: RecipeName | None = None,
    steps: int | None = None,
    budget: str | None = None,
    preset: Literal["tiny", "mini", "small", "medium", "base", "large"] = "base",
    architecture: Architecture = "bert",
    batch_size: int = 256,
    nsp: bool = True,
    nsp_weight: float = 1.0,
    seq_length: int = 128,
    short_seq_prob: float = 0.1,
    full_sentences: bool = False,
    stages: Annotated[StageOptions, _FLAT] = StageOptions(),
    masking: Annotated[MaskingOptions, _FLAT] = MaskingOptions(),
    optimizer: Annotated[OptimizerOptions, _FLAT] = OptimizerOptions(),
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
    max_position_embeddings: int | None = None,
    initializer_range: float | None = None,
    initial_weights: InitialWeights = "paper",
    initial_model: Path | None = None,
    held_out: list[Path] | None = None,
    held_out_share: float = 0.005,
    evaluation_sequences: int = 1024,
    micro_batch_tokens: int = 4096,
    activation_checkpointing: bool = False,
    spike_deviations: float | None = 6.0,
    seed: int = 0,
    precision: Precision = "auto",
    log_every: int = 20,
    evaluate_every: int = 500,
    checkpoint_every: int = 500,
    keep_checkpoints: int = 2,
    parallel: Parallel = "ddp",
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
        Run folder: config.yaml, metrics.jsonl, tensorboard/, checkpoints/, model/.
    recipe
        Options that belong together, as in a --config file; yours and those of a --config file come first. bert: the
        paper. roberta: no next sentences, full sequences. budget: most quality for little time. modern: a newer model.
    steps
        Updates of the weights.
    budget
        Time for the run in place of steps: 30m, 1h30m, 2d. The learning rate ends with it.
    preset
        Size of the model.
    architecture
        bert: the paper's. modern: ModernBERT's, with rotary positions, local attention and gated layers.
    batch_size
        Sequences an update.
    nsp
        Learn next-sentence prediction too; needs at least two documents.
    nsp_weight
        Weight of the next-sentence loss; 0.1 where batches are small, or its noise drowns the masked LM.
    seq_length
        Longest sequence in tokens, special ones counted.
    short_seq_prob
        Share of the documents whose sequences aim at a random shorter length.
    full_sentences
        Fill every sequence to its length, across documents.
    hidden_dropout
        Dropout of hidden states, in place of the preset's 0.1.
    attention_dropout
        Dropout of attention probabilities, in place of the preset's 0.1.
    max_position_embeddings
        Positions that the model knows, in place of the preset's 512.
    initializer_range
        Deviation of the random weights, in place of the preset's 0.02; small models on little text learn sooner
        with 0.05.
    initial_weights
        paper: all at random. informed: word embeddings start from what stands beside each word in the corpus, heads at
        the neighbouring tokens, the output at the frequencies of words; short runs learn many times more.
    initial_model
        Model folder to go on from, with its sizes and its vocabulary.
    held_out
        Prepared corpora to evaluate on; without any, a share of the documents is held out.
    held_out_share
        That share.
    evaluation_sequences
        Sequences of each held-out corpus in one evaluation, masked as in the paper.
    micro_batch_tokens
        Tokens that go through the model at once: memory against speed.
    activation_checkpointing
        Compute activations twice rather than keep them: far less memory, a third more time.
    spike_deviations
        Leave out steps whose loss or gradient norm is over the usual by so many standard deviations.
    seed
        Decides every random draw.
    precision
        auto is bf16 where the device multiplies it in hardware.
    log_every
        Steps between two log lines.
    evaluate_every
        Steps between two evaluations.
    checkpoint_every
        Steps between two checkpoints.
    keep_checkpoints
        Newest checkpoints to keep.
    parallel
        Under torchrun. ddp: the model whole in every process. fsdp: each holds a share, for models that do not fit.
    profile
        Record some early steps: OUT/profile/table.txt, and trace.json for ui.perfetto.dev.
    resume
        --resume insists that there is a run to go on with, --no-resume starts over.
    dry_run
        Print the plan and stop.
    """
    del recipe  # its options have come as the others did
    model = (MODERN_PRESETS if architecture == "modern" else PRESETS)[preset]
    if initial_model is not None:
        from bertkit.model.folder import ModelFolder

        model = ModelFolder.open(initial_model).config
    changes = {
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
        "max_position_embeddings": max_position_embeddings,
        "initializer_range": initializer_range,
    }
    model = replace(model, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
    options = PretrainOptions(
        model=model,
        training=TrainingOptions(
            steps=steps,
            budget_seconds=None if budget is None else parse_duration(budget),
            optimizer=optimizer,
            seed=seed,
            precision=precision,
            log_every=log_every,
            evaluate_every=evaluate_every,
            checkpoint_every=checkpoint_every,
            keep_checkpoints=keep_checkpoints,
            spike_deviations=spike_deviations,
        ),
        instances=InstanceOptions(seq_length=seq_length, short_seq_prob=short_seq_prob, next_sentence=nsp),
        full_sentences=full_sentences,
        stages=stages,
        masking=masking,
        batch_size=batch_size,
        micro_batch_tokens=micro_batch_tokens,
        activation_checkpointing=activation_checkpointing,
        held_out=tuple(held_out or ()),
        held_out_share=held_out_share,
        evaluation_sequences=evaluation_sequences,
        next_sentence_weight=nsp_weight,
        initial_weights=initial_weights,
        initial_model=initial_model,
        parallel=parallel,
    )
    from bertkit.foundation.process_group import joined
    from bertkit.recipes.pretrain import pretrain as run_pretraining
    from bertkit.recipes.pretrain_prediction import describe_plan

    launch = Launch.read()
    with joined(launch) as group:
        if dry_run:
            print(describe_plan(data, options))
            return
        # A launcher that starts a run of --no-resume anew wants it to go on.
        resume = None if launch.restarts else resume
        result = run_pretraining(data, out, options, resume=resume, group=group, profile=profile)
        for name, value in result.evaluation.items():
            print(f"{name}: {value:.4f}")
        print(f"model: {result.model}")
