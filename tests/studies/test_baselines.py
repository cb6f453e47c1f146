from pathlib import Path

import pytest
import torch
from torch import Tensor

from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.model.pretraining import PretrainingModel
from bertkit.pretrained.folder import ModelFolder, write_model_folder
from bertkit.studies.baselines import FewLabelOptions, finetune_few_labels, largest_class_predictions, tfidf_predictions
from bertkit.tasks.classification import Classification
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import load_task_model
from bertkit.text.tokenizer import Tokenizer


def test_tfidf_finds_the_words_of_a_class():
    texts = [f"the {word} is {place}" for place in ("here", "there", "far") for word in ("rose", "drum")]
    labels = ["garden", "sound"] * 3
    assert tfidf_predictions(texts, labels, ["a rose", "a drum"], 0) == ["garden", "sound"]


def test_the_largest_class_is_the_most_frequent_label_and_the_first_of_equals():
    assert largest_class_predictions(["b", "a", "b"], 2) == ["b", "b"]
    assert largest_class_predictions(["b", "a"], 1) == ["a"]


TASK = Classification(classes=("bad", "good"), max_length=16)
TEXTS = ["a good film", "a fine film", "a bad film", "a poor film"]


@pytest.fixture
def other_weights(tiny_model: Path, tmp_path: Path) -> Path:
    """The sizes and the vocabulary of `tiny_model`, but other weights."""
    config: BertConfig = ModelFolder.open(tiny_model).config
    model = PretrainingModel(config)
    initialize(model, 0.2, 2)
    write_model_folder(tmp_path / "other", model, config, architecture="BertForPreTraining")
    Tokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "other")
    return tmp_path / "other"


def finetune(model: Path, run: Path, *, from_random: bool, min_steps: int = 2, save_to: Path | None = None) -> Tensor:
    tokenizer = Tokenizer.from_pretrained(model)
    places = tuple(f"text {index}" for index in range(4))
    labels = ("good", "good", "bad", "bad")
    examples = LabelledExamples(texts=tuple(TEXTS), text_pairs=None, labels=labels, places=places)
    train = TASK.encode(examples, tokenizer)
    options = FewLabelOptions(epochs=1, min_steps=min_steps, learning_rate=1e-2)
    return finetune_few_labels(
        ModelFolder.open(model),
        tokenizer,
        TASK,
        train,
        train.sequences,
        options,
        from_random=from_random,
        seed=0,
        run=run,
        save_to=save_to,
    )


def test_random_weights_do_not_depend_on_the_folders_weights(tiny_model: Path, other_weights: Path, tmp_path: Path):
    first, second = (finetune(m, tmp_path / "run", from_random=True) for m in (tiny_model, other_weights))
    assert torch.equal(first, second)
    first, second = (finetune(m, tmp_path / "run", from_random=False) for m in (tiny_model, other_weights))
    assert not torch.allclose(first, second)


def test_a_few_examples_are_learned_and_the_model_is_kept(tiny_model: Path, tmp_path: Path):
    logits = finetune(tiny_model, tmp_path / "run", from_random=False, min_steps=60, save_to=tmp_path / "kept")
    assert logits.argmax(-1).tolist() == [1, 1, 0, 0]
    _, task = load_task_model(ModelFolder.open(tmp_path / "kept"))
    assert task.classes == TASK.classes
    assert not (tmp_path / "run").exists()


def test_what_an_interrupted_run_left_is_not_used(tiny_model: Path, tmp_path: Path):
    clean = finetune(tiny_model, tmp_path / "run", from_random=False)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "metrics.jsonl").write_text("cut")
    assert torch.equal(finetune(tiny_model, tmp_path / "run", from_random=False), clean)


def test_small_sets_get_the_least_number_of_updates():
    options = FewLabelOptions(epochs=2, min_steps=10, batch_size=4)
    assert options.steps(8) == 10
    assert options.steps(41) == 22
