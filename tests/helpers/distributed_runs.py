"""Tiny pre-training runs; started by torchrun, the runs that the arguments name, in many processes.

`torchrun ... distributed_runs.py FOLDER RUN...`, where a run is `ddp:NAME` or `fsdp:NAME`, `budget:NAME`, `mistakes` or
`optimizers`.
"""

import copy
import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from bertkit.core.distributed import ProcessGroup, joined
from bertkit.core.errors import BertkitError
from bertkit.core.machine import Launch
from bertkit.data.corpus.prepare import prepare
from bertkit.data.instances.options import InstanceOptions
from bertkit.model.config import BertConfig
from bertkit.recipes.options import PretrainOptions
from bertkit.recipes.pretrain import pretrain
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.optimizers import new_optimizer
from bertkit.training.options import OptimizerName, OptimizerOptions, TrainingOptions
from bertkit.training.parallel import shard

STEPS = 50
WORDS = ["wind", "river", "stone", "light", "over", "under", "runs", "falls", "keeps", "green", "old", "quiet"]

OPTIONS = PretrainOptions(
    model=BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    ),
    training=TrainingOptions(
        steps=STEPS,
        optimizer=OptimizerOptions(learning_rate=2e-3),
        precision="float32",
        log_every=1,
        evaluate_every=25,
        checkpoint_every=25,
    ),
    instances=InstanceOptions(seq_length=32, short_seq_prob=0.5),
    batch_size=13,  # no multiple of the processes
    micro_batch_tokens=64,  # several passes, not as many in each process
    held_out_share=0.2,
)

BUDGET_SECONDS = 4.0
BUDGET_OPTIONS = replace(
    OPTIONS, training=replace(OPTIONS.training, steps=None, budget_seconds=BUDGET_SECONDS, evaluate_every=10**6)
)


def prepare_corpus(folder: Path, name: str, documents: int) -> Path:
    """A prepared corpus of random words, `folder/name`."""
    rng = random.Random(documents)
    sentences = [
        [" ".join(rng.choices(WORDS, k=rng.randint(3, 12))) + "." for _ in range(rng.randint(2, 9))]
        for _ in range(documents)
    ]
    text = folder / f"{name}.txt"
    text.write_text("\n\n".join("\n".join(document) for document in sentences) + "\n")
    prepare([text], Tokenizer.train(WORDS * 9, vocab_size=70), folder / name)
    return folder / name


def mistakes(folder: Path, group: ProcessGroup) -> dict[str, str]:
    """What each kind of mistake ends with in this process; the second has folders of its own, as on another machine."""
    second = group.rank == 1

    def ends(run: Callable[[], object]) -> str:
        try:
            run()
        except BertkitError as error:
            return str(error)
        except SystemExit as error:
            return f"exit {error.code}"
        return "nothing"

    def start(machine: str = ".", out: str = "mistakes", **changes: object) -> Callable[[], object]:
        os.chdir(folder / machine if second else folder)
        return lambda: pretrain(Path("data"), folder / out, replace(OPTIONS, **changes), group=group)

    return {
        "other data": ends(start("other")),
        "no data": ends(start("empty")),
        "a shard is missing": ends(start("broken")),
        "other options": ends(start(batch_size=16 if second else 13)),
        "another cut": ends(start(micro_batch_tokens=32 if second else 64)),
        "another way of sharing": ends(start(parallel="fsdp" if second else "ddp")),
        "a batch too small": ends(start(batch_size=1)),
        "a run in use": ends(start(out="busy")),
    }


def optimizer_differences(group: ProcessGroup) -> dict[str, float]:
    """How far each optimiser moves sharded weights from where it moves the same weights whole."""
    found = {}
    for name in get_args(OptimizerName):
        options = OptimizerOptions(optimizer=name, weight_decay=0.1)
        torch.manual_seed(0)
        whole = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3)).double()
        sharded = copy.deepcopy(whole)
        shard(sharded, group)
        optimizers = [new_optimizer(each.named_parameters(), options) for each in (whole, sharded)]
        for _ in range(5):
            for one, shards in zip(whole.parameters(), sharded.parameters(), strict=True):
                assert isinstance(shards, DTensor)
                one.grad = torch.randn_like(one) * 10
                shards.grad = distribute_tensor(one.grad, shards.device_mesh, shards.placements)
            for optimizer in optimizers:
                optimizer.update(0.1, optimizer.gradient_norm())
        pairs = zip(whole.parameters(), sharded.parameters(), strict=True)
        found[name] = max(float((one - shards.full_tensor()).detach().abs().max()) for one, shards in pairs)
    return found


def main(folder: Path, runs: list[str]) -> None:
    with joined(Launch.read()) as group:
        for run in runs:
            if run == "mistakes":
                found = group.gather(mistakes(folder, group))
                (folder / "mistakes.json").write_text(json.dumps(found))
            elif run == "optimizers":
                (folder / f"optimizers-{group.size}.json").write_text(json.dumps(optimizer_differences(group)))
            else:
                kind, name = run.split(":")
                options = BUDGET_OPTIONS if kind == "budget" else replace(OPTIONS, parallel=kind)
                pretrain(folder / "data", folder / name, options, group=group)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
