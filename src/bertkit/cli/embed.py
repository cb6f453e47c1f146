"""`bertkit embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.text_rows import TextRows
from bertkit.cli.texts import InputOptions
from bertkit.foundation.precision import Precision


def embed(
    model: str,
    /,
    *texts: str,
    output: Path,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    pooling: Literal["mean", "cls", "pooler"] | None = None,
    layer: int = -1,
    normalize: bool | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
) -> None:
    """Turn texts into vectors, a row a text in their order.

    A call that was stopped goes on when the same command is given again.

    Parameters
    ----------
    model
        Model folder or hub name.
    texts
        Texts to embed.
    output
        .npy for the array alone, .parquet for columns id (from 1), text and embedding.
    pooling
        Mean of all tokens, the hidden state of [CLS], or the pooler's output; the folder's own unless given.
    layer
        Layer to take, 0 being the embeddings and -1 the last.
    normalize
        Whether vectors get length 1; the folder's own setting unless given.
    max_length
        Tokens that a text is cut to, special ones counted; the folder's own unless given.
    precision
        bf16 is faster where the processor has it; auto takes it there.
    """
    rows = TextRows(texts, source)

    from bertkit.foundation.console import note
    from bertkit.inference.feature_file import write_features
    from bertkit.inference.load import load
    from bertkit.inference.vector_file import check_vector_path

    check_vector_path(output)
    predictor = load(model, precision=precision)
    plan = predictor.embedding_plan(pooling, layer, normalize, max_length=max_length)
    written = write_features(predictor.model, rows, output, plan, with_ids=False, share_read=rows.share_read)
    for remark in written.remarks:
        note(remark)
    print(f"{written.texts:,} vectors of {written.width}: {output}")
