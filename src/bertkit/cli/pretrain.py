"""`bertkit pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bertkit.cli.pretraining_choices import FLAT, PretrainingChoices, Size
from bertkit.foundation.launch import Launch
from bertkit.recipes.machine_cost import MachineCost


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
    from bertkit.foundation.process_group import joined
    from bertkit.recipes.pretrain import pretrain as run_pretraining
    from bertkit.recipes.pretrain_dry_run import describe_run
    from bertkit.studies.pretraining_report import write_pretraining_report

    launch = Launch.read()
    with joined(launch) as group:
        if dry_run:
            print(describe_run(data, options))
            return
        # A launcher that starts a run of --no-resume anew wants it to go on.
        resume = None if launch.restarts else resume
        result = run_pretraining(data, out, options, resume=resume, group=group, profile=profile, machine=machine)
        for name, value in result.evaluation.items():
            print(f"{name}: {value:.4f}")
        print(f"model: {result.model}")
        if group.leads:
            print(f"report: {write_pretraining_report(out)}")
