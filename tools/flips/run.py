"""Flip single bits in everything that bertkit writes and reads back, and count how many are noticed.

    python tools/flips/run.py --flips 1000

For each kind of file: flip one bit, read the file as the next command would, and see whether it is noticed (an error
or a warning), harmless (what is read is the same), or missed (something else is read without a word).
Prints a table; `--page` writes it into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

import bertkit
from bertkit.core.checksums import check_sums
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import BertkitError
from bertkit.core.records import read_record
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.recipes.estimate import PLAN_REMEDY, Plan
from bertkit.recipes.finetune_seed import seed_result
from bertkit.recipes.pretrain import MeasuredBaselines
from bertkit.training.checkpoint import Checkpoints
from bertkit.training.run_folder import RunFolder

START, END = "<!-- flips -->", "<!-- /flips -->"
WORDS = ["the", "quiet", "river", "runs", "over", "old", "green", "stones", "and", "a", "small", "boat", "waits"]


@dataclass(frozen=True)
class Artefact:
    """A file, and what reading it gives."""

    kind: str
    path: Path
    read: Callable[[], object]


def make(folder: Path) -> list[Artefact]:
    """One of each kind of file, tiny."""
    text, table = folder / "text.txt", folder / "films.csv"
    lines = [" ".join(WORDS[(line * 5 + place) % len(WORDS)] for place in range(8)) for line in range(160)]
    text.write_text("\n".join(f"{line}.\n" if number % 4 == 3 else f"{line}." for number, line in enumerate(lines)))
    table.write_text("text,label\n" + "".join(f"{line},{'ab'[number % 2]}\n" for number, line in enumerate(lines[:40])))
    tokenizer = bertkit.Tokenizer.train(lines, 60)
    bertkit.prepare([text], tokenizer, folder / "data")
    small = bertkit.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_position_embeddings=32
    )
    training = bertkit.TrainingOptions(steps=4, log_every=1, checkpoint_every=2, evaluate_every=4)
    instances = bertkit.InstanceOptions(seq_length=16)
    options = bertkit.PretrainOptions(model=small, training=training, instances=instances, batch_size=8)
    bertkit.pretrain(folder / "data", folder / "pretrained", options)
    fine = bertkit.FinetuneOptions(epochs=1, batch_size=8, max_length=16)
    bertkit.finetune(folder / "pretrained/model", bertkit.read_tables(table), folder / "tuned", fine)
    return list(_artefacts(folder))


def _artefacts(folder: Path) -> Iterator[Artefact]:
    model, run, seed = folder / "tuned/model", RunFolder(folder / "pretrained"), RunFolder(folder / "tuned/seed-0")

    def loaded() -> object:
        found = bertkit.load(model, backend="torch", verify="auto").predict(["the quiet river", "old green stones"])
        return [(each.label, tuple(np.round(list(each.probabilities.values()), 12))) for each in found]

    def described() -> object:
        check_sums(model, verify="always")  # as `bertkit doctor --model` does
        return loaded()

    def corpus() -> object:
        prepared = PreparedCorpus.open(folder / "data")
        return prepared.manifest, prepared.tokens(0, 50).tolist(), prepared.tokenizer.fingerprint

    shapes = _empty_tensors(sorted(run.checkpoints.iterdir())[-1])

    def checkpoint() -> object:
        tensors = {name: torch.zeros_like(tensor) for name, tensor in shapes.items()}
        found = Checkpoints(run.checkpoints, 2, ProcessGroup()).load(tensors)
        assert found is not None
        return found.step, {name: tensor.tolist() for name, tensor in tensors.items()}

    yield Artefact("weights", model / "model.safetensors", loaded)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        yield Artefact("tokenizer", model / name, loaded)
    yield Artefact("SHA256SUMS", model / "SHA256SUMS", loaded)
    for name in ("config.json", "task.json"):
        yield Artefact(f"{name}, loaded", model / name, loaded)
        yield Artefact(f"{name}, doctor --model", model / name, described)
    for path in sorted((folder / "data").glob("shard-*.npy")):
        yield Artefact("shards", path, corpus)
    yield Artefact("manifest.json", folder / "data/manifest.json", corpus)
    for path in sorted(sorted(run.checkpoints.iterdir())[-1].iterdir()):
        yield Artefact("checkpoints", path, checkpoint)
    yield Artefact("baselines.json", run.baselines, lambda: MeasuredBaselines.read(run.baselines))
    if run.plan.exists():
        yield Artefact("plan.json", run.plan, lambda: read_record(run.plan, Plan, PLAN_REMEDY))
    yield Artefact("result.json", seed.result, lambda: seed_result(seed))
    yield Artefact("metrics.jsonl", run.metrics, run.read_metrics)
    options = run.read_config()

    def claimed() -> object:
        with run.claim(options):  # refuses a run of other options
            return None

    yield Artefact("config.yaml", run.config, claimed)


def _empty_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Empty tensors of the names and shapes of a checkpoint."""
    tensors: dict[str, torch.Tensor] = {}
    for path in checkpoint.glob("*.safetensors"):
        with contextlib.suppress(Exception), safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no dictionary
                tensors[name] = torch.zeros_like(file.get_tensor(name))
    return tensors


def outcome(artefact: Artefact, whole: object, chance: random.Random) -> str:
    """Flip one bit, read, put it back."""
    content = artefact.path.read_bytes()
    spoilt = bytearray(content)
    spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    artefact.path.write_bytes(spoilt)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            found = artefact.read()
    except BertkitError:
        return "noticed"
    except Exception as error:
        print(f"{artefact.path}: {error!r}", file=sys.stderr)
        return "traceback"
    finally:
        artefact.path.write_bytes(content)
    if "damaged" in said.getvalue() or "is not " in said.getvalue():
        return "noticed"
    return "harmless" if repr(found) == repr(whole) else "missed"


def main() -> int:
    """Print the table; 1 where something ended with a traceback."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="write the table into docs/reliability.md")
    asked = parser.parse_args()
    chance, started = random.Random(asked.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="bertkit-flips-"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            artefacts = make(folder)
        kinds = list(dict.fromkeys(each.kind for each in artefacts))
        whole = {each.path: each.read() for each in artefacts}
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
        for number in range(asked.flips):
            kind = kinds[number % len(kinds)]
            chosen = chance.choice([each for each in artefacts if each.kind == kind])
            counts[kind][outcome(chosen, whole[chosen.path], chance)] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = _table(counts, time.monotonic() - started)
    print(table)
    if asked.page:
        page = Path(__file__).parents[2] / "docs/reliability.md"
        text = page.read_text(encoding="utf-8")
        before, _, rest = text.partition(START)
        page.write_text(f"{before}{START}\n\n{table}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return int(any(each["traceback"] for each in counts.values()))


def _table(counts: dict[str, Counter[str]], seconds: float) -> str:
    rows = ["| file | flips | noticed | harmless | missed | tracebacks |", "| --- | --- | --- | --- | --- | --- |"]
    total: Counter[str] = Counter()
    for count in counts.values():
        total += count
    for kind, count in [*counts.items(), ("all", total)]:
        rows.append(
            f"| {kind} | {count.total()} | {count['noticed']} | {count['harmless']} | {count['missed']} | "
            f"{count['traceback']} |"
        )
    return "\n".join(rows) + f"\n\n{total.total():,} flips in {seconds:.0f} s."


if __name__ == "__main__":
    sys.exit(main())
