"""The command line as a whole: its help, its arguments and its files of options."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.cli import convert
from bertkit.cli.main import _COMMANDS, run
from bertkit.core.errors import InputError
from bertkit.tasks.questions.files import is_squad_file


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What the command was called with."""
    calls: list[tuple[str, str, str]] = []

    def command(source: str, target: str, /, *, to: str = "huggingface") -> None:
        calls.append((source, target, to))

    monkeypatch.setattr(convert, "convert", command)
    return calls


def test_arguments_behind_two_dashes_may_begin_with_one(converted):
    assert run(["convert", "--to", "tensorflow", "--", "-a", "--config"]) == 0
    assert converted == [("-a", "--config", "tensorflow")]


def test_the_command_line_comes_before_the_file_of_options(converted, tmp_path: Path):
    (tmp_path / "options.yaml").write_text("to: tensorflow\n")
    config = f"--config={tmp_path / 'options.yaml'}"
    assert run(["convert", config, "a", "b"]) == 0
    assert run(["convert", "a", "b", "--to", "huggingface", config]) == 0
    assert converted == [("a", "b", "tensorflow"), ("a", "b", "huggingface")]


def test_a_file_of_options_that_is_not_there_is_one_line(converted, capsys):
    assert run(["convert", "a", "b", "--config", "nowhere.yaml"]) == 2
    assert run(["convert", "a", "b", "--config"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "nowhere.yaml" in lines[0] and "does not exist" in lines[0]
    assert "--config" in lines[1]
    assert converted == []


@pytest.mark.parametrize("command", [*_COMMANDS, "study features"])
def test_help_tells_of_files_of_options_and_needs_no_numpy(command: str):
    script = (
        "import sys; from bertkit.cli.main import run\n"
        f"assert run({[*command.split(), '--help']!r}) == 0\n"
        "sys.exit('numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config" in done.stdout


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What a command of numbers was called with."""
    calls: list[tuple[object, ...]] = []

    def command(*, steps: int = 1, some: tuple[int, ...] | None = None, rate: float = 0.5, name: str = "") -> None:
        calls.append((steps, some, rate, name))

    monkeypatch.setattr(convert, "convert", command)
    return calls


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--steps", "2.5"], "steps: 2.5"),
        (["--steps=-1.5"], "steps: -1.5"),
        (["--steps", "3.0"], "steps: 3.0"),
        (["--steps", "1e3"], "steps: 1e3"),
        (["--some", "1", "--some", "2.7"], "some: [1, 2.7]"),
        (["--rate", "nan"], "rate: .nan"),
        (["--rate", "NaN"], "rate: nan"),
    ],
)
def test_fractions_of_whole_numbers_and_no_numbers_are_refused(
    numbered, arguments: list[str], options: str, tmp_path: Path, capsys
):
    assert run(["convert", *arguments]) == 2
    (tmp_path / "options.yaml").write_text(options + "\n")
    assert run(["convert", "--config", str(tmp_path / "options.yaml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("number, got" in line for line in lines)
    assert numbered == []


def test_whole_numbers_and_fractions_where_they_may_be_are_taken(numbered, tmp_path: Path):
    assert run(["convert", "--steps", "-3", "--some", "1", "--some", "20", "--rate", "2.5", "--name", "1.5"]) == 0
    (tmp_path / "options.yaml").write_text("steps: 7\nsome: [1, 2]\nrate: .inf\nname: nan\n")
    assert run(["convert", "--config", str(tmp_path / "options.yaml")]) == 0
    assert numbered == [(-3, (1, 20), 2.5, "1.5"), (7, (1, 2), float("inf"), "nan")]


def test_an_error_shows_what_would_control_the_terminal(capsys):
    assert run(["convert", "a\x1b[2J\u202eb", "c"]) == 2
    assert r"a\x1b[2J\u202eb" in capsys.readouterr().err


def test_a_file_of_options_with_a_list_within_itself_is_one_line(numbered, tmp_path: Path, capsys):
    (tmp_path / "options.yaml").write_text("steps: &a [*a]\n")
    assert run(["convert", "--config", str(tmp_path / "options.yaml")]) == 2
    assert "within itself" in capsys.readouterr().err


def test_an_endless_number_in_squads_json_is_one_line(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"data": [' + "9" * 5000 + "]}")
    with pytest.raises(InputError, match="not valid JSON"):
        is_squad_file(tmp_path / "a.json")
