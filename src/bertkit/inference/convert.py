"""Conversion of a model folder from one format to another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from bertkit.core.arguments import checked
from bertkit.core.checksums import write_sums
from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.core.files import write_json
from bertkit.core.outputs import check_output_folder, output_folder
from bertkit.inference.loaded_model import check_vocabulary_size
from bertkit.pretrained.card import CARD_FILE, ModelCard, how_to_load_checkpoint
from bertkit.pretrained.config_json import CONFIG_FILE
from bertkit.pretrained.folder import MODEL_FILES, TASK_FILE, LoadReport, ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.pretrained.tensorflow import checkpoint as tensorflow
from bertkit.pretrained.tensorflow.bundle import write_bundle
from bertkit.text.tokenizer import Tokenizer

Format = Literal["huggingface", "tensorflow"]
SentencePooling = Literal["mean", "cls"]
_SOURCE_CARD = f"source-{CARD_FILE}"


@checked
def convert(
    source: str | Path,
    target: Path,
    to: Format = "huggingface",
    pooling: SentencePooling | None = None,
    *,
    overwrite: bool = False,
) -> LoadReport:
    """Write the model in `source`, in any format that can be read, to the folder `target`.

    The tokenizer, a task and the settings of sentence-transformers go along; `pooling` makes such settings. `overwrite`
    replaces a model that is in `target`. Raises `InputError`.
    """
    folder = ModelFolder.open(source)
    inputs = [folder.path]
    check_output_folder(target, own=MODEL_FILES, what="a model", inputs=inputs, overwrite=overwrite)
    if to == "tensorflow" and pooling is not None:
        raise InputError("sentence-transformers reads no TensorFlow checkpoints: leave out pooling")
    sentences = _sentences(folder) if pooling is None else SentenceSettings(pooling=pooling)
    model, report = BertWithHeads.from_folder(folder)
    tokenizer = _tokenizer(folder.path)
    if tokenizer is not None:
        check_vocabulary_size(folder.path, tokenizer.vocab_size, folder.config.vocab_size)
    source_card = folder.path / CARD_FILE
    card = ModelCard(
        title=f"{folder.path.resolve().name}, converted",
        summary=f"Converted by bertkit from {folder.weights.name}"
        + (f"; how it was made is told in `{_SOURCE_CARD}`." if source_card.is_file() else "."),
    )
    made = output_folder(target, own=MODEL_FILES, what="a model", inputs=inputs, overwrite=overwrite)
    with made as temporary:
        if to == "tensorflow":
            write_tensorflow_folder(temporary, model, card)
        else:
            model.save_pretrained(temporary, card=card, sentences=sentences)
        if tokenizer is not None:
            config = folder.config
            tokenizer.save_pretrained(temporary, max_length=config.max_length, token_types=config.type_vocab_size > 0)
        if folder.task is not None:
            shutil.copy(folder.path / TASK_FILE, temporary)
        if source_card.is_file():
            shutil.copy(source_card, temporary / _SOURCE_CARD)
        write_sums(temporary)
    return report


def write_tensorflow_folder(folder: Path, model: BertWithHeads, card: ModelCard | None = None) -> None:
    """Write `bert_model.ckpt.*` and `bert_config.json`, and for ourselves the `config.json` that has the labels.

    Raises `InputError` for an architecture that google-research/bert does not have.
    """
    if model.architecture not in tensorflow.ARCHITECTURES:
        raise InputError(
            f"{model.architecture} has no place in a TensorFlow checkpoint: google-research/bert has "
            f"{', '.join(tensorflow.ARCHITECTURES)}"
        )
    content = tensorflow.describe_config(model.bert.config)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    write_bundle(folder / tensorflow.CHECKPOINT_NAME, tensorflow.NAMES.write(tensors))
    write_json(folder / tensorflow.CONFIG_FILE, content)
    model.description.write(folder / CONFIG_FILE)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    (card or ModelCard()).write(folder, model.description, parameters, how_to_load_checkpoint())


def _sentences(folder: ModelFolder) -> SentenceSettings | None:
    found = folder.sentences
    if found is not None and found.unsupported is not None:
        raise InputError(
            f"{folder.path} makes vectors by {found.unsupported}, which bertkit cannot convert: "
            "give --pooling mean or cls for the encoder's own"
        )
    return found


def _tokenizer(folder: Path) -> Tokenizer | None:
    names = ("tokenizer.json", "vocab.txt", "vocab.json")
    if not any((folder / name).is_file() for name in names):
        note(f"{folder} has no tokenizer ({', '.join(names)}): the model is written without one")
        return None
    return Tokenizer.from_pretrained(folder)
