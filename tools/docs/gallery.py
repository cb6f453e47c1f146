"""The gallery's reports: real runs of the command line, tiny ones, on the text that every Python carries.

    python tools/docs/gallery.py build/gallery

Needs no network and two or three minutes of two cores. What is there already is kept until bertkit or this script
changes; a call that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gallery_data import write_tables

_REPOSITORY = Path(__file__).resolve().parents[2]
_AT_A_TIME = 2


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A report and how it is made; paths are relative to the gallery's folder."""

    name: str
    title: str
    shows: str
    """One sentence."""
    command: str
    page: str

    @property
    def arguments(self) -> list[str]:
        """The command without its first word and its line ends."""
        return self.command.replace("\\\n", " ").split()[1:]


DEMO = Exhibit(
    name="demo",
    title="The demo",
    shows="From raw text to accuracy by number of labels; this quick run only shows that every step works.",
    command="bertkit demo --quick --out demo",
    page="demo/report.html",
)
PRETRAINING = Exhibit(
    name="pre-training",
    title="A pre-training run",
    shows="Losses and accuracy on text that was learnt and text that was held out, the rate, the gradients, the speed.",
    command=(
        "bertkit pretrain demo/prepared --preset tiny --recipe budget --seq-length 64 --steps 800 \\\n"
        "    --evaluate-every 100 --held-out-share 0.04 --evaluation-sequences 256 --out pretraining"
    ),
    page="pretraining/report.html",
)
_AFTER_PRETRAINING = (
    Exhibit(
        name="classification",
        title="Classification",
        shows="Which of ten packages a sentence is about: classes, confusions, calibration, the most confident errors.",
        command=(
            "bertkit finetune pretraining/model --train demo/corpus/train.jsonl --dev demo/corpus/test.jsonl \\\n"
            "    --learning-rate 5e-4 --epochs 2 --seeds 2 --max-length 64 --out classification"
        ),
        page="classification/report.html",
    ),
    Exhibit(
        name="multi-label",
        title="Several labels",
        shows="What a sentence names: figures and threshold of each label, the most confident errors.",
        command=(
            "bertkit finetune pretraining/model --kind multi-label --label labels \\\n"
            "    --train tables/mentions-train.jsonl --dev tables/mentions-dev.jsonl \\\n"
            "    --learning-rate 1e-3 --epochs 6 --max-length 64 --out multi-label"
        ),
        page="multi-label/report.html",
    ),
    Exhibit(
        name="regression",
        title="Regression",
        shows="How many words a sentence has: predictions against labels, the errors' histogram, the largest errors.",
        command=(
            "bertkit finetune pretraining/model --kind regression --label words \\\n"
            "    --train tables/lengths-train.jsonl --dev tables/lengths-dev.jsonl \\\n"
            "    --learning-rate 2e-3 --epochs 5 --max-length 64 --out regression"
        ),
        page="regression/report.html",
    ),
    Exhibit(
        name="tagging",
        title="Tags and entities",
        shows="Calls, constants and exceptions: scores by type, and sentences with what was right, wrong and missed.",
        command=(
            "bertkit finetune pretraining/model --kind tagging \\\n"
            "    --train tables/names-train.jsonl --dev tables/names-dev.jsonl \\\n"
            "    --learning-rate 1e-3 --epochs 6 --out tagging"
        ),
        page="tagging/report.html",
    ),
    Exhibit(
        name="questions",
        title="Questions about a text",
        shows="What is returned, raised or the default, if anything: texts with what was found and missed in colour.",
        command=(
            "bertkit finetune pretraining/model --kind span-extraction \\\n"
            "    --train tables/questions-train.jsonl --dev tables/questions-dev.jsonl \\\n"
            "    --text question --text-pair context --label answers \\\n"
            "    --learning-rate 1e-3 --epochs 6 --max-length 128 --doc-stride 64 --out questions"
        ),
        page="questions/report.html",
    ),
    Exhibit(
        name="choices",
        title="Multiple choice",
        shows="Which of four sentences fits: how often each place is right and chosen, the most confident errors.",
        command=(
            "bertkit finetune pretraining/model --kind multiple-choice \\\n"
            "    --train tables/choices-train.jsonl --dev tables/choices-dev.jsonl \\\n"
            "    --text question --choices choices --label answer \\\n"
            "    --learning-rate 1e-3 --epochs 4 --max-length 64 --out choices"
        ),
        page="choices/report.html",
    ),
    Exhibit(
        name="grid",
        title="The paper's grid",
        shows="All 24 settings of batch, rate and epochs by their dev figure, and the restarts of the best.",
        command=(
            "bertkit finetune pretraining/model --grid paper --max-length 48 --out grid \\\n"
            "    --train tables/packages-train.jsonl --dev tables/packages-dev.jsonl"
        ),
        page="grid/report.html",
    ),
    Exhibit(
        name="corpus",
        title="A prepared corpus",
        shows="Lengths of documents and sentences, the commonest pieces, repeated text, what a batch will hold.",
        command="bertkit doctor demo/prepared --html corpus.html",
        page="corpus.html",
    ),
)
EXHIBITS = (PRETRAINING, *_AFTER_PRETRAINING, DEMO)
"""In the order of the page."""


def make(folder: Path) -> None:
    """Make every report that `folder` lacks."""
    state = folder / "fingerprint.txt"
    if not state.is_file() or state.read_text() != fingerprint():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        state.write_text(fingerprint())
    _run(DEMO, folder)
    _run(PRETRAINING, folder)
    write_tables(folder / "demo" / "corpus", folder / "tables")
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        # The grid, which takes longest, is among the first.
        list(threads.map(lambda exhibit: _run(exhibit, folder), reversed(_AFTER_PRETRAINING)))


def fingerprint() -> str:
    """What decides the reports: bertkit's files and this script's."""
    files = (_REPOSITORY / "src").rglob("*"), Path(__file__).parent.glob("gallery*.py")
    digest = hashlib.sha256()
    for path in sorted(path for found in files for path in found if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.relative_to(_REPOSITORY).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _run(exhibit: Exhibit, folder: Path) -> None:
    done = folder / f"{exhibit.name}.log"
    if done.is_file():
        return
    start = time.monotonic()
    # One thread each: two runs stand side by side, and more threads than free cores are many times slower.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bertkit", *exhibit.arguments]
    ran = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode or not (folder / exhibit.page).is_file():
        sys.exit(f"{ran.stdout}\ngallery: `{exhibit.command}` failed with exit code {ran.returncode}")
    done.write_text(ran.stdout)
    print(f"gallery: {exhibit.name} in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
