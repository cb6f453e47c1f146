"""Runs in 2 and 4 processes against the same run in one, and what goes wrong among several."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import psutil
import pytest
import torch
from safetensors.torch import load_file

from bertkit.core.errors import InputError
from bertkit.core.files import exclusive
from bertkit.recipes.pretrain import pretrain
from bertkit.training.options import OptimizerName
from bertkit.training.run_folder import RunFolder
from distributed_runs import BUDGET_SECONDS, OPTIONS, STEPS, prepare_corpus

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
RUNS = Path(__file__).parents[1] / "helpers" / "distributed_runs.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ON_PROCESSOR = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
KINDS = ("ddp", "fsdp")


def _torchrun(processes: int, folder: Path, *runs: str, environment: dict[str, str] = ON_PROCESSOR) -> str:
    """Standard error of a job that ends well."""
    ended = subprocess.run(
        [*TORCHRUN, f"--nproc-per-node={processes}", str(RUNS), str(folder), *runs],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def _half_done(whole: Path, copy: Path) -> None:
    """The run as it was when it had been killed after its first checkpoint."""
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / "checkpoints" / f"step-{STEPS:08d}")
    shutil.rmtree(copy / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `data`, and `one`, a run in one process."""
    folder = tmp_path_factory.mktemp("distributed")
    prepare_corpus(folder, "data", 60)
    pretrain(folder / "data", folder / "one", OPTIONS)
    return folder


@pytest.fixture(scope="module", params=[2, 4])
def processes(request: pytest.FixtureRequest, folder: Path) -> int:
    """How many processes have made the runs `ddp-N`, `fsdp-N` and `budget-N`, and ended the half-done run `half-N`."""
    count: int = request.param
    _half_done(folder / "one", folder / f"half-{count}")
    runs = [f"{kind}:{kind}-{count}" for kind in KINDS]
    errors = _torchrun(count, folder, *runs, f"fsdp:half-{count}", f"budget:budget-{count}", "optimizers")
    assert errors.count("parameters, vocabulary") == len(runs) + 2, "only the first process reports"
    assert "Warning" not in errors
    return count


