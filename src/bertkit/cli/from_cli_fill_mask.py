"""`bertkit fill-mask`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from bertkit.cli.texts import InputOptions, read_text_chunks
from bertkit.foundation.precision import Precision


def fill_mask(
    model: str,
    /,
    *texts: str,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    top_k: int = 5,
    precision: Precision = "float32",
    json_output: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Fill in every [MASK] of the texts with the likeliest entries of the vocabulary.

    Parameters
    ----------
    model
        Folder of a pre-trained model, or a hub name.
    texts
        Texts with one or more [MASK].
    top_k
        Entries for each [MASK].
    precision
        bf16 is faster where the processor has it; auto takes it there.
    json_output
        Print a JSON object a line.
    """
    chunks = read_text_chunks(texts, source)

    from bertkit.inference.load import load

    predictor = load(model, precision=precision)
    for chunk in chunks:
        lines = [text for text in chunk if isinstance(text, str)]
        for text, masks in zip(lines, predictor.fill_mask(lines, top_k), strict=True):
            if json_output:
                named = [[{"token": token, "probability": chance} for token, chance in mask] for mask in masks]
                print(json.dumps({"text": text, "masks": named}, ensure_ascii=False))
                continue
            print(text)
            for number, mask in enumerate(masks, 1):
                for token, chance in mask:
                    place = f"[MASK] {number}  " if len(masks) > 1 else ""
                    print(f"  {place}{chance:.4f}  {token}")
    sys.stdout.flush()
