"""A folder as google-research/bert reads it."""

from __future__ import annotations

from pathlib import Path

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import write_json
from bertkit.model.bert_with_heads import BertWithHeads
from bertkit.model.description import CONFIG_FILE
from bertkit.model.formats import tensorflow
from bertkit.model.how_to_load import how_to_load_checkpoint
from bertkit.model.model_card import ModelCard
from bertkit.model.tensor_bundle.bundle import write_bundle


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
