from pathlib import Path

import pytest

from bertkit.studies.stages import Stages


def test_a_stage_is_done_once(tmp_path: Path):
    done: list[str] = []
    for _ in range(2):
        stages = Stages(tmp_path, lambda line: None)
        stages.run("one", lambda: done.append("one"))
    assert done == ["one"]
    assert list(stages.seconds) == ["one"]


def test_a_stage_that_failed_is_done_again(tmp_path: Path):
    def fail() -> None:
        raise KeyboardInterrupt

    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, lambda line: None).run("one", fail)
    Stages(tmp_path, lambda line: None).run("one", lambda: done.append("one"))
    assert done == ["one"]


def test_seconds_of_earlier_attempts_count(tmp_path: Path):
    stages = Stages(tmp_path, lambda line: None)
    stages.run("one", lambda: 1000.0)
    assert stages.seconds == {"one": 1000.0}
