"""Compare sentence splitters on text whose sentences are known: speed, and F1 of the boundaries.

The lines of each document are joined by spaces and split again. A boundary is found if it falls between the same two
visible characters. Libraries that are not installed are left out:
`pip install nupunkt sentencex pysbd syntok blingfire`.
"""

from __future__ import annotations

import argparse
import importlib
import lzma
import platform
import random
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

Splitter = Callable[[str], list[str]]


def _nupunkt() -> Splitter:
    library = importlib.import_module("nupunkt")
    library.sent_tokenize("The model is loaded at the first call.")
    return lambda text: list(library.sent_tokenize(text))


def _sentencex() -> Splitter:
    library = importlib.import_module("sentencex")
    return lambda text: list(library.segment("en", text))


def _pysbd() -> Splitter:
    segmenter = importlib.import_module("pysbd").Segmenter(language="en", clean=False)
    return lambda text: list(segmenter.segment(text))


def _syntok() -> Splitter:
    segmenter: Any = importlib.import_module("syntok.segmenter")

    def split(text: str) -> list[str]:
        return [
            "".join(token.spacing + token.value for token in sentence)
            for paragraph in segmenter.process(text)
            for sentence in paragraph
        ]

    return split


def _blingfire() -> Splitter:
    library = importlib.import_module("blingfire")
    return lambda text: library.text_to_sentences(text).split("\n")


SPLITTERS: dict[str, Callable[[], Splitter]] = {
    "nupunkt": _nupunkt,
    "sentencex": _sentencex,
    "pysbd": _pysbd,
    "syntok": _syntok,
    "blingfire": _blingfire,
}


def boundaries(sentences: list[str]) -> set[int]:
    """How many visible characters lie before each inner boundary."""
    return set(list(accumulate(len("".join(s.split())) for s in sentences))[:-1])


def read_documents(path: Path) -> Iterator[list[str]]:
    """Documents of a text file: lists of lines, a blank line between documents."""
    content = path.read_bytes()
    text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode("utf-8")
    for document in text.split("\n\n"):
        if lines := [line.strip() for line in document.split("\n") if line.strip()]:
            yield lines


def measure(split: Splitter, documents: list[list[str]]) -> tuple[float, float, float, float]:
    """Speed in MB/s, precision, recall and F1 of the boundaries."""
    texts = [" ".join(document) for document in documents]
    start = time.perf_counter()
    results = [split(text) for text in texts]
    seconds = time.perf_counter() - start
    found = wanted = right = 0
    for document, sentences in zip(documents, results, strict=True):
        true, ours = boundaries(document), boundaries(sentences)
        found, wanted, right = found + len(ours), wanted + len(true), right + len(true & ours)
    precision, recall = right / max(found, 1), right / max(wanted, 1)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    return megabytes / seconds, precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def main() -> None:
    """Print a markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="text files, one sentence a line, a blank line a document")
    parser.add_argument("--documents", type=int, default=100, help="documents sampled from each file")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {arguments.documents} documents a file\n")
    print("| text | library | MB/s | precision | recall | F1 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in arguments.files:
        documents = list(read_documents(path))
        documents = random.Random(arguments.seed).sample(documents, min(arguments.documents, len(documents)))
        for name, make in SPLITTERS.items():
            try:
                split = make()
            except ImportError:
                continue
            speed, *quality = measure(split, documents)
            cells = " | ".join(f"{share:.3f}" for share in quality)
            print(f"| {path.name.removesuffix('.xz')} | {name} {version(name)} | {speed:.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
