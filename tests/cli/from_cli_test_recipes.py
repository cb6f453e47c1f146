"""Recipes are files of options; what a user says comes first."""

from pathlib import Path

import pytest
import yaml

from bertkit.cli.main import USER_ERROR, run
from bertkit.model.modern_config import ModernBertConfig
from bertkit.recipes import pretrain_dry_run
from bertkit.recipes.presets import recipe_file
from bertkit.recipes.pretrain_options import PretrainOptions


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch):
    """Give the options that a command line ends up with."""
    taken: list[PretrainOptions] = []

    def describe_run(data: Path, options: PretrainOptions) -> str:
        taken.append(options)
        return ""

    monkeypatch.setattr(pretrain_dry_run, "describe_run", describe_run)

    def of(*arguments: str) -> PretrainOptions:
        assert run(["pretrain", "data", "--out", "run", "--dry-run", *arguments]) == 0
        return taken[-1]

    return of


def test_bert_is_the_paper(options):
    bert = options("--recipe", "bert", "--steps", "100")
    assert (bert.batch_size, bert.instances.seq_length, bert.instances.next_sentence) == (256, 128, True)
    assert (bert.stages.long_seq_length, bert.stages.long_share) == (512, 0.1)
    assert not bert.training.optimizer.corrects_bias
    assert bert.training.optimizer == options("--steps", "100").training.optimizer.__class__(bias_correction=False)


def test_roberta_has_full_sentences_and_no_pairs(options):
    roberta = options("--recipe", "roberta", "--steps", "100")
    assert roberta.full_sentences and not roberta.instances.next_sentence
    assert roberta.training.optimizer.beta2 == 0.98
    assert roberta.training.optimizer.max_grad_norm == float("inf")


def test_budget_masks_more_drops_nothing_and_ends_with_its_time(options):
    budget = options("--recipe", "budget", "--budget", "1h30m", "--preset", "mini")
    assert budget.training.budget_seconds == 5400 and budget.training.steps is None
    assert (budget.masking.select_rate, budget.model.hidden_dropout_prob) == (0.3, 0.0)
    assert budget.training.optimizer.schedule == "one-cycle"
    assert budget.stages.ramp_from is not None and budget.stages.ramp_from < budget.batch_size


def test_modern_is_modernbert(options):
    modern = options("--recipe", "modern", "--steps", "100", "--preset", "mini")
    assert isinstance(modern.model, ModernBertConfig)
    assert modern.training.optimizer.optimizer == "stable-adamw"
    assert modern.training.optimizer.schedule == "trapezoidal"


def test_a_users_options_come_first_then_those_of_a_file(options, tmp_path: Path):
    (tmp_path / "own.yaml").write_text("recipe: roberta\nlearning_rate: 1e-3\nbatch_size: 64\nsteps: 7\n")
    mixed = options("--config", str(tmp_path / "own.yaml"), "--batch-size", "32")
    assert (mixed.batch_size, mixed.training.optimizer.learning_rate, mixed.training.steps) == (32, 1e-3, 7)
    assert mixed.full_sentences, "from the recipe that the file names"
    assert mixed.training.optimizer.beta2 == 0.98
    assert options("--config", str(tmp_path / "own.yaml"), "--recipe=bert").instances.next_sentence


@pytest.mark.parametrize("name", ["bert", "roberta", "budget", "modern"])
def test_a_recipe_is_a_config_file(options, name: str):
    assert isinstance(yaml.safe_load(recipe_file(name).read_text()), dict)
    assert options("--steps", "9", "--config", str(recipe_file(name))) == options("--steps", "9", "--recipe", name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "best", "--steps", "9"], ("best", "budget")),
        ([], ("--steps or --budget",)),
        (["--steps", "9", "--budget", "5m"], ("--steps or --budget",)),
        (["--budget", "soon"], ("'soon'", "30m")),
        (["--recipe", "roberta", "--nsp", "--steps", "9"], ("--no-nsp",)),
        (["--recipe", "bert", "--steps", "9", "--max-position-embeddings", "128"], ("long_seq_length 512", "128")),
    ],
)
def test_what_does_not_fit_is_one_line(capsys, arguments: list[str], words: tuple[str, ...]):
    assert run(["pretrain", "data", "--out", "run", "--dry-run", *arguments]) == USER_ERROR
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bertkit: error: ")]
    assert all(word in line for word in words)


def test_a_plan_without_a_time_is_refused(capsys):
    assert run(["plan", "data", "--recipe", "budget", "--steps", "9"]) == USER_ERROR
    assert "give --budget" in capsys.readouterr().err
