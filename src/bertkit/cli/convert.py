"""`bertkit convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def convert(
    source: str,
    target: Path,
    /,
    *,
    to: Literal["huggingface", "tensorflow"] = "huggingface",
    pooling: Literal["mean", "cls"] | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a model in another format, and print which weights were taken and which were not.

    Parameters
    ----------
    source
        Model folder or hub name: safetensors or pytorch_model.bin, whole or in parts, of a BERT, DistilBERT, RoBERTa,
        ELECTRA or ModernBERT, or a TensorFlow 1 checkpoint (bert_model.ckpt.* with bert_config.json and vocab.txt).
    target
        New folder.
    to
        huggingface: config.json and model.safetensors; tensorflow: what google-research/bert reads.
    pooling
        How sentence-transformers and `bertkit embed` make vectors with it; unless given, as the source says.
    overwrite
        Replace the model that is in TARGET.
    """
    from bertkit.core.console import say
    from bertkit.inference.convert import convert as convert_folder

    report = convert_folder(source, target, to, pooling, overwrite=overwrite)
    say(f"{report}\n{to}: {target}")
