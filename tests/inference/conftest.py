"""A vocabulary of a few words and random models over it."""

from pathlib import Path

import pytest
from torch import nn

from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import initialize
from bertkit.model.pretraining import PretrainingModel
from bertkit.pretrained.folder import write_model_folder
from bertkit.tasks.classification import Classification
from bertkit.tasks.model import TaskModel, save_task_model
from bertkit.tasks.regression import Regression
from bertkit.text.tokenizer import Tokenizer

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "far")
POSITIONS = 40


class _Encoder(nn.Module):
    def __init__(self, bert: Encoder) -> None:
        super().__init__()
        self.bert = bert


def _config(tokenizer: Tokenizer) -> BertConfig:
    return BertConfig(
        vocab_size=tokenizer.vocab_size + 3,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=POSITIONS,
    )


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    return Tokenizer.from_pretrained(path, lowercase=True)


@pytest.fixture(scope="session")
def pretrained(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    model = PretrainingModel(_config(tokenizer))
    initialize(model, 0.3, seed=1)
    write_model_folder(folder, model, model.bert.config, architecture="BertForPreTraining")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder_without_pooler(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    model = _Encoder(Encoder(_config(tokenizer)))
    initialize(model, 0.3, seed=2)
    del model.bert.pooler
    write_model_folder(folder, model, model.bert.config, architecture="BertModel")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def classifier(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    config = _config(tokenizer)
    task = Classification(classes=("bad", "fair", "good"), max_length=16)
    model = TaskModel(Encoder(config), task.head(config))
    initialize(model, 0.3, seed=3)
    save_task_model(folder, model, task, tokenizer)
    return folder


@pytest.fixture(scope="session")
def scorer(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scorer")
    config = _config(tokenizer)
    task = Regression(max_length=16)
    model = TaskModel(Encoder(config), task.head(config))
    initialize(model, 0.3, seed=4)
    save_task_model(folder, model, task, tokenizer)
    return folder
