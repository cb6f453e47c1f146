"""Speed of `ChunkEncoder` beside the `tokenizers` library on whole lines, one thread each, same ids.

`python benchmarks/chunk_encoding.py TOKENIZER TEXT.txt.xz...`
"""

from __future__ import annotations

import argparse
import lzma
import os
import time
from pathlib import Path

import numpy as np

from bertkit.text.bulk_encoder import ChunkEncoder
from bertkit.text.tokenizer import Tokenizer

BATCH_LINES = 4096


def main() -> None:
    """Print a markdown table; every file starts with nothing remembered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"  # read by the library at its first batch
    tokenizer = Tokenizer.from_pretrained(arguments.tokenizer)
    library = tokenizer.wordpiece.library_tokenizer([])
    print("| text | MB | tokens | ChunkEncoder MB/s | library MB/s |")
    print("| --- | --- | --- | --- | --- |")
    for path in arguments.files:
        content = path.read_bytes()
        text = lzma.decompress(content) if path.suffix == ".xz" else content
        lines = text.decode("utf-8").split("\n")
        batches = [lines[start : start + BATCH_LINES] for start in range(0, len(lines), BATCH_LINES)]
        seconds = [0.0, 0.0]
        tokens = 0
        encoder = ChunkEncoder(tokenizer)
        for batch in batches:
            start = time.perf_counter()
            ids, _ = encoder.encode_lines(batch)
            middle = time.perf_counter()
            encodings = library.encode_batch_fast(batch, add_special_tokens=False)
            expected = np.concatenate([np.array(encoding.ids, np.uint32) for encoding in encodings])
            seconds[0] += middle - start
            seconds[1] += time.perf_counter() - middle
            tokens += len(ids)
            if not np.array_equal(ids, expected):
                raise SystemExit(f"{path}: the ids differ")
        megabytes = len(text) / 1e6
        speeds = " | ".join(f"{megabytes / s:.1f}" for s in seconds)
        print(f"| {path.name.removesuffix('.xz')} | {megabytes:.1f} | {tokens:,} | {speeds} |", flush=True)


if __name__ == "__main__":
    main()
