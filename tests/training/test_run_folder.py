"""The folder of a run: gone on with, started over, or not a run at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.training.run_folder import read_config, settle_config


@pytest.mark.parametrize("resume", [None, True, False])
def test_a_folder_that_holds_no_run_keeps_its_files(tmp_path: Path, resume: bool | None) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        settle_config(tmp_path, {"seed": 0}, resume)
    assert (tmp_path / "sub" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [None, False])
@pytest.mark.parametrize("config", ["database: postgres\n", "- 1\n"])
def test_options_of_something_else_are_no_run(tmp_path: Path, config: str, resume: bool | None) -> None:
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(InputError, match="choose a"):
        settle_config(tmp_path, {"seed": 0}, resume)
    assert (tmp_path / "config.yaml").read_text() == config


def test_starting_over_empties_the_folder_of_a_run_and_not_what_links_lead_to(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (elsewhere / "model").write_text("kept")
    settle_config(run, {"seed": 0})
    (run / "checkpoints").mkdir()
    (run / "model").symlink_to(elsewhere)
    settle_config(run, {"seed": 1}, resume=False)
    assert read_config(run) == {"seed": 1}
    assert [entry.name for entry in run.iterdir()] == ["config.yaml"]
    assert (elsewhere / "model").read_text() == "kept"


def test_what_may_change_is_kept_as_it_is_now(tmp_path: Path) -> None:
    settle_config(tmp_path, {"seed": 0, "parallel": "ddp"})
    settle_config(tmp_path, {"seed": 0, "parallel": "fsdp"}, may_change=["parallel"])
    assert read_config(tmp_path) == {"seed": 0, "parallel": "fsdp"}
    with pytest.raises(InputError, match="started with seed = 0, now it is 1"):
        settle_config(tmp_path, {"seed": 1, "parallel": "fsdp"}, may_change=["parallel"])


@pytest.mark.parametrize("content", [b"seed: [0\ndata: {", b"seed: \xff\n"])
def test_options_that_are_broken_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"config\.yaml is not valid YAML .*: choose a new folder") as error:
        settle_config(tmp_path, {"seed": 0})
    assert "\n" not in str(error.value)
    assert (tmp_path / "config.yaml").read_bytes() == content
