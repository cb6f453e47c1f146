from dataclasses import replace
from pathlib import Path

import pytest

from bertkit import InputError
from bertkit.core.files import read_json
from bertkit.inference.load import load
from bertkit.studies.baselines import FewLabelOptions
from bertkit.studies.demo import run as demo
from bertkit.studies.demo.corpus import PackageTaskOptions
from bertkit.studies.demo.result import QUICK, DemoOptions
from bertkit.studies.learning_curve import CurveSize


@pytest.fixture(scope="module")
def options(library: Path) -> DemoOptions:
    pretraining = QUICK.pretraining
    return replace(
        QUICK,
        library=library,
        vocab_size=600,
        task=PackageTaskOptions(min_modules=3, min_examples=20),
        pretraining=replace(
            pretraining,
            model=replace(pretraining.model, hidden_size=16, intermediate_size=32, num_hidden_layers=1),
            training=replace(pretraining.training, steps=2, log_every=1, evaluate_every=1),
            batch_size=4,
            evaluation_sequences=4,
        ),
        sizes=(CurveSize(per_class=3, seeds=2), CurveSize(per_class=None, seeds=1)),
        finetuning=FewLabelOptions(epochs=1, min_steps=2),
    )


@pytest.fixture(scope="module")
def run(options: DemoOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "demo"
    demo.run_demo(out, options, lambda line: None)
    return out


def test_it_ends_in_a_report_with_every_method_on_the_same_sentences(run: Path):
    page = (run / "report.html").read_text(encoding="utf-8")
    results = read_json(run / "results.json")
    methods = {row["method"] for row in results["learning_curve"]}
    assert methods == {demo.PRETRAINED, demo.RANDOM, demo.TFIDF, demo.LARGEST_CLASS}
    assert all(method in page for method in methods)
    test_sentences = sum(part["sentences"] for part in results["corpus"]["test"].values())
    assert sum(map(sum, results["confusion"]["counts"])) == test_sentences
    assert results["confusion"]["packages"] == ["garden", "sound"]


def test_the_models_it_leaves_can_be_used(run: Path):
    assert load(run / "finetuned").predict("A rose grows near the tree.").label in {"garden", "sound"}
    assert len(load(run / "pretraining" / "model").fill_mask("The [MASK] is here.", 3)[0]) == 3


def test_the_same_call_again_trains_nothing_and_finds_the_same(
    run: Path, options: DemoOptions, monkeypatch: pytest.MonkeyPatch
):
    before = read_json(run / "results.json")

    def called_again(*_: object, **__: object) -> None:
        pytest.fail("a step that was done ran again")

    for name in ("pretrain", "prepare", "finetuned_predictions", "tfidf_predictions"):
        monkeypatch.setattr(demo, name, called_again)
    lines: list[str] = []
    demo.run_demo(run, options, lines.append)
    assert len(lines) == 5
    assert all("already done" in line for line in lines)
    assert read_json(run / "results.json") == before


def test_other_options_in_the_same_folder_are_refused(run: Path, options: DemoOptions):
    with pytest.raises(InputError, match="vocab_size"):
        demo.run_demo(run, replace(options, vocab_size=700), lambda line: None)


def test_a_step_is_done_once(tmp_path: Path):
    done: list[str] = []
    for _ in range(2):
        steps = demo.ResumableSteps(tmp_path, lambda line: None)
        steps.run("one", lambda: done.append("one"))
    assert done == ["one"]
    assert list(steps.seconds) == ["one"]


def test_a_step_that_failed_is_done_again(tmp_path: Path):
    def fail() -> None:
        raise KeyboardInterrupt

    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        demo.ResumableSteps(tmp_path, lambda line: None).run("one", fail)
    demo.ResumableSteps(tmp_path, lambda line: None).run("one", lambda: done.append("one"))
    assert done == ["one"]


def test_seconds_of_earlier_attempts_count(tmp_path: Path):
    steps = demo.ResumableSteps(tmp_path, lambda line: None)
    steps.run("one", lambda: 1000.0)
    assert steps.seconds == {"one": 1000.0}
