from pathlib import Path

from bertkit.data.instances.options import InstanceOptions, StageOptions
from bertkit.model.config import BertConfig
from bertkit.recipes.cards import finetuning_card, pretraining_card
from bertkit.recipes.options import FinetuneOptions, PretrainOptions
from bertkit.training.options import OptimizerOptions, TrainingOptions


def test_pretraining_says_what_it_read_how_it_learned_and_what_came_out():
    options = PretrainOptions(
        model=BertConfig(),
        training=TrainingOptions(steps=700, seed=3, optimizer=OptimizerOptions(learning_rate=5e-4)),
        instances=InstanceOptions(seq_length=64),
        held_out=(Path("data/books"),),
        batch_size=48,
    )
    card = pretraining_card(
        options,
        corpus=Path("data/wiki"),
        contents="12 documents",
        evaluation={"books/masked_lm_loss": 6.5, "books/next_sentence_accuracy": 0.5},
    )
    assert card.data == {"corpus": "wiki", "contents": "12 documents", "held out": "books"}
    assert card.results == {"books": {"masked_lm_loss": 6.5, "next_sentence_accuracy": 0.5}}
    expected = {"steps": 700, "seed": 3, "sequences a step": 48, "tokens of the longest sequence": 64}
    assert expected.items() <= card.training.items()
    assert card.training["learning rate"] == 5e-4
    assert "next-sentence" in card.summary


def test_pretraining_names_its_longest_sequences_and_weights_that_start_from_the_corpus():
    options = PretrainOptions(
        model=BertConfig(),
        training=TrainingOptions(steps=1),
        stages=StageOptions(long_seq_length=512),
        initial_weights="informed",
    )
    card = pretraining_card(options, corpus=Path("data"), contents="12 documents", evaluation={})
    assert card.training["tokens of the longest sequence"] == 512
    assert "random" not in card.summary


def test_finetuning_says_what_it_started_from_and_how_well_each_part_went():
    card = finetuning_card(
        FinetuneOptions(batch_size=16, layer_decay=0.9, class_weights=("a=1", "b=2")),
        TrainingOptions(steps=40),
        epochs=4,
        task="MRPC",
        initial_model=Path("runs/bert"),
        examples={"train": 100, "dev": 20},
        results={"dev": {"f1": 0.75}},
    )
    assert card.data == {"task": "MRPC", "train examples": 100, "dev examples": 20}
    assert {"steps": 40, "epochs": 4, "examples a step": 16}.items() <= card.training.items()
    assert {"layer decay": 0.9, "class weights": "a=1, b=2"}.items() <= card.training.items()
    assert "patience" not in card.training
    assert card.results == {"dev": {"f1": 0.75}}
    assert "from bert" in card.summary


def test_random_weights_are_no_model():
    card = finetuning_card(
        FinetuneOptions(from_random=True),
        TrainingOptions(steps=1),
        epochs=1,
        task="t",
        initial_model=Path("bert"),
        examples={},
        results={},
    )
    assert "random weights" in card.summary
