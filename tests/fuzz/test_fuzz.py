"""A slice of `make fuzz`, and that the fuzzer would see what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "tools" / "fuzz"
sys.path.insert(0, str(FUZZ))

import mutations  # noqa: E402
import run as fuzz  # noqa: E402
from templates import TEMPLATES  # noqa: E402

CASE = fuzz.plain_case(1, next(each for each in TEMPLATES if "out.jsonl" in each.writes), "nothing")


def test_a_slice_finds_nothing(tmp_path: Path):
    command = [sys.executable, str(FUZZ / "run.py"), "--cases", "60", "--seed", "3", "--out", str(tmp_path / "fuzz")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "fuzz" / "result.json").read_text())
    assert found["cases"] == 60
    assert found["exit codes"].keys() >= {"0", "2"}
    assert not (tmp_path / "fuzz" / "cases").exists()


@pytest.mark.parametrize(
    ("code", "error", "after", "seen"),
    [
        (0, "a note\n", {"a": "1", "out.jsonl": "2"}, None),
        (2, "bertkit: error: no\n", {"a": "1"}, None),
        (
            1,
            'Traceback\n  File "/x/bertkit/core/a.py", line 7\nKeyError: 1\n',
            {"a": "1"},
            "traceback KeyError in core/a.py:7",
        ),
        (1, "bertkit: error: no\n", {"a": "1"}, "exit code 1"),
        (-6, "", {"a": "1"}, "signal SIGABRT"),
        (2, "", {"a": "1"}, "0 error lines"),
        (0, "bertkit: error: no\n", {"a": "1"}, "1 error lines with exit code 0"),
        (2, "bertkit: error: \x1b[2J\n", {"a": "1"}, "control character"),
        (2, "bertkit: error: no\n", {"a": "2"}, "an input was changed or lost: a"),
        (0, "", {}, "an input was changed or lost"),
        (2, "bertkit: error: no\n", {"a": "1", ".out.x.partial": "2"}, "left behind with exit code 2: .out.x.partial"),
        (2, "bertkit: error: no\n", {"a": "1", "out.jsonl": "2"}, "left behind with exit code 2: out.jsonl"),
        (0, "", {"a": "1", "out.jsonl": "2", "more": "3"}, "written though nobody asked: more"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(code: int, error: str, after: dict[str, str], seen: str | None):
    found = fuzz.judged(CASE, code, error, {"a": "1"}, after)
    assert (found is None) if seen is None else seen in str(found)


def test_outputs_that_are_not_finite_or_no_json_are_seen(tmp_path: Path):
    import numpy as np

    for line, is_bad in (('{"a": 1.5}', False), ('{"a": NaN}', True), ("{", True)):
        (tmp_path / "out.jsonl").write_text(line + "\n")
        if is_bad:
            with pytest.raises(ValueError, match=r"NaN|Expecting"):
                fuzz.invalid(CASE, tmp_path)
        else:
            assert fuzz.invalid(CASE, tmp_path) is None
    np.save(tmp_path / "v.npy", np.array([1.0, np.inf]))
    assert fuzz._invalid_file(tmp_path / "v.npy") == "not finite"


def test_a_case_is_the_same_each_time_it_is_drawn(tmp_path: Path):
    workshop = tmp_path / "workshop"
    for template in TEMPLATES:
        for name in template.reads:
            (workshop / name).parent.mkdir(parents=True, exist_ok=True)
            if "." in name:
                (workshop / name).write_text('{"a": [1, 2]}\n')
            else:
                (workshop / name).mkdir(exist_ok=True)
                (workshop / name / "config.json").write_text('{"a": [1, 2]}')
    options = {template.command: ["--size", "--out"] for template in TEMPLATES}
    drawn = []
    for turn in range(2):
        for number in range(20):
            folder = tmp_path / f"{turn}-{number}"
            folder.mkdir()
            case = fuzz.make_case(5, number, options, workshop, folder)
            drawn.append((case.line, fuzz.snapshot(folder)))
    assert drawn[:20] == drawn[20:]
    assert len({line for line, _ in drawn}) > 15


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.yaml", "a.csv", "a.conll"])
def test_every_way_to_spoil_a_file_works(name: str, tmp_path: Path):
    import random

    said = set()
    for number in range(150):
        path = tmp_path / name
        mutations.remove(path)
        path.write_text('{"a": [1, {"b": "c"}]}\n' if "json" in name else "a: 1\nb: x,y\n")
        said.add(mutations.mutate_file(path, random.Random(number)))
    assert len(said) > 25
