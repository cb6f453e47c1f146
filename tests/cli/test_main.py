"""The command line as a whole: its help, its arguments and its files of options."""

import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.cli import convert
from bertkit.cli.main import _COMMANDS, run


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
