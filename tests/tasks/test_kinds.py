import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import bertkit
from bertkit.cli.main import run
from bertkit.tasks.contract import Task
from bertkit.tasks.kinds import KINDS, Kind, task_family


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_the_table_names_a_class_of_that_kind(kind: str):
    family = task_family(kind)
    assert issubclass(family, Task)
    assert family.kind == kind


def test_the_command_line_offers_the_table():
    assert get_args(Kind) == tuple(KINDS)


def test_a_kind_says_eight_things_at_most():
    assert len(Task.__abstractmethods__) <= 8


def test_a_new_kind_is_one_file_and_one_line(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The file is `stars.py`, which CONTRIBUTING shows."""
    monkeypatch.setitem(KINDS, "stars", "stars:Stars")
    stars = {"bad": 1, "weak": 2, "fine": 4, "great": 5}
    path = tmp_path / "films.csv"
    path.write_text("text,label\n" + "".join(f"a {word} film,{count}\n" for word, count in stars.items()) * 6)
    options = bertkit.FinetuneOptions(epochs=1, max_length=16)
    result = bertkit.finetune(tiny_model, bertkit.read_tables(path, path, kind="stars"), tmp_path / "run", options)
    assert set(result.best.dev) == {"accuracy", "within_one", "loss"}
    assert "Predictions" in (tmp_path / "run/report.html").read_text()
    assert run(["evaluate", str(result.model), "--data", str(path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == {"examples": 24, **{name: pytest.approx(value) for name, value in result.best.dev.items()}}
    assert bertkit.load(result.model).predict("a fine film").score in range(-5, 10)
    assert run(["evaluate", str(result.model), "--data", str(path), "--label", "text"]) != 0
    path.write_text("text,label\na film,five\n")
    assert run(["evaluate", str(result.model), "--data", str(path)]) != 0
    assert "row 2: label 'five' is no whole number: mend the row" in capsys.readouterr().err


def test_the_names_are_there_without_torch_and_a_kind_without_scikit_learn():
    program = (
        "import sys; import bertkit.tasks.kinds; assert 'torch' not in sys.modules; "
        "import bertkit.tasks.model; [bertkit.tasks.kinds.task_family(kind) for kind in bertkit.tasks.kinds.KINDS]; "
        "assert 'torch' in sys.modules; assert not {'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
