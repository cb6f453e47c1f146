"""Print how the package is laid out: its files, what importing costs in modules, and how many files one call enters.

    python tools/structure.py --source src [--json]

Figures to compare before and after a change of the layout. They come from the files under SOURCE/bertkit, from an
import in a process of its own, and from tracing the command line and `bertkit.load` on a few hundred made-up lines, so
that every version of the package can be measured by the same command. A file is entered when one of its functions
runs; what runs at import does not count.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

CLOSURES = ("bertkit.training.loop", "bertkit.model.pretraining", "bertkit.cli.main")
"""Modules whose imports are counted."""
TRACES = ("pretraining", "finetuning", "prediction")
_LOOP = ("training/loop.py", "train")
"""File and function of the training loop, which every version of the package has."""
_SHORT = 60


@dataclass
class Tracer:
    """Files of the package whose functions ran, in all threads: in the whole of a call, and in its inner part."""

    package: Path
    entered: set[str] = field(default_factory=set)
    inner: set[str] = field(default_factory=set)
    """Of them, those that ran while `depth` was above 0, as it is inside the training loop."""
    depth: int = 0
    _importing: threading.local = field(default_factory=threading.local)

    def run(self, work: Callable[[], object]) -> None:
        """Do `work` and record."""
        threading.setprofile(self._see)
        sys.setprofile(self._see)
        try:
            work()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if not code.co_filename.startswith(str(self.package)):
            return
        name = Path(code.co_filename).relative_to(self.package).as_posix()
        step = 1 if event == "call" else -1
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a module or a class
            self._importing.depth = getattr(self._importing, "depth", 0) + step
        elif not getattr(self._importing, "depth", 0):
            if (name, code.co_name) == _LOOP:
                self.depth += step
            if event == "call":
                self.entered.add(name)
                if self.depth:
                    self.inner.add(name)


def describe_files(package: Path) -> dict[str, Any]:
    """How many files there are and how long they are."""
    lines = {
        path.relative_to(package).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in package.rglob("*.py")
    }
    largest = max(lines, key=lambda name: lines[name])
    return {
        "files": len(lines),
        "files without __init__.py": sum(not name.endswith("__init__.py") for name in lines),
        "lines": sum(lines.values()),
        "median lines": statistics.median(lines.values()),
        f"files under {_SHORT} lines, without __init__.py": sum(
            count < _SHORT for name, count in lines.items() if not name.endswith("__init__.py")
        ),
        "largest file": f"{largest}, {lines[largest]} lines",
    }


def count_imports(source: Path, module: str) -> int:
    """Modules of the package that importing `module` loads, itself and packages without code of their own left out."""
    script = (
        f"import sys, {module}; "
        "found = [m for n, m in sys.modules.items() if n.startswith('bertkit.') and not hasattr(m, '__path__')]; "
        "print(len(found) - 1)"
    )
    return int(subprocess.check_output([sys.executable, "-c", script], env=_environment(source)))


def trace(what: str, work: Path, tracer: Tracer) -> None:
    """Run one of `TRACES` in the folder `work`, the first before the others: they take its model."""
    import bertkit  # noqa: PLC0415
    from bertkit.cli.main import main as command_line  # noqa: PLC0415

    def call(command: str) -> None:
        try:
            command_line(command.split())
        except SystemExit as end:
            if end.code:
                raise

    os.chdir(work)
    if what == "pretraining":
        _write_texts(work)
        call("vocab text.txt --size 300 --out vocab")
        call("prepare text.txt --tokenizer vocab --out prepared")
        options = "--preset tiny --steps 3 --batch-size 4 --seq-length 32 --precision float32"
        tracer.run(lambda: call(f"pretrain prepared --out run {options}"))
    elif what == "finetuning":
        options = "--text text --label label --epochs 1 --batch-size 4 --precision float32"
        tracer.run(lambda: call(f"finetune run/model --train labelled.csv --out finetuned {options}"))
    else:
        tracer.run(lambda: _predict(bertkit.load("finetuned/model"), tracer))


def measure(source: Path) -> dict[str, Any]:
    """All figures of the package in `source`."""
    figures = describe_files(source / "bertkit")
    figures |= {f"modules that {module} imports": count_imports(source, module) for module in CLOSURES}
    with tempfile.TemporaryDirectory() as folder:
        for what in TRACES:
            command = [sys.executable, str(Path(__file__).resolve()), "--source", str(source), "--trace", what]
            done = subprocess.run(
                [*command, "--work", folder], env=_environment(source), capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"tracing {what} failed:\n{done.stderr}")
            figures |= json.loads(done.stdout.splitlines()[-1])
    return figures


def _trace_and_print(what: str, source: Path, work: Path) -> None:
    tracer = Tracer(source / "bertkit")
    trace(what, work, tracer)
    part, whole = {
        "pretraining": ("a pre-training loop, its batches made", "a pre-training command"),
        "finetuning": ("a fine-tuning loop, its batches made", "a fine-tuning command"),
        "prediction": ("one prediction", "loading a model and one prediction"),
    }[what]
    print(json.dumps({f"files entered by {part}": len(tracer.inner), f"files entered by {whole}": len(tracer.entered)}))


def _predict(model: Any, tracer: Tracer) -> None:
    """One text, as the inner part of a trace."""
    tracer.depth += 1
    model.predict("the red house")
    tracer.depth -= 1


def _write_texts(folder: Path) -> None:
    """Sentences of few words: documents to learn from, and a table with two classes."""
    draw = random.Random(0)
    words = [*("the", "a", "red", "blue", "small", "old"), *("house", "tree", "river", "cat", "dog"), "sees", "near"]
    sentences = [" ".join(draw.choices(words, k=draw.randint(4, 12))) for _ in range(400)]
    documents = ["\n".join(sentences[start : start + 8]) for start in range(0, len(sentences), 8)]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    rows = [f"{sentence},{'yes' if 'cat' in sentence else 'no'}" for sentence in sentences[:60]]
    (folder / "labelled.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")


def _environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(source), "CUDA_VISIBLE_DEVICES": ""}


def main() -> None:
    """Print the figures, or trace one call where `--trace` says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder that holds the package bertkit")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--trace", choices=TRACES, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    if not (source / "bertkit").is_dir():
        parser.error(f"{source} holds no package bertkit")
    if arguments.trace:
        _trace_and_print(arguments.trace, source, arguments.work)
        return
    figures = measure(source)
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:60} {value}")


if __name__ == "__main__":
    main()
