"""The whole path on the documentation of Python: text to vocabulary, pre-training, fine-tuning and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bertkit.core.devices import describe_machine
from bertkit.core.files import write_json
from bertkit.core.machine import tune_allocator
from bertkit.core.records import Amount, read_foreign, read_record, write_record
from bertkit.data.corpus.manifest import Manifest
from bertkit.data.corpus.options import PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.inference.load import load
from bertkit.recipes.pretrain import pretrain
from bertkit.reports.page import write_report
from bertkit.studies.baselines import finetuned_predictions, largest_class_predictions, tfidf_predictions
from bertkit.studies.demo.corpus import CorpusFacts, DemoCorpus
from bertkit.studies.demo.report import demo_report
from bertkit.studies.demo.result import LARGEST_CLASS, PRETRAINED, RANDOM, TFIDF, DemoOptions, DemoResult, FilledMask
from bertkit.studies.learning_curve import CurvePoint, Method, learning_curve
from bertkit.tasks.labelled import LabelledExamples
from bertkit.text.tokenizer import Tokenizer
from bertkit.training.run_folder import RunFolder

_MASKED_SENTENCES = (
    "Return True if the [MASK] is empty.",
    "Raise an [MASK] if the file does not exist.",
    "The default [MASK] is None.",
    "Send a [MASK] to the server.",
    "Wait until the [MASK] is done.",
    "Create a new [MASK] with the given name.",
    "The class [MASK] is called when an instance is created.",
    "Parse the XML [MASK] and call the handler.",
)
_TOP_K = 5


def run_demo(out: Path, options: DemoOptions, say: Callable[[str], None]) -> DemoResult:
    """Run all steps in the folder `out`, skipping those that are done, and write `report.html` and `results.json`.

    `say` gets a line for every step. A run that was interrupted resumes when it is called again with the same options.
    """
    tune_allocator()
    run = RunFolder(out)
    with run.claim(asdict(options)):
        folders = _Folders(out)
        steps = ResumableSteps(out, say)
        steps.run("Read the documentation", partial(_read, folders, options))
        steps.run("Train a vocabulary and prepare the text", partial(_prepare, folders, options))
        steps.run("Pre-train", partial(_pretrain, folders, options))
        steps.run("Fill in masks", partial(_fill_masks, folders))
        steps.run("Fine-tune and compare", partial(_compare, folders, options))
        result = _result(folders, options, steps)
        write_report(run.report, demo_report(result))
        write_json(run.results, result.to_json())
    return result


class ResumableSteps:
    """The steps of a long study: each is run once, and remembered with its seconds in `folder/stages.json`."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = folder / "stages.json", say
        self._seconds = _seconds_of_steps(self._path) if self._path.is_file() else {}
        self._number = 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of the steps that are done, in their order."""
        return dict(self._seconds)

    def run(self, name: str, work: Callable[[], float | None]) -> None:
        """Do `work` unless it was done before; it may return its own seconds, with those of interrupted attempts."""
        self._number += 1
        if name in self._seconds:
            self._say(f"{self._number}. {name}: already done ({self._seconds[name]:.0f} s)")
            return
        self._say(f"{self._number}. {name}")
        start = time.perf_counter()
        spent = work()
        self._seconds[name] = max(time.perf_counter() - start, spent or 0.0)
        write_record(self._path, self._seconds)


def _seconds_of_steps(path: Path) -> dict[str, float]:
    return read_record(path, dict[str, Amount], "remove it, the steps are done again")


@dataclass(frozen=True)
class _Folders:
    """The paths in the run folder."""

    out: Path

    @property
    def corpus(self) -> DemoCorpus:
        return DemoCorpus(self.out / "corpus")

    @property
    def tokenizer(self) -> Path:
        return self.out / "tokenizer"

    @property
    def prepared(self) -> Path:
        return self.out / "prepared"

    @property
    def pretraining(self) -> RunFolder:
        return RunFolder(self.out / "pretraining")

    @property
    def pretrained_model(self) -> Path:
        return self.pretraining.model

    @property
    def filled_masks(self) -> Path:
        return self.out / "filled_masks.json"

    @property
    def curve(self) -> Path:
        return self.out / "curve"

    @property
    def finetuned_model(self) -> Path:
        return self.out / "finetuned"


def _read(folders: _Folders, options: DemoOptions) -> None:
    folders.corpus.write(options.library, options.task)


def _prepare(folders: _Folders, options: DemoOptions) -> None:
    with folders.corpus.pretraining.open(encoding="utf-8") as lines:
        tokenizer = Tokenizer.train(lines, options.vocab_size)
    tokenizer.save_pretrained(folders.tokenizer)
    prepare([folders.corpus.pretraining], tokenizer, folders.prepared, PrepareOptions(overwrite=True))


def _pretrain(folders: _Folders, options: DemoOptions) -> float:
    return pretrain(folders.prepared, folders.pretraining.path, options.pretraining).seconds


def _fill_masks(folders: _Folders) -> None:
    found = load(folders.pretrained_model).fill_mask(_MASKED_SENTENCES, _TOP_K)
    filled = [FilledMask(text=text, fillings=masks[0]) for text, masks in zip(_MASKED_SENTENCES, found, strict=True)]
    write_json(folders.filled_masks, [asdict(mask) for mask in filled])


def _compare(folders: _Folders, options: DemoOptions) -> float:
    return sum(point.seconds for point in _curve(folders, options))


def _curve(folders: _Folders, options: DemoOptions) -> list[CurvePoint]:
    train, test = (folders.corpus.examples(part) for part in (folders.corpus.train, folders.corpus.test))
    network: dict[str, Any] = {
        "model": folders.pretrained_model,
        "options": options.finetuning,
        "max_length": options.max_length,
        "run": folders.out / "finetuning",
    }
    pretrained = partial(finetuned_predictions, **network, from_random=False, save_to=folders.finetuned_model)
    random = partial(finetuned_predictions, **network, from_random=True)
    methods = (
        Method(name=PRETRAINED, predict=pretrained),
        Method(name=RANDOM, predict=random),
        Method(name=TFIDF, predict=_tfidf, is_random=False),
        Method(name=LARGEST_CLASS, predict=_largest_class, is_random=False),
    )
    return learning_curve(train, test, methods, options.sizes, folders.curve)


def _tfidf(sample: LabelledExamples, unseen: Sequence[str], seed: int) -> list[str]:
    return tfidf_predictions(sample.texts, [str(label) for label in sample.labels], unseen, seed)


def _largest_class(sample: LabelledExamples, unseen: Sequence[str], seed: int) -> list[str]:
    return largest_class_predictions([str(label) for label in sample.labels], len(unseen))


def _result(folders: _Folders, options: DemoOptions, steps: ResumableSteps) -> DemoResult:
    facts: CorpusFacts = folders.corpus.facts()
    remedy = f"remove {folders.out} and run the demo again"
    masks = read_foreign(folders.filled_masks, list[FilledMask], remedy)
    return DemoResult(
        out=folders.out,
        options=options,
        machine=describe_machine(),
        step_seconds=steps.seconds,
        corpus=facts,
        vocab_size=Tokenizer.from_pretrained(folders.tokenizer).vocab_size,
        tokens=Manifest.read(folders.prepared).tokens,
        metrics=folders.pretraining.read_metrics(),
        filled_masks=masks,
        points=_curve(folders, options),
        test_labels=tuple(str(label) for label in folders.corpus.examples(folders.corpus.test).labels),
        finetuned_model=folders.finetuned_model,
        pretrained_model=folders.pretrained_model,
    )
