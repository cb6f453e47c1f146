"""What is tortured: every command that writes, with small inputs, and what has to come out of it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from bertkit.cli.main import run

LEFTOVER = (".partial", ".retired", ".parts")
_WORDS = ["wind", "river", "stone", "light", "over", "under", "runs", "falls", "keeps", "green", "old", "quiet"]
_TINY = "--preset tiny --batch-size 8 --seq-length 32"


@dataclass(frozen=True)
class Command:
    """A command of bertkit in a folder with `given/`, which it reads, and `out/`, where it writes."""

    name: str
    arguments: tuple[str, ...]
    result: tuple[str, ...]
    """Patterns of the files in `out/` whose bytes are the same for every run."""
    before: tuple[str, ...] = ()
    """A command that has run in `out/` before, and whose result is there until the new one is."""
    in_parts: bool = False
    """Whether whole files of the result appear one after another, the one that says so last."""


def _command(name: str, line: str, *result: str, before: str = "", in_parts: bool = False) -> Command:
    return Command(name, tuple(line.split()), result, tuple(before.split()), in_parts)


_VOCAB = "vocab given/corpus.txt --size 200 --out out/tok"
_PREPARE = "prepare given/corpus.txt --tokenizer given/tok --workers 2 --out out/data"
_PREDICT = "predict given/classifier --input given/texts.csv --output out/p.csv"
_CONVERT = "convert given/classifier out/model"
COMMANDS = (
    _command("vocab", _VOCAB, "tok/*"),
    _command("vocab --overwrite", f"{_VOCAB} --overwrite", "tok/*", before=_VOCAB.replace("200", "150")),
    _command("prepare", _PREPARE, "data/*.npy", "data/manifest.json", "data/tokenizer/*", in_parts=True),
    _command(
        "prepare --drop-duplicates",
        f"{_PREPARE} --drop-duplicates both",
        *("data/*.npy", "data/manifest.json", "data/tokenizer/*"),
        in_parts=True,
    ),
    _command(
        "prepare --overwrite",
        f"{_PREPARE} --overwrite",
        *("data/*.npy", "data/manifest.json", "data/tokenizer/*"),
        before="prepare given/other.txt --tokenizer given/tok --workers 1 --out out/data",
        in_parts=True,
    ),
    _command("prepare --static", f"{_PREPARE} --static --seq-length 32 --dupe-factor 2", "data/*.npy", in_parts=True),
    _command(
        "pretrain",
        f"pretrain given/data --steps 24 --checkpoint-every 3 --log-every 2 --evaluate-every 8 {_TINY} --out out/run",
        "run/model/*",
    ),
    _command(
        "finetune",
        "finetune given/model --train given/texts.csv --epochs 2 --batch-size 8 --seeds 2 --out out/run",
        "run/model/*",
    ),
    _command(
        "evaluate --report", "evaluate given/classifier --data given/texts.csv --report out/page.html", "page.html"
    ),
    _command("predict", _PREDICT, "p.csv"),
    _command(
        "predict --overwrite", f"{_PREDICT} --overwrite", "p.csv", before=_PREDICT.replace("texts.csv", "few.csv")
    ),
    _command("embed", "embed given/model --input given/texts.csv --text text --output out/v.npy", "v.npy"),
    _command(
        "features",
        "features given/model --input given/texts.csv --text text --pooling tokens --output out/f.npy",
        *("f.npy", "f.ids.jsonl", "f.offsets.npy", "f.bounds.npy"),
        in_parts=True,
    ),
    _command("convert", _CONVERT, "model/*"),
    _command("convert --overwrite", f"{_CONVERT} --overwrite", "model/*", before="convert given/model out/model"),
    _command("doctor --html", "doctor given/data --html out/corpus.html", "corpus.html"),
)


def make_given(folder: Path) -> None:
    """Write the inputs of all commands into `folder`/given."""
    rng = random.Random(1)
    given = folder / "given"
    given.mkdir(parents=True)

    def sentence() -> str:
        return " ".join(
            rng.choice(_WORDS) + str(rng.randint(0, 30)) * rng.randint(0, 1) for _ in range(rng.randint(4, 20))
        )

    for name, documents in (("corpus.txt", 400), ("other.txt", 40)):
        with (given / name).open("w") as file:
            for _ in range(documents):
                file.write("".join(f"{sentence()}.\n" for _ in range(rng.randint(3, 12))) + "\n")
    for name, rows in (("texts.csv", 240), ("few.csv", 20)):
        lines = [f"{sentence()},{('yes', 'no')[row % 2]}\n" for row in range(rows)]
        (given / name).write_text("text,label\n" + "".join(lines))
    os.chdir(folder)
    for line in (
        "vocab given/corpus.txt --size 200 --out given/tok",
        "prepare given/other.txt --tokenizer given/tok --workers 1 --out given/data",
        f"pretrain given/data --steps 4 --out pre {_TINY}",
        "finetune pre/model --train given/texts.csv --epochs 1 --batch-size 16 --out fine",
    ):
        if (code := run(line.split())) != 0:
            raise SystemExit(f"{line}: {code}")
    shutil.copytree("pre/model", given / "model")
    shutil.copytree("fine/model", given / "classifier")
    shutil.rmtree("pre")
    shutil.rmtree("fine")


def start(arguments: tuple[str, ...], folder: Path, said: Path) -> int:
    """Run the command in a forked process with a group of its own; return its number. What it says goes to `said`."""
    if process := os.fork():
        return process
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = run(list(arguments))
        sys.stderr.flush()
    except BaseException:  # what ends it without a line
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(process: int, seconds: float | None = None) -> int | None:
    """The exit code, negative for a signal; None where it still runs after so many seconds."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, 0 if end is None else os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            return None
        time.sleep(0.002)


