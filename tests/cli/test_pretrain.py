"""The command that a plan prints. Recipes are files of options; what a user says comes first."""

import shlex
from pathlib import Path

import pytest
import yaml

from bertkit.cli.main import USER_ERROR, run
from bertkit.data.corpus.prepare import prepare
from bertkit.model.config import ModernBertConfig
from bertkit.recipes import estimate
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.presets import recipe_file
from bertkit.recipes.pretrain_setup import PretrainSetup
from bertkit.recipes.step_cost import StepCost
from bertkit.text.tokenizer import Tokenizer

SENTENCE = "the quiet river runs over old green stones"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus on a machine of known speed, in a folder whose name wants quotes."""

    def measure_step(setup: PretrainSetup) -> StepCost:
        return StepCost(
            pass_seconds=0.0,
            token_seconds=0.001,
            update_seconds=0.0,
            tokens_per_sequence=20.0,
            micro_batch_tokens=4096,
            memory=1 << 20,
        )

    monkeypatch.setattr(estimate, "measure_step", measure_step)
    (tmp_path / "text.txt").write_text("\n\n".join([f"{SENTENCE}.\n{SENTENCE}.\n"] * 40))
    prepare([tmp_path / "text.txt"], Tokenizer.train(SENTENCE.split() * 9, vocab_size=70), tmp_path / "my data")
    return tmp_path / "my data"


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["plan", *arguments]) == 0
    name, *command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert name == "bertkit"
    return command


def _accepted(capsys: pytest.CaptureFixture[str], command: list[str]) -> dict[str, object]:
    """The options that the command resolves to."""
    assert run([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    return yaml.safe_load(said[said.index("data: ") :])


def test_it_is_accepted_and_keeps_what_the_user_said(data: Path, tmp_path: Path, capsys):
    (tmp_path / "own.yaml").write_text("seed: 3\n")
    command = _printed(
        capsys,
        *(str(data), "--recipe", "budget", "--budget", "60s", "--preset=auto", "--batch_size", "512", "--no-nsp"),
        *("--seq-length", "32", "--held-out", str(data), "--config", str(tmp_path / "own.yaml"), "--watts", "300"),
    )
    assert command[-6:] == ["--preset", "tiny", "--batch-size", "8", "--out", "RUN"]
    options = _accepted(capsys, command)
    assert (options["batch_size"], options["instances"]["seq_length"], options["held_out"]) == (8, 32, [str(data)])
    assert (options["training"]["budget_seconds"], options["training"]["seed"]) == (60.0, 3)


def test_a_size_that_was_given_keeps_its_batch(data: Path, capsys):
    given = [str(data), "--preset", "mini", "--budget", "60s", "--batch-size", "24"]
    command = _printed(capsys, *given)
    assert command == ["pretrain", *given, "--out", "RUN"]
    assert _accepted(capsys, command)["batch_size"] == 24


def test_the_full_batch_would_make_some_4000_updates_of_the_time(data: Path, capsys):
    command = _printed(capsys, str(data), "--recipe", "budget", "--budget", "20h", "--no-nsp", "--seq-length", "32")
    assert command[command.index("--batch-size") + 1] == str(1024), "72,000 s of 50 sequences are 3.6 million"


def test_a_model_to_go_on_from_is_the_size(data: Path, tmp_path: Path, capsys):
    run_folder = tmp_path / "run"
    assert (
        run(["pretrain", str(data), "--preset", "tiny", "--steps", "1", "--batch-size", "2", "--out", str(run_folder)])
        == 0
    )
    capsys.readouterr()
    assert run(["plan", str(data), "--budget", "60s", "--initial-model", str(run_folder / "model")]) == 0
    said = capsys.readouterr().out
    assert "size    model, " in said and "random" not in said


def test_a_dry_run_counts_every_stage(data: Path, capsys):
    given = ["pretrain", str(data), "--out", "RUN", "--preset", "tiny", "--steps", "100", "--batch-size", "10"]
    assert run([*given, "--dry-run"]) == 0
    assert "20s for 100 steps" in capsys.readouterr().out
    assert run([*given, "--long-seq-length", "512", "--dry-run"]) == 0
    assert "26s for 100 steps" in capsys.readouterr().out, "10 steps of four times the tokens"


def test_a_ramp_above_the_batch_is_named(data: Path, capsys):
    given = [str(data), "--out", "RUN", "--preset", "tiny", "--budget", "60s", "--batch-size", "8", "--ramp-from", "16"]
    assert run(["pretrain", *given, "--dry-run"]) == 0
    assert "ramp_from 16 is not below that" in capsys.readouterr().out


def test_a_time_that_holds_no_step_is_refused(data: Path, capsys):
    assert run(["plan", str(data), "--preset", "tiny", "--budget", "0.01s"]) == USER_ERROR
    said = capsys.readouterr()
    assert "budget 0.0s is too short for one step" in said.err and said.out == ""


def test_a_price_below_nothing_is_refused(data: Path, capsys):
    assert run(["plan", str(data), "--budget", "60s", "--price-per-hour", "-1"]) == USER_ERROR
    assert "price_per_hour must be at least 0" in capsys.readouterr().err


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch):
    """Give the options that a command line ends up with."""
    taken: list[PretrainOptions] = []

    def describe_run(data: Path, options: PretrainOptions) -> str:
        taken.append(options)
        return ""

    monkeypatch.setattr(estimate, "describe_run", describe_run)

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
