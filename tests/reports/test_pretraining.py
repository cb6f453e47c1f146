"""The page of a pre-training run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertkit.cli.main import run
from bertkit.reports.pretraining import pretraining_page
from bertkit.training.run_folder import RunFolder, as_yaml

SENTENCE = "the quiet river runs over old green stones"


@pytest.fixture
def finished(tmp_path: Path) -> RunFolder:
    """The files of a finished run with a budget, without the weights."""
    run = RunFolder(tmp_path)
    run.config.write_text(as_yaml({"data": "data", "training": {"seed": 3}}))
    lines = [
        {"step": 10, "kind": "train", "masked_lm_loss": 7.0, "learning_rate": 1e-3, "tokens_per_second": 900.0},
        {
            "step": 10,
            "kind": "evaluation",
            "wall_seconds": 61.0,
            "wiki/masked_lm_loss": 6.0,
            "books/masked_lm_loss": None,
        },
        {"step": 20, "kind": "train", "masked_lm_loss": None, "share_of_matrix_peak": 0.5, "steps_spiked": 2},
        {
            "step": 20,
            "kind": "evaluation",
            "wall_seconds": 90.0,
            "wiki/masked_lm_loss": 0.0,
            "books/masked_lm_loss": None,
        },
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.baselines.write_text(json.dumps({"on": {}, "baselines": {"unigram_entropy": 6.5, "matrix_peak": 1.0}}))
    outcome = {"steps": 25, "tokens": 1000, "loss": 5.5, "memory": 2**20, "kilowatt_hours": None, "price": 1.0}
    plan = {"estimated": outcome | {"loss": None}, "actual": outcome | {"steps": 20}}
    run.plan.write_text(json.dumps(plan))
    return run


def test_the_page_has_figures_curves_and_the_estimated_and_actual_budget(finished: RunFolder) -> None:
    page = pretraining_page(finished)
    facts = {fact.label: fact.value for fact in page.facts}
    assert facts == {
        "perplexity, wiki": "1.0",
        "wall-clock time": "1m 30s",
        "updates": "20",
        "tokens/s": "900",
        "of the machine's matrix throughput (MFU)": "50%",
    }
    assert page.notice == "2 updates were skipped because of a spike of the loss or of the gradient norm."
    sections = {section.title: section.blocks for section in page.sections}
    assert list(sections) == ["Loss and accuracy", "Training", "Budget", "Next commands", "Settings"]
    (curves,) = sections["Loss and accuracy"][0].svgs
    assert all(label in curves for label in ("training", "wiki", "unigram entropy")) and "books" not in curves
    assert sections["Budget"][0].rows == [
        ("steps", "25", "20"),
        ("tokens", "1,000", "1,000"),
        ("held-out loss", "", "5.500"),
        ("memory", "1 MiB", "1 MiB"),
        ("price", "1.00", "1.00"),
    ]


def test_pretraining_ends_in_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join([f"{SENTENCE}.\n{SENTENCE}.\n"] * 40))
    text, tokenizer, data, out = (str(tmp_path / name) for name in ("text.txt", "tokenizer", "data", "run"))
    assert run(["vocab", text, "--size", "60", "--out", tokenizer]) == 0
    assert run(["prepare", text, "--tokenizer", tokenizer, "--out", data]) == 0
    settings = ["--preset", "tiny", "--seq-length", "32", "--batch-size", "4", "--log-every", "1"]
    assert run(["pretrain", data, "--out", out, "--steps", "2", *settings]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {out}/report.html"
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(words in page for words in ("next-sentence accuracy", "gradient norm", "fill-mask", "<svg"))
