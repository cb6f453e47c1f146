"""What int8 loses on real tasks: models fine-tuned from MiniLM, and MiniLM's own vectors.

    python benchmarks/quantization.py MODELS DATA --minilm FOLDER [--questions 1000] [--sentences 1100]

MODELS holds the run folders sst2, mrpc, stsb, conll2003 and squad that `bertkit finetune` wrote; one that is missing is
left out and said so. DATA is the folder of the data sets: glue, conll2003, squad and pretrain. Each model is quantized
as `bertkit quantize --check` does it, on the task's dev set (of SQuAD the first paragraphs with that many questions).
No int8 model stays behind. The table goes to benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import lzma
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe_machine, spelled_command, write_results

from bertkit import api
from bertkit.core.errors import InputError
from bertkit.inference.backends.torch_int8 import find_weight_range
from bertkit.recipes.options import QuantizeOptions
from bertkit.recipes.quantize import QuantizeResult

_EVERY = 6
"""Of the held-out articles' sentences one in so many is taken, so that many articles are in."""
_MOST = 100.0
"""Points that may be lost where the loss of all layers in int8 is asked for, and not a model."""
Row = tuple[str, Path, Path, dict[str, Any], QuantizeOptions]


def main() -> None:
    """Run, print and write the table."""
    arguments = _parse()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = _tasks(arguments, folder) + _vectors(arguments, folder)
        found = [(row, _quantize(row, folder / f"int8-{number}")) for number, row in enumerate(rows)]
    head = ["", "examples", "metric", "float32", "int8", "points lost", "kept in float32", "same predictions"]
    head += ["cosine mean", "cosine least", "rank agreement", "same ten nearest"]
    lines = [head, ["---"] * len(head), *(_cells(row, result) for row, result in found)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    machine = describe_machine("torch", "numpy")
    command = spelled_command(
        __file__, {str(arguments.models): "MODELS", str(arguments.data): "DATA", str(arguments.minilm): "MINILM"}
    )
    text = (
        f"`{command}`\n\n{machine}. Widest weights whose products torch adds exactly here: ±{find_weight_range()}. "
        f"{time.monotonic() - start:,.0f} s in all.\n\n{table}\n\n"
        "The metric is the task's first; what is kept are linear layers of 24, chosen so that at most half a point is "
        "lost. A result of None means that the model was not written."
    )
    figures = [{"name": row[0], "result": None if one is None else _plain(one)} for row, one in found]
    write_results("quantization", text, {"command": command, "machine": machine, "table": figures})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--sentences", type=int, default=1100)
    return parser.parse_args()


def _tasks(arguments: argparse.Namespace, temporary: Path) -> list[Row]:
    data = arguments.data
    dev = {"split": "dev"}
    checks: list[tuple[str, str, Path, dict[str, Any]]] = [
        ("SST-2", "sst2", data / "glue" / "SST-2", dev),
        ("MRPC", "mrpc", data / "glue" / "MRPC", dev),
        ("STS-B", "stsb", data / "glue" / "STS-B", dev),
        ("CoNLL-2003", "conll2003", data / "conll2003" / "eng.testa", {}),
        ("SQuAD 1.1", "squad", _questions(data, arguments.questions, temporary), {}),
    ]
    rows = []
    for name, run, check, given in checks:
        model = arguments.models / run / "model"
        if model.is_dir():
            rows.append((name, model, check, given, QuantizeOptions()))
        else:
            print(f"{name}: {model} is missing, left out")
    return rows


def _questions(data: Path, count: int, temporary: Path) -> Path:
    with lzma.open(data / "squad" / "dev-v1.1.json.xz", "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    taken: list[dict[str, Any]] = []
    for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
        if sum(len(one["qas"]) for one in taken) < count:
            taken.append(paragraph)
    path = temporary / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "dev", "paragraphs": taken}]}), encoding="utf-8")
    return path


def _vectors(arguments: argparse.Namespace, temporary: Path) -> list[Row]:
    with lzma.open(arguments.data / "pretrain" / "wikipedia_valid.txt.xz", "rt", encoding="utf-8") as file:
        sentences = [line.strip() for line in file if line.strip()][::_EVERY][: arguments.sentences]
    path = temporary / "sentences.txt"
    path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    wide, narrow = QuantizeOptions(), QuantizeOptions(weight_range=63, max_loss=_MOST)
    return [
        ("MiniLM's vectors", arguments.minilm, path, {}, wide),
        ("the same, weights of ±63", arguments.minilm, path, {}, narrow),
    ]


def _quantize(row: Row, out: Path) -> QuantizeResult | None:
    name, model, check, given, options = row
    try:
        return api.quantize(model, out, check=check, options=options, **given)
    except InputError as error:
        print(f"{name}: {error}")
        return None


def _cells(row: Row, result: QuantizeResult | None) -> list[str]:
    if result is None:
        return [row[0], *(["None"] * 11)]
    quality = result.quality
    metric = next(iter(quality.metrics_before or {}), "")
    metrics = [
        f"{(side or {})[metric]:.4f}" if metric else "" for side in (quality.metrics_before, quality.metrics_after)
    ]
    figures = (quality.agreement, quality.mean_cosine, quality.least_cosine, quality.rank_agreement)
    shown = ["" if value is None else f"{value:.4f}" for value in (*figures, quality.same_neighbours)]
    kept = ", ".join(result.kept) or "none"
    return [row[0], f"{result.examples:,}", metric, *metrics, f"{quality.points_lost:.2f}", kept, *shown]


def _plain(result: QuantizeResult) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(result.as_dict()))
    return {name: value for name, value in stored.items() if name not in ("model", "out", "data")}


if __name__ == "__main__":
    main()