def finish(arguments: tuple[str, ...], folder: Path, said: Path) -> int:
    """Run the command to its end and return its exit code."""
    code = wait(start(arguments, folder, said))
    assert code is not None
    return code


def contents(folder: Path, patterns: tuple[str, ...] = ("**/*",)) -> dict[str, str]:
    """SHA-256 of the files, by name."""
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders, wherever they are."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.name.endswith(LEFTOVER)]


@dataclass(frozen=True)
class Expected:
    """The results that may be in `out/`: nothing, or what was there before, and the new one."""

    given: dict[str, str]
    old: dict[str, str]
    new: dict[str, str]
    seconds: float

    @classmethod
    def of(cls, command: Command, folder: Path) -> Expected:
        """Measured, in an `out/` that is removed."""
        old = set_out(command, folder)
        begun = time.monotonic()
        code = finish(command.arguments, folder, folder / "said")
        seconds = time.monotonic() - begun
        new = contents(folder / "out", command.result)
        if code != 0 or not new:
            raise SystemExit(f"{command.name}: {code}, {(folder / 'said').read_text()}")
        return cls(contents(folder / "given"), old, new, seconds)

    def problems(self, command: Command, folder: Path, said: str, *, ended: bool) -> list[str]:
        """What is not as promised; `ended` means that the command did all of its work."""
        found = []
        if contents(folder / "given") != self.given:
            found.append("an input changed")
        here = contents(folder / "out", command.result)
        in_parts = command.in_parts and not self.old and here.items() <= self.new.items()
        if here != self.new and (ended or not (here == self.old or in_parts)):
            found.append("the result differs" if ended else "a result is half written")
        if "Traceback" in said:
            found.append("a traceback")
        if ended and (left := leftovers(folder)):
            found.append(f"left behind: {', '.join(left)}")
        return found


def set_out(command: Command, folder: Path) -> dict[str, str]:
    """Make `out/` as it is before the command; return the result that is in it."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    if command.before and (code := finish(command.before, folder, folder / "said")) != 0:
        raise SystemExit(f"{command.before}: {code}, {(folder / 'said').read_text()}")
    return contents(folder / "out", command.result)
