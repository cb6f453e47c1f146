"""`bertkit predict`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter

from bertkit.cli.texts import PairInputOptions, read_text_chunks
from bertkit.foundation.errors import InputError
from bertkit.foundation.precision import Precision

_OUTPUTS = {".tsv": False, ".jsonl": True}
"""Suffixes, and whether they hold JSON."""


def predict(
    model: str,
    /,
    *texts: str,
    source: Annotated[PairInputOptions, Parameter(name="*")] = PairInputOptions(),
    output: Path | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Label texts or pairs of texts with a fine-tuned model: label, probability and text, or score and text.

    Parameters
    ----------
    model
        Folder that `bertkit finetune` wrote, a fine-tuned model of Hugging Face's, or a hub name.
    texts
        Texts; with --pair each a pair separated by a tab.
    output
        File in place of the terminal: .tsv, or .jsonl with every label's probability.
    max_length
        Tokens that a text is cut to, special ones counted; unless given the length of fine-tuning.
    precision
        bf16 is faster where the processor has it; auto takes it there.
    json_output
        Print a JSON object a line, with every label's probability.
    """
    if output is not None and output.suffix not in _OUTPUTS:
        raise InputError(f"{output} must end in {' or '.join(_OUTPUTS)}: the suffix chooses the format")
    chunks = read_text_chunks(texts, source)

    from bertkit.foundation.devices import tune_allocator
    from bertkit.foundation.files import atomic_path
    from bertkit.inference.load import load

    tune_allocator()
    predictor = load(model, precision=precision)
    as_json = json_output or (output is not None and _OUTPUTS[output.suffix])
    with ExitStack() as stack:
        file: TextIO = sys.stdout
        if output is not None:
            temporary = stack.enter_context(atomic_path(output))
            file = stack.enter_context(temporary.open("w", encoding="utf-8"))
        for chunk in chunks:
            predictions = predictor.predict(chunk, max_length=max_length)
            for text, prediction in zip(chunk, predictions, strict=True):
                print(_json(text, prediction) if as_json else _line(text, prediction), file=file)
        file.flush()


def _json(text: str | tuple[str, str], prediction: Any) -> str:
    record = {"text": text} if isinstance(text, str) else {"text": text[0], "text_pair": text[1]}
    return json.dumps(record | vars(prediction), ensure_ascii=False)


def _line(text: str | tuple[str, str], prediction: Any) -> str:
    fields = [text] if isinstance(text, str) else list(text)
    if hasattr(prediction, "label"):
        start = [prediction.label, f"{prediction.probabilities[prediction.label]:.4f}"]
    else:
        start = [f"{prediction.score:.4f}"]
    return "\t".join(" ".join(field.split()) for field in [*start, *fields])
