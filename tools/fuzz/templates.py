"""The commands that are fuzzed: their arguments, what they read and what they write."""

from __future__ import annotations

from dataclasses import dataclass

from workshop import PRETRAINING


@dataclass(frozen=True)
class Template:
    """A command that works on the workshop's files."""

    arguments: tuple[str, ...]
    reads: tuple[str, ...]
    """Files and folders of the workshop, by name."""
    writes: tuple[str, ...] = ()
    """What may be there afterwards and was not before."""
    weight: int = 10
    """How often it is drawn; slow commands less often."""
    changes: tuple[str, ...] = ()
    """What it reads and may change: a run folder that is resumed."""

    @property
    def command(self) -> str:
        """Its name."""
        return self.arguments[0]


def _template(line: str, reads: str, writes: str = "", *, weight: int = 10, changes: str = "") -> Template:
    return Template(tuple(line.split()), tuple(reads.split()), tuple(writes.split()), weight, tuple(changes.split()))


_FEATURES = "--output out.npy"
_SIDE = "out.npy out.npy.ids.jsonl out.ids.jsonl out.offsets.npy out.bounds.npy"
_TRAIN = "--epochs 1 --batch-size 4 --out out"
TEMPLATES = (
    _template(
        "predict classes --input train.csv --text text --id id --output out.jsonl", "classes train.csv", "out.jsonl"
    ),
    _template("predict classes --input lines.txt --json", "classes lines.txt"),
    _template("predict classes --input train.parquet --output out.csv", "classes train.parquet", "out.csv"),
    _template("predict labels --input train.jsonl --text text --output out.tsv", "labels train.jsonl", "out.tsv"),
    _template("predict scorer --input train.tsv --output out.csv", "scorer train.tsv", "out.csv"),
    _template("predict tagger --input tags.conll --output out.jsonl", "tagger tags.conll", "out.jsonl"),
    _template("predict answers --input squad.json --output out.jsonl", "answers squad.json", "out.jsonl"),
    _template("predict chooser --input choices.jsonl --output out.jsonl", "chooser choices.jsonl", "out.jsonl"),
    _template("predict classes --input lines.txt --config options.yaml", "classes lines.txt options.yaml"),
    _template("fill-mask model --input masked.txt --json", "model masked.txt"),
    _template(f"embed model --input lines.txt {_FEATURES}", "model lines.txt", "out.npy"),
    _template("embed model --input train.csv --text text --output out.parquet", "model train.csv", "out.parquet"),
    _template(f"features model --input lines.txt --pooling tokens {_FEATURES}", "model lines.txt", _SIDE),
    _template(
        "features model --input train.csv --text text --id id --output out.parquet", "model train.csv", "out.parquet"
    ),
    _template("evaluate classes --data train.csv --json", "classes train.csv"),
    _template("evaluate tagger --data tags.conll --json", "tagger tags.conll"),
    _template("evaluate answers --data squad.json", "answers squad.json"),
    _template("evaluate classes --data train.jsonl --report out.html", "classes train.jsonl", "out.html", weight=3),
    _template("vocab corpus.txt --size 150 --out out", "corpus.txt", "out", weight=6),
    _template("prepare corpus.txt --tokenizer tokenizer --workers 1 --out out", "corpus.txt tokenizer", "out"),
    _template(
        "prepare train.jsonl --tokenizer tokenizer --workers 1 --out out", "train.jsonl tokenizer", "out", weight=6
    ),
    _template(
        "prepare corpus.txt --tokenizer tokenizer --workers 1 --static --seq-length 16 --out out",
        "corpus.txt tokenizer",
        "out",
        weight=6,
    ),
    _template("doctor data --json", "data"),
    _template("doctor data --html out.html", "data", "out.html", weight=3),
    _template("doctor --model classes", "classes"),
    _template("convert classes out", "classes", "out"),
    _template("convert tf out", "tf", "out"),
    _template("convert model out --to tensorflow", "model", "out"),
    _template(
        "pretrain data --initial-model model --dry-run --steps 2 --batch-size 4 --seq-length 16", "data model", weight=3
    ),
    _template(f"pretrain data --initial-model model {' '.join(PRETRAINING)} --out out", "data model", "out", weight=2),
    _template(
        f"pretrain data --initial-model model {' '.join(PRETRAINING)} --out run",
        "data model run",
        "",
        weight=3,
        changes="run",
    ),
    _template(f"finetune model --train train.csv {_TRAIN}", "model train.csv", "out", weight=2),
    _template(f"finetune model --kind tagging --train tags.conll {_TRAIN}", "model tags.conll", "out", weight=1),
    _template(
        "finetune model --train train.csv --config training.yaml --out out",
        "model train.csv training.yaml",
        "out",
        weight=2,
    ),
    _template(
        "finetune model --train train.csv --epochs 1 --batch-size 4 --out tuned",
        "model train.csv tuned",
        "",
        weight=3,
        changes="tuned",
    ),
    _template("quantize model --out out", "model", "out", weight=3),
    _template(
        "quantize classes --check train.csv --text text --label label --json --out out",
        "classes train.csv",
        "out",
        weight=3,
    ),
    _template("export classes --out out", "classes", "out", weight=3),
    _template("export model --head embeddings --precision int8 --out out", "model", "out", weight=3),
    _template(
        "predict classes --input lines.txt --backend native --output out.csv", "classes lines.txt", "out.csv", weight=6
    ),
    _template(
        "embed model --input lines.txt --backend native --output out.npy", "model lines.txt", "out.npy", weight=6
    ),
    _template("glue-submission tuned --data data --out out.zip", "tuned data", "out.zip", weight=2),
)
