"""The folder of a run: gone on with, started over, or not a run at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from bertkit.core.errors import BertkitError, DivergedError, InputError, ResourceError
from bertkit.training.run_folder import RunFolder


def _start(path: Path, config: dict[str, object], resume: bool | None = None, may_change: Collection[str] = ()) -> None:
    with RunFolder(path).claim(config, resume, may_change=may_change):
        pass


@pytest.mark.parametrize("resume", [None, True, False])
def test_a_folder_that_holds_no_run_keeps_its_files(tmp_path: Path, resume: bool | None) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        _start(tmp_path, {"seed": 0}, resume)
    assert (tmp_path / "sub" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("resume", [None, False])
@pytest.mark.parametrize("config", ["database: postgres\n", "- 1\n"])
def test_options_of_something_else_are_no_run(tmp_path: Path, config: str, resume: bool | None) -> None:
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(InputError, match="choose a"):
        _start(tmp_path, {"seed": 0}, resume)
    assert (tmp_path / "config.yaml").read_text() == config


def test_starting_over_empties_the_folder_of_a_run_and_not_what_links_lead_to(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run.mkdir()
    elsewhere.mkdir()
    (elsewhere / "model").write_text("kept")
    _start(run, {"seed": 0})
    (run / "checkpoints").mkdir()
    (run / "model").symlink_to(elsewhere)
    _start(run, {"seed": 1}, resume=False)
    assert RunFolder(run).read_config() == {"seed": 1}
    assert sorted(entry.name for entry in run.iterdir()) == [".lock", "config.yaml"]
    assert (elsewhere / "model").read_text() == "kept"


def test_starting_over_keeps_what_a_run_does_not_write(tmp_path: Path) -> None:
    mine = {"my-notes.md", "mine/a", "seed-0/notes.md", "settings/2e-5/notes.md", "modelled/a"}
    runs = {
        *("metrics.jsonl", "best.safetensors", "baselines.json", "plan.json", "results.json", "results.md"),
        *("report.html", "tensorboard/events", "checkpoints/step-00000002/state.json", "profile/table.txt"),
        *("model/config.json", "seed-0/config.yaml", "seed-0/model/config.json", "seed-0/result.json"),
        *("seed-1/config.yaml", "seed-1/.lock", "settings/2e-5/seed-3/result.json", "settings/3e-5/config.yaml"),
        *("features/0.npy", "runs/mean-last-0/metrics.jsonl"),
    }
    _start(tmp_path, {"seed": 0})
    for name in mine | runs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    _start(tmp_path, {"seed": 1}, resume=False)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == mine | {".lock", "config.yaml"}
    assert not (tmp_path / "seed-1").exists()
    assert RunFolder(tmp_path).read_config() == {"seed": 1}
    _start(tmp_path, {"seed": 1}, resume=True)


def test_starting_over_that_is_killed_leaves_a_run_that_can_be_started_over(tmp_path: Path, monkeypatch) -> None:
    _start(tmp_path, {"seed": 0})
    (tmp_path / "model").mkdir()

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", killed)
        _start(tmp_path, {"seed": 1}, resume=False)
    assert RunFolder(tmp_path).read_config() == {"seed": 0}
    _start(tmp_path, {"seed": 1}, resume=False)
    assert not (tmp_path / "model").exists()


def test_what_may_change_is_kept_as_it_is_now(tmp_path: Path) -> None:
    _start(tmp_path, {"seed": 0, "parallel": "ddp"})
    _start(tmp_path, {"seed": 0, "parallel": "fsdp"}, may_change=["parallel"])
    assert RunFolder(tmp_path).read_config() == {"seed": 0, "parallel": "fsdp"}
    with pytest.raises(InputError, match="started with seed = 0, now it is 1"):
        _start(tmp_path, {"seed": 1, "parallel": "fsdp"}, may_change=["parallel"])


@pytest.mark.parametrize("content", [b"seed: [0\ndata: {", b"seed: \xff\n"])
def test_options_that_are_broken_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(
        InputError, match=r"config\.yaml(, line \d)? is not valid YAML .*: choose a new folder"
    ) as error:
        _start(tmp_path, {"seed": 0})
    assert "\n" not in str(error.value)
    assert (tmp_path / "config.yaml").read_bytes() == content


LINE = b'{"step": 4, "kind": "train", "masked_lm_loss": 6.5, "gradient_norm": null}'


@pytest.mark.parametrize(
    "damaged",
    [b'{"step": 2, "kind', b"\xff", b"[]", b"3", b"[" * 100_000, b'{"step": 2}', LINE.replace(b"4", b"-1"),
     LINE.replace(b"4", b'"4"'), LINE.replace(b"6.5", b"[]"), LINE.replace(b"6.5", b"NaN"), b"{}"],
)  # fmt: skip
def test_a_damaged_line_of_metrics_costs_that_line_only_and_is_named(tmp_path: Path, damaged: bytes, capsys) -> None:
    run = RunFolder(tmp_path)
    run.metrics.write_bytes(b"\n".join([LINE, damaged, LINE, b'{"cut']))
    whole = {"step": 4, "kind": "train", "masked_lm_loss": 6.5, "gradient_norm": None}
    assert run.read_metrics() == [whole, whole]
    shown = capsys.readouterr().err
    assert "metrics.jsonl, line 2 is damaged" in shown and shown.count("\n") == 1


def _refused(run: RunFolder, error: BertkitError, *, has_begun: bool) -> None:
    """A run that writes what runs write, and then fails."""
    with pytest.raises(type(error)), run.claim({"seed": 0}, has_begun=lambda: has_begun):
        for path in (run.baselines, run.plan, run.metrics):
            path.write_text("{}")
        for folder in (run.tensorboard, run.checkpoints / "step-00000001", run.profile):
            folder.mkdir(parents=True, exist_ok=True)
        assert run.has_checkpoint
        raise error


@pytest.mark.parametrize("error", [InputError("a"), ResourceError("b"), DivergedError("c")])
def test_a_new_run_that_fails_before_its_first_step_leaves_nothing(tmp_path: Path, error: BertkitError) -> None:
    _refused(RunFolder(tmp_path / "new"), error, has_begun=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    _refused(RunFolder(tmp_path / "there"), error, has_begun=False)
    assert not [*(tmp_path / "there").iterdir()]


def test_a_run_that_fails_later_or_is_resumed_leaves_all(tmp_path: Path) -> None:
    begun = RunFolder(tmp_path / "begun")
    _refused(begun, InputError("a"), has_begun=True)
    assert begun.has_checkpoint and begun.metrics.exists()
    _refused(begun, InputError("a"), has_begun=False)
    assert begun.has_checkpoint and begun.metrics.exists()


def test_one_process_has_a_run(tmp_path: Path) -> None:
    _start(tmp_path, {"seed": 0})
    with (
        RunFolder(tmp_path).claim({"seed": 0}),
        pytest.raises(ResourceError, match="in use by another process"),
        RunFolder(tmp_path).claim({"seed": 0}),
    ):
        pass


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="UTF-8"), RunFolder(tmp_path / "run\udc80").claim({"a": 1}):
        pass
