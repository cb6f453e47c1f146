"""Ids and offsets of every line of text against Transformers' BertTokenizer and google-research/bert's tokenizer.

    python benchmarks/tokenisation_parity.py lines ../shared/data --google-bert CHECKOUT [--cased]
    python benchmarks/tokenisation_parity.py characters

`lines` reads every text file of the folders (JSON: every string of it). Following huggingface must give the ids and
offsets of Transformers, following google the ids of google-research/bert (`git clone
https://github.com/google-research/bert CHECKOUT`), and the encoder that corpora are prepared with the ids of both.
Google's tokenizer, which is slow, is asked once for every distinct stretch between two ASCII spaces: it splits lines
there before it does anything else. The vocabulary is trained on a part of the lines. One process, one thread.

`characters` counts, by Unicode category, those that the two references clean or split differently.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import lzma
import os
import sys
import tempfile
import types
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from machine import describe_machine, write_results

from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer
from bertkit.text.wordpiece import Reference, WordPieceRules

_LINES_AT_A_TIME = 2_000
_LINES_TO_LEARN = 200_000


def main() -> None:
    """Compare, and write the counts."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("characters")
    lines = commands.add_parser("lines")
    lines.add_argument("folders", nargs="+", type=Path)
    lines.add_argument("--google-bert", required=True, help="checkout of google-research/bert")
    lines.add_argument("--cased", action="store_true")
    lines.add_argument("--entries", type=int, default=16_000, help="of the vocabulary")
    arguments = parser.parse_args()
    if arguments.what == "characters":
        _write("characters", _characters())
        return
    files = sorted(file for folder in arguments.folders for file in folder.rglob("*") if _is_text(file))
    with tempfile.TemporaryDirectory() as folder:
        comparison = _Comparison(files, arguments.google_bert, Path(folder), not arguments.cased, arguments.entries)
        rows = [comparison.row(file, str(file.relative_to(arguments.folders[0].parent))) for file in files]
    total = {"file": f"all {len(rows)} files"} | {name: sum(row[name] for row in rows) for name in list(rows[0])[1:]}
    _write("cased" if arguments.cased else "uncased", [*rows, total], arguments.google_bert)


def _write(kind: str, rows: list[dict[str, Any]], checkout: str | None = None) -> None:
    machine = describe_machine("tokenizers", "transformers")
    command = " ".join(["python", *("CHECKOUT" if argument == checkout else argument for argument in sys.argv)])
    table = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    text = "\n".join([f"`{command}` on {machine}", "", *(f"| {' | '.join(line)} |" for line in table)])
    write_results(f"tokenisation_parity_{kind}", text, {"machine": machine, "command": command, "rows": rows})


def _characters() -> list[dict[str, Any]]:
    """Characters of each category that the cleaning treats differently; uncased and cased."""
    counts: dict[str, list[int]] = {}
    for place, lowercase in enumerate((True, False)):
        rules = [WordPieceRules(lowercase=lowercase, follow=follow) for follow in get_args(Reference)]
        parts = [(rule.normalizer(), rule.splitter()) for rule in rules]
        for code in range(sys.maxunicode + 1):
            category = unicodedata.category(chr(code))
            if category in ("Cs", "Cn"):
                continue
            text = f"a{chr(code)}b {chr(code)}"
            words = [splitter.pre_tokenize_str(normalizer.normalize_str(text)) for normalizer, splitter in parts]
            if [word for word, _ in words[0]] != [word for word, _ in words[1]]:
                counts.setdefault(category, [0, 0])[place] += 1
    version = unicodedata.unidata_version
    return [
        {f"category (Unicode {version})": category, "uncased": uncased, "cased": cased}
        for category, (uncased, cased) in sorted(counts.items())
    ]


def _is_text(file: Path) -> bool:
    return (
        file.is_file() and {".txt", ".tsv", ".csv", ".json", ".train", ".testa", ".testb"} & set(file.suffixes) != set()
    )


def _lines(file: Path) -> Iterator[str]:
    with (lzma.open if file.suffix == ".xz" else open)(file, "rt", encoding="utf-8") as stream:
        if ".json" in file.suffixes:
            yield from _strings(json.load(stream))
        else:
            yield from (line.rstrip("\n") for line in stream)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


class _Comparison:
    """The tokenizers of one vocabulary."""

    def __init__(self, files: list[Path], google_bert: str, folder: Path, lowercase: bool, entries: int) -> None:
        from transformers import BertTokenizer

        every = itertools.chain.from_iterable(map(_lines, files))
        sample = itertools.islice(every, 0, None, 11)
        self._google = Tokenizer.train(itertools.islice(sample, _LINES_TO_LEARN), entries, lowercase, follow="google")
        self._google.save_pretrained(folder)
        self._huggingface = Tokenizer.from_pretrained(folder / "vocab.txt", lowercase, "huggingface")
        self._transformers = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=lowercase)
        self._encoders = [ChunkEncoder(self._huggingface), ChunkEncoder(self._google)]
        original = _original(google_bert).FullTokenizer(str(folder / "vocab.txt"), do_lower_case=lowercase)
        self._original = cache(lambda chunk: original.convert_tokens_to_ids(original.tokenize(chunk)))

    def row(self, file: Path, name: str) -> dict[str, Any]:
        """Lines of one file, and those that differ."""
        lines = _lines(file)
        row = dict.fromkeys(["lines", "tokens", "not as Transformers", "not as Google", "where the two differ"], 0)
        while some := list(itertools.islice(lines, _LINES_AT_A_TIME)):
            theirs = self._transformers(some, add_special_tokens=False, return_offsets_mapping=True)
            ours = self._huggingface.encode_batch(some, split_special_tokens=True)
            by_huggingface, by_google = (_split(*encoder.encode_lines(some)) for encoder in self._encoders)
            for i, line in enumerate(some):
                ids, offsets = ours[i].input_ids[1:-1].tolist(), ours[i].offsets[1:-1]
                of_google = list(itertools.chain.from_iterable(map(self._original, line.split(" "))))
                same_offsets = list(map(tuple, offsets.tolist())) == theirs["offset_mapping"][i]
                same_ids = ids == theirs["input_ids"][i] == by_huggingface[i]
                row["not as Transformers"] += not (same_ids and same_offsets)
                row["not as Google"] += by_google[i] != of_google
                row["where the two differ"] += ids != of_google
                row["tokens"] += len(ids)
            row["lines"] += len(some)
        print(name, row, file=sys.stderr, flush=True)
        return {"file": name} | row


def _split(ids: Any, lengths: Any) -> list[list[int]]:
    stops = lengths.cumsum().tolist()
    values = ids.tolist()
    return [values[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _original(checkout: str) -> Any:
    def open_file(path: str, mode: str) -> Any:
        return Path(path).open(mode, encoding="utf-8", newline="\n")

    stub = types.ModuleType("tensorflow")
    stub.__dict__["gfile"] = types.SimpleNamespace(GFile=open_file)
    sys.modules["tensorflow"] = stub
    sys.modules["six"] = types.SimpleNamespace(PY2=False, PY3=True)  # type: ignore[assignment]
    sys.path.insert(0, checkout)
    return importlib.import_module("tokenization")


if __name__ == "__main__":
    main()
