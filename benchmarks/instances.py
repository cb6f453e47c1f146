"""Speed of the pre-training loader alone: instances drawn, gathered and masked, tokens a second on one core.

    OMP_NUM_THREADS=1 python benchmarks/instances.py DATA

DATA is a prepared folder. Each kind of sequence draws an epoch and makes `--steps` batches. Every token that leaves the
loader counts, [CLS] and [SEP] too; seconds are the process's CPU seconds. Results go to
benchmarks/results as JSON and a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import describe_machine, write_results

from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.drawn import DrawnInstances
from bertkit.data.instances.loader import PretrainingLoader
from bertkit.data.instances.options import InstanceOptions, MaskingOptions

MICRO_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Kind:
    """Sequences of one form."""

    name: str
    instances: InstanceOptions
    masking: MaskingOptions = field(default_factory=MaskingOptions)
    batch_size: int = 256


KINDS = (
    Kind("pairs, 128", InstanceOptions(seq_length=128)),
    Kind("pairs, 512", InstanceOptions(seq_length=512), batch_size=64),
    Kind("pairs, 128, whole words", InstanceOptions(seq_length=128), MaskingOptions(whole_word=True)),
    Kind("no pairs, 128, 30 % masked", InstanceOptions(next_sentence=False), MaskingOptions(select_rate=0.3)),
)


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    corpus = PreparedCorpus.open(arguments.data, verify=False)
    rows = [_measure(corpus, kind, arguments.steps) for kind in KINDS]
    command = f"OMP_NUM_THREADS=1 python benchmarks/instances.py {arguments.data.name} --steps {arguments.steps}"
    about = f"{corpus.num_tokens:,} tokens in {len(corpus.manifest.shards)} shards"
    result = {"machine": describe_machine("numpy"), "command": command, "corpus": about, "rows": rows}
    head = "| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|\n"
    table = "".join(f"| {' | '.join(str(value) for value in row.values())} |\n" for row in rows)
    write_results("instances", f"`{command}` ({about}) on {result['machine']}\n\n{head}{table}".rstrip("\n"), result)


def _measure(corpus: PreparedCorpus, kind: Kind, steps: int) -> dict[str, Any]:
    source = DrawnInstances(corpus, kind.instances, kind.masking, seed=1)
    start = time.process_time()
    loader = PretrainingLoader(source, batch_size=kind.batch_size, micro_batch_tokens=MICRO_BATCH_TOKENS, seed=1)
    loader.batch(0)
    drawn = time.process_time()
    tokens = predictions = 0
    for step in range(1, steps + 1):
        for batch in loader.batch(step):
            tokens += batch.inputs.num_tokens
            predictions += len(batch.masked_positions)
    seconds = time.process_time() - drawn
    epoch_tokens = tokens * loader.steps_per_epoch / steps
    return {
        "sequences": kind.name,
        "an epoch's draw, s": round(drawn - start, 2),
        "batches, M tokens/s": round(tokens / seconds / 1e6, 2),
        "with the draw, M tokens/s": round(epoch_tokens / (epoch_tokens * seconds / tokens + drawn - start) / 1e6, 2),
        "masked": f"{predictions / tokens:.1%}",
    }


if __name__ == "__main__":
    main()
