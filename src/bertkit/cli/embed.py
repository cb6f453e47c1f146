"""`bertkit embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.texts import InputOptions, read_text_chunks
from bertkit.foundation.errors import InputError
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

    Parameters
    ----------
    model
        Model folder or hub name.
    texts
        Texts to embed.
    output
        .npy for the array alone, .parquet for columns text and embedding.
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
    if output.suffix not in (".npy", ".parquet"):
        raise InputError(f"{output} must end in .npy or .parquet: the suffix chooses the format")
    chunks = read_text_chunks(texts, source)

    from bertkit.foundation.console import progress
    from bertkit.foundation.devices import tune_allocator
    from bertkit.inference.load import load
    from bertkit.inference.vector_file import vector_writer

    tune_allocator()
    predictor = load(model, precision=precision)
    count = width = 0
    with vector_writer(output) as writer, progress("embedding", None, "texts") as bar:
        for chunk in chunks:
            lines = [text for text in chunk if isinstance(text, str)]
            vectors = predictor.embed(lines, pooling, layer, normalize, max_length=max_length)
            writer.write(lines, vectors)
            bar.advance(len(lines))
            count, width = count + len(lines), vectors.shape[1]
    print(f"{count:,} vectors of {width}: {output}")