def _assert_same_run(run: Path, one: Path) -> None:
    """The figures of all steps and evaluations to 1e-5, and a model that is the same."""
    lines, expected = RunFolder(run).read_metrics(), RunFolder(one).read_metrics()
    assert [(line["step"], line["kind"]) for line in lines] == [(line["step"], line["kind"]) for line in expected]
    assert len(lines) == STEPS + 2
    for line, wanted in zip(lines, expected, strict=True):
        for name, value in wanted.items():
            if "loss" in name or "accuracy" in name:
                assert line[name] == pytest.approx(value, abs=1e-5), (run.name, line["step"], name)
    weights, wanted_weights = (load_file(path / "model/model.safetensors") for path in (run, one))
    torch.testing.assert_close(weights, wanted_weights, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_many_processes_train_as_one_does(folder: Path, processes: int, kind: str):
    _assert_same_run(folder / f"{kind}-{processes}", folder / "one")


def test_many_processes_resume_what_one_began(folder: Path, processes: int):
    _assert_same_run(folder / f"half-{processes}", folder / "one")


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_resumes_what_many_began(folder: Path, processes: int, kind: str):
    half = folder / f"half-{kind}-{processes}"
    _half_done(folder / f"{kind}-{processes}", half)
    pretrain(folder / "data", half, OPTIONS)
    _assert_same_run(half, folder / "one")


def test_many_processes_end_together_when_the_time_does(folder: Path, processes: int):
    run = folder / f"budget-{processes}"
    lines = RunFolder(run).read_metrics()
    trained = [line for line in lines if line["kind"] == "train"]
    assert [line["step"] for line in trained] == list(range(1, len(trained) + 1))
    assert trained[-1]["learning_rate"] < 0.1 * max(line["learning_rate"] for line in trained)
    assert lines[-1]["kind"] == "evaluation" and lines[-1]["step"] == len(trained) > 3
    assert lines[-1]["wall_seconds"] > BUDGET_SECONDS - 1


def test_every_optimizer_moves_shards_as_whole_weights(folder: Path, processes: int):
    differences = json.loads((folder / f"optimizers-{processes}.json").read_text())
    assert set(differences) == set(get_args(OptimizerName))
    assert max(differences.values()) < 1e-12


def test_every_process_writes_its_share_of_a_checkpoint(folder: Path, processes: int):
    for kind in KINDS:
        shares = sorted((folder / f"{kind}-{processes}/checkpoints/step-{STEPS:08d}").glob("*.safetensors"))
        sizes = [path.stat().st_size for path in shares]
        assert len(sizes) == processes
        assert max(sizes) < 2 * min(sizes)


def test_what_one_process_gets_wrong_is_one_line_of_the_first(folder: Path):
    for machine in ("other", "empty"):
        (folder / machine).mkdir()
    prepare_corpus(folder / "other", "data", 50)
    shutil.copytree(folder / "data", folder / "broken/data")
    next((folder / "broken/data").glob("*.tokens.npy")).unlink()
    with exclusive(folder / "busy"):
        errors = _torchrun(2, folder, "mistakes")
    assert errors == ""
    first, second = json.loads((folder / "mistakes.json").read_text())
    assert second.pop("a run in use") == "exit 3"  # another process may be done with it later
    assert set(second.values()) == {"exit 2"}
    assert first["other data"].startswith("data_fingerprint is ")
    assert "batch_size is 13 in process 0 of 2, on" in first["other options"]
    assert "but 16 in process 1 of 2, on" in first["other options"]
    assert "micro_batch_tokens is 64 in process 0 of 2, on" in first["another cut"]
    assert "parallel is ddp in process 0 of 2, on" in first["another way of sharing"]
    assert "data is not a prepared corpus" in first["no data"] and "(process 1 of 2, on" in first["no data"]
    assert "tokens.npy is missing" in first["a shard is missing"] and "process 1" in first["a shard is missing"]
    assert "batch_size 1" in first["a batch too small"]
    assert "in use by another process" in first["a run in use"]
    assert not any("\n" in message for message in first.values())
    assert not (folder / "mistakes").exists()


def test_a_checkpoint_from_other_data_is_refused(tmp_path: Path):
    options = replace(OPTIONS, training=replace(OPTIONS.training, steps=1))
    pretrain(prepare_corpus(tmp_path, "data", 12), tmp_path / "run", options)
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(InputError, match=r"run was started with data_fingerprint = .*: use .* --no-resume"):
        pretrain(prepare_corpus(tmp_path, "data", 11), tmp_path / "run", options)


def _workers(torchrun: int) -> list[int]:
    return [child.pid for child in psutil.Process(torchrun).children()]


def test_a_killed_process_is_started_again_and_the_weights_are_the_same(folder: Path):
    """The same bits as without the kill, by the command line, with dropout."""
    steps, rng = 30, random.Random()
    command = ["-m", "bertkit", "pretrain", str(folder / "data"), "--preset", "tiny", "--steps", str(steps)]
    command += ["--batch-size", "8", "--seq-length", "32", "--precision", "float32", "--log-every", "1"]
    command += ["--checkpoint-every", "4", "--held-out-share", "0.2", "--micro-batch-tokens", "128", "--out"]
    launch = [*TORCHRUN, "--nproc-per-node=2", "--max-restarts=2"]
    subprocess.run([*launch, *command, str(folder / "whole")], env=ON_PROCESSOR, check=True, capture_output=True)

    killed_at, victim = rng.randint(1, steps - 2), rng.randint(0, 1)
    print(f"process {victim} killed at step {killed_at}")
    with subprocess.Popen(
        [*launch, *command, str(folder / "killed")], env=ON_PROCESSOR, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as job:
        while not any(line["step"] >= killed_at for line in RunFolder(folder / "killed").read_metrics()):
            assert job.poll() is None
            time.sleep(0.02)
        os.kill(_workers(job.pid)[victim], signal.SIGKILL)
        output, errors = (text.decode() for text in job.communicate())
    assert job.returncode == 0, errors
    assert "SIGKILL" in errors or "exitcode: -9" in errors
    assert f"model: {folder}/killed/model" in output
    weights = [(folder / run / "model/model.safetensors").read_bytes() for run in ("whole", "killed")]
    assert weights[0] == weights[1]


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_as_one_processor_does(folder: Path):
    _torchrun(2, folder, "ddp:cuda-ddp", "fsdp:cuda-fsdp", environment=ENVIRONMENT)
    for kind in KINDS:
        lines, expected = RunFolder(folder / f"cuda-{kind}").read_metrics(), RunFolder(folder / "one").read_metrics()
        for line, wanted in zip(lines, expected, strict=True):
            for name in ("masked_lm_loss", "next_sentence_loss"):
                assert line.get(name) == pytest.approx(wanted.get(name), abs=1e-3)
