"""Preparation and training killed with SIGKILL at random moments end with the bits of runs that were left alone.

In one process, and in two, of which one or both are killed.

`make torture` runs it; TORTURE_SEED changes the moments.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.torture

KILLS = 20
COMMAND = [sys.executable, "-c", "from bertkit.cli.main import main; main()"]
WORDS = ["wind", "river", "stone", "light", "over", "under", "runs", "falls", "keeps", "green", "old", "quiet"]


def _write_corpus(path: Path, documents: int) -> None:
    rng = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(documents):
            for _ in range(rng.randint(3, 30)):
                words = (
                    rng.choice(WORDS) + str(rng.randint(0, 50)) * rng.randint(0, 1) for _ in range(rng.randint(4, 30))
                )
                file.write(" ".join(words) + ".\n")
            file.write("\n")


def _run(arguments: Sequence[str | Path]) -> float:
    start = time.monotonic()
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)
    return time.monotonic() - start


def _run_killed(arguments: Sequence[str | Path], whole_seconds: float, rng: random.Random) -> int:
    """Start again and again, kill at a random moment up to `KILLS` times, let the last one finish; count the kills."""
    kills = 0
    while True:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if kills == KILLS:
            errors = process.communicate()[1]
            assert process.returncode == 0, errors.decode()
            return kills
        try:
            errors = process.communicate(timeout=rng.uniform(0.1, 1.0) * whole_seconds)[1]
            assert process.returncode == 0, errors.decode()
            return kills
        except subprocess.TimeoutExpired:
            if rng.random() < 0.5:
                os.kill(process.pid, signal.SIGKILL)  # its workers are left behind
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def rng() -> random.Random:
    seed = int(os.environ.get("TORTURE_SEED", str(random.SystemRandom().randrange(1 << 32))))
    print(f"TORTURE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    _write_corpus(folder / "corpus.txt", 300)
    _run(["vocab", folder / "corpus.txt", "--size", "300", "--out", folder / "tokenizer"])
    return folder / "tokenizer"


@pytest.mark.parametrize("options", [[], ["--drop-duplicates", "both"]], ids=["all", "dropping"])
def test_killed_preparation_gives_the_same_bytes(
    tmp_path: Path, tokenizer: Path, rng: random.Random, options: list[str]
):
    corpus = tmp_path / "corpus.txt"
    _write_corpus(corpus, 20_000)
    prepare = ["prepare", corpus, "--tokenizer", tokenizer, "--workers", "2", *options, "--out"]
    seconds = _run([*prepare, tmp_path / "whole"])
    kills = 0
    while kills < KILLS:
        kills += _run_killed([*prepare, tmp_path / "killed"], seconds, rng)
        assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")
        shutil.rmtree(tmp_path / "killed")


def _workers(launcher: int) -> list[int]:
    """The processes that torchrun has started."""
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
    return []


def _launch_killed(command: Sequence[str | Path], whole_seconds: float, rng: random.Random) -> int:
    """Kill one process of a job, which torchrun then starts again, or all of it, which is started again here."""
    kills = 0
    job = None
    while True:
        if job is None:
            job = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            errors = job.communicate(timeout=None if kills == KILLS else rng.uniform(0.1, 1.0) * whole_seconds)[1]
            assert job.returncode == 0, errors.decode()
            return kills
        except subprocess.TimeoutExpired:
            workers = _workers(job.pid)
            whole_job = rng.random() < 0.3 or not workers
            for victim in [job.pid, *workers] if whole_job else [rng.choice(workers)]:
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            if whole_job:
                job.communicate()
                job = None
            kills += 1


def test_killed_training_gives_the_same_weights(tmp_path: Path, tokenizer: Path, rng: random.Random):
    corpus, data = tmp_path / "corpus.txt", tmp_path / "data"
    _write_corpus(corpus, 300)
    _run(["prepare", corpus, "--tokenizer", tokenizer, "--out", data])
    pretrain = ["pretrain", data, "--preset", "tiny", "--steps", "60", "--batch-size", "16", "--seq-length", "64"]
    pretrain += ["--checkpoint-every", "4", "--evaluate-every", "20", "--log-every", "2", "--out"]
    seconds = _run([*pretrain, tmp_path / "whole"])
    kills = 0
    while kills < KILLS:
        kills += _run_killed([*pretrain, tmp_path / "killed"], seconds, rng)
        assert _bytes(tmp_path / "killed" / "model") == _bytes(tmp_path / "whole" / "model")
        shutil.rmtree(tmp_path / "killed")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_killed_processes_of_a_job_give_the_same_weights(
    tmp_path: Path, tokenizer: Path, rng: random.Random, parallel: str
):
    corpus, data = tmp_path / "corpus.txt", tmp_path / "data"
    _write_corpus(corpus, 300)
    _run(["prepare", corpus, "--tokenizer", tokenizer, "--out", data])
    job = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    job += [f"--max-restarts={KILLS}", "-m", "bertkit", "pretrain", data, "--parallel", parallel, "--preset", "tiny"]
    job += ["--steps", "60", "--batch-size", "16", "--seq-length", "64", "--checkpoint-every", "4"]
    job += ["--evaluate-every", "20", "--log-every", "2", "--out"]
    start = time.monotonic()
    subprocess.run([*map(str, job), str(tmp_path / "whole")], check=True, capture_output=True)
    seconds = time.monotonic() - start
    kills = 0
    while kills < KILLS:
        kills += _launch_killed([*job, tmp_path / "killed"], seconds, rng)
        assert _bytes(tmp_path / "killed" / "model") == _bytes(tmp_path / "whole" / "model")
        shutil.rmtree(tmp_path / "killed")
