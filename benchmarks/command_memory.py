"""Peak memory of every command that reads texts: with few and many of them, with short and long ones.

    python benchmarks/command_memory.py [--texts 40000] [--megabytes 16]

Models are tiny, so that what is measured is texts. Each figure is the largest resident set of a process of its own. A
command that reads a text whole (questions, tags, vocabularies, preparation) gets a long text of a quarter of the size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "fuzz"))

from machine import describe_machine, write_results
from run import make_workshop
from workshop import WORDS

FEW = 500


@dataclass(frozen=True)
class Row:
    """A command; {input} is a file of texts, {out} what it writes."""

    name: str
    arguments: str
    suffix: str = ".txt"
    reads_whole: bool = False
    """Whether it reads all of a long text, and not only as many tokens as a model takes."""


ROWS = (
    Row("predict, classes", "predict classes --input {input} --output {out}.jsonl"),
    Row("predict, classes, CSV", "predict classes --input {input} --text text --output {out}.csv", ".csv"),
    Row("predict, classes, JSONL", "predict classes --input {input} --text text --output {out}.jsonl", ".jsonl"),
    Row("predict, classes, Parquet", "predict classes --input {input} --text text --output {out}.jsonl", ".parquet"),
    Row("predict, several labels", "predict labels --input {input} --output {out}.jsonl"),
    Row("predict, tags", "predict tagger --input {input} --output {out}.jsonl", reads_whole=True),
    Row("predict, answers", "predict answers --input {input} --output {out}.jsonl", ".pairs", reads_whole=True),
    Row("fill-mask", "fill-mask model --input {input} --json", ".masked"),
    Row("embed, .npy", "embed model --input {input} --output {out}.npy"),
    Row("embed, .parquet", "embed model --input {input} --output {out}.parquet"),
    Row("features of tokens", "features model --input {input} --pooling tokens --output {out}.npy"),
    Row("evaluate", "evaluate classes --data {input} --text text --label label --json", ".csv"),
    Row("finetune", "finetune model --train {input} --epochs 1 --batch-size 256 --max-length 16 --out {out}", ".csv"),
    Row("vocab", "vocab {input} --size 200 --min-frequency 1 --out {out}", reads_whole=True),
    Row("prepare", "prepare {input} --tokenizer tokenizer --workers 1 --out {out}", reads_whole=True),
)


def write_texts(path: Path, count: int, size: int) -> None:
    """Texts of `size` characters in the format of the file."""
    sentence = " ".join(WORDS) + " "
    texts = [
        (sentence[number % 40 :] + sentence * (size // len(sentence) + 1))[:size].strip() for number in range(count)
    ]
    if path.suffix in (".txt", ".masked"):
        start = "[MASK] " if path.suffix == ".masked" else ""
        path.write_text("".join(f"{start}{text}\n" for text in texts))
    elif path.suffix == ".pairs":
        path.write_text("".join(f"who sat\t{text}\n" for text in texts))
    elif path.suffix == ".csv":
        path.write_text("text,label\n" + "".join(f"{text},{number % 2}\n" for number, text in enumerate(texts)))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    else:
        # In a process of its own: a child's peak counts from its parent's size on.
        script = "import json, sys, pyarrow as pa, pyarrow.parquet as pq\n"
        script += "pq.write_table(pa.table({'text': json.load(sys.stdin)}), sys.argv[1])"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True, input=json.dumps(texts), text=True)


def peak(arguments: list[str], folder: Path) -> tuple[float, float]:
    """MB of the largest resident set, and seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "bertkit", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=folder, **quiet)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed: {said.decode(errors='replace')}")
    return used.ru_maxrss / 1024, time.perf_counter() - start


def main() -> None:
    """Measure all and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=40_000)
    parser.add_argument("--megabytes", type=int, default=16, help="of the long text")
    parser.add_argument("--only", help="rows whose names hold this")
    given = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_workshop(folder)
        for row in ROWS:
            if given.only is not None and given.only not in row.name:
                continue
            long = (given.megabytes << 20) // (4 if row.reads_whole else 1)
            found = []
            for kind, count, size in (("few", FEW, 100), ("many", given.texts, 100), ("long", 20, long)):
                count = count if kind != "long" else 1 + 19 * (row.name in ("finetune", "evaluate"))  # noqa: PLW2901
                path = folder / f"{kind}{row.suffix}"
                suffix = path if row.suffix not in (".masked", ".pairs") else path.with_name(f"{path.name}.txt")
                write_texts(path, count, size // (count if kind == "long" else 1))
                if suffix != path:
                    path.rename(suffix)
                arguments = row.arguments.format(input=suffix.name, out=f"out-{kind}-{ROWS.index(row)}").split()
                if row.suffix == ".pairs":
                    arguments.append("--pair")
                found.append(peak(arguments, folder))
                suffix.unlink()
            (few, _), (many, many_seconds), (long_one, long_seconds) = found
            a_text = (many - few) * 1024 / (given.texts - FEW)
            a_megabyte = (long_one - few) / (long / (1 << 20))
            figures.append(
                {
                    "command": row.name,
                    "few_mb": few,
                    "many_mb": many,
                    "long_mb": long_one,
                    "kb_a_text": a_text,
                    "mb_a_megabyte": a_megabyte,
                    "long_megabytes": long / (1 << 20),
                    "seconds": [many_seconds, long_seconds],
                }
            )
            print(figures[-1], file=sys.stderr)
    lines = [
        f"Peak memory in MB: {FEW:,} texts of 100 characters, {given.texts:,} of them, one long text "
        f"({given.megabytes} MB, or a quarter of it where a text is read whole; 20 texts of a twentieth for evaluate "
        "and finetune), and what a further text and a further MB of one text cost.",
        "",
        f"| command | {FEW:,} texts | {given.texts:,} texts | a long text | KB a text | MB a MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {one['command']} | {one['few_mb']:.0f} | {one['many_mb']:.0f} | {one['long_mb']:.0f} | "
            f"{one['kb_a_text']:.1f} | {one['mb_a_megabyte']:.1f} |"
            for one in figures
        ),
        "",
        f"{describe_machine('torch', 'tokenizers', 'pyarrow')}; `python benchmarks/command_memory.py`",
    ]
    write_results("command_memory", "\n".join(lines), figures)


if __name__ == "__main__":
    main()
