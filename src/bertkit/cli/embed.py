"""`bertkit embed` and `bertkit features`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from bertkit.cli.inputs import (
    InputBytes,
    InputOptions,
    RunningOptions,
    TextRowOptions,
    check_merge,
    check_model,
    input_files,
    text_rows,
)
from bertkit.core.errors import InputError
from bertkit.inference.bulk import BulkOptions

if TYPE_CHECKING:
    from bertkit.inference.feature_file import WrittenFeatures


def embed(
    model: str | None = None,
    /,
    *texts: str,
    output: Path,
    source: Annotated[InputOptions, Parameter(name="*")] = InputOptions(),
    pooling: Literal["mean", "cls", "pooler"] | None = None,
    layer: int = -1,
    normalize: bool | None = None,
    max_length: int | None = None,
    running: Annotated[RunningOptions, Parameter(name="*")] = RunningOptions(),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    bulk: Annotated[BulkOptions, Parameter(name="*", group="Many files and machines")] = BulkOptions(),
) -> None:
    """Turn texts into vectors, one per text, in their order.

    To resume a call that was stopped, give the same command again.

    Parameters
    ----------
    model
        Model folder or hub name.
    texts
        Texts to embed.
    output
        .npy for the array alone; .parquet for columns id (from 1), text and embedding.
    pooling
        Mean of all tokens, the hidden state of [CLS], or the pooler's output; unless given, the folder's own setting.
    layer
        Layer to take: 0 is the embeddings, -1 the last layer.
    normalize
        Scale vectors to length 1; unless given, the folder's own setting.
    max_length
        Tokens that a text is cut to, with special tokens; unless given, the folder's own setting.
    overwrite
        Replace OUTPUT if it is there already.
    """
    if bulk.merge:
        check_merge(model, texts, source)
        _merge(output, "embed", overwrite=overwrite)
        return
    read = InputBytes(source)
    rows, inputs = text_rows(texts, source, read), input_files(source)

    from bertkit.inference.bulk import SharedModel
    from bertkit.inference.feature_file import write_features
    from bertkit.inference.load import load
    from bertkit.inference.vector_files import check_vector_path

    check_vector_path(output, inputs=inputs, overwrite=overwrite)
    loading = partial(load, check_model(model), **running.keywords())
    predictor = loading()
    plan = predictor.embedding_plan(pooling, layer, normalize, max_length=max_length)
    written = write_features(
        SharedModel(predictor, loading, bulk),
        rows,
        output,
        plan,
        command="embed",
        inputs=inputs,
        overwrite=overwrite,
        options=bulk,
        share_read=read.share_read,
    )
    if written is not None:
        _report(written, f"{written.texts:,} vectors of {written.width}: {output}")


_LISTED = Parameter(allow_leading_hyphen=True)
"""The first of the listed numbers may be negative."""


def features(
    model: str | None = None,
    /,
    *texts: str,
    output: Path,
    source: Annotated[TextRowOptions, Parameter(name="*")] = TextRowOptions(),
    layers: Annotated[str | None, _LISTED] = None,
    combine: Literal["concat", "sum", "mean", "weighted"] = "concat",
    weights: Annotated[str | None, _LISTED] = None,
    pooling: Literal["mean", "cls", "tokens"] = "mean",
    max_length: int | None = None,
    running: Annotated[RunningOptions, Parameter(name="*")] = RunningOptions(),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    bulk: Annotated[BulkOptions, Parameter(name="*", group="Many files and machines")] = BulkOptions(),
) -> None:
    """Write the hidden states of an encoder's layers as features of texts or of their tokens.

    To resume a call that was stopped, give the same command again.

    Parameters
    ----------
    model
        Model folder or hub name.
    texts
        Texts to take features of.
    output
        .npy for the array, with NAME.ids.jsonl beside it; .parquet for columns id, text and embedding.
    layers
        Layers, separated by commas: numbers from 0 (the embeddings) up or from -1 (the last layer) down, or the words
        embeddings, last, all (but the embeddings). Unless given, the last four, or all of a model that has fewer.
    combine
        How to combine several layers: end to end, their sum, their mean, or a sum weighted by --weights.
    weights
        A number per layer, separated by commas.
    pooling
        Mean of all tokens, the hidden state of [CLS], or the hidden states of all tokens: then .npy has one row per
        token, with NAME.offsets.npy and NAME.bounds.npy beside it, and .parquet has lists, with columns tokens and
        offsets.
    max_length
        Tokens that a text is cut to, with special tokens; unless given, the folder's own setting.
    overwrite
        Replace OUTPUT and the files beside it if they are there already.
    """
    numbers = None if weights is None else _numbers(weights)
    if bulk.merge:
        check_merge(model, texts, source)
        _merge(output, "features", overwrite=overwrite)
        return
    read = InputBytes(source)
    rows, inputs = text_rows(texts, source, read), input_files(source)

    from bertkit.inference.bulk import SharedModel
    from bertkit.inference.feature_file import write_features
    from bertkit.inference.feature_layers import last_layers
    from bertkit.inference.features import FeaturePlan
    from bertkit.inference.load import load
    from bertkit.inference.vector_files import check_vector_path

    check_vector_path(output, with_ids=True, is_per_token=pooling == "tokens", inputs=inputs, overwrite=overwrite)
    loading = partial(load, check_model(model), **running.keywords())
    predictor = loading()
    loaded = predictor.model
    plan = FeaturePlan.of(
        loaded,
        layers=last_layers(loaded.config.num_hidden_layers) if layers is None else layers,
        combination=combine,
        weights=numbers,
        pooling=pooling,
        max_length=max_length,
    )
    written = write_features(
        SharedModel(predictor, loading, bulk),
        rows,
        output,
        plan,
        inputs=inputs,
        overwrite=overwrite,
        options=bulk,
        share_read=read.share_read,
    )
    if written is not None:
        per = ", one per token" if plan.is_per_token else ""
        _report(written, f"features of {written.texts:,} texts, {written.width} wide{per}: {output}")


def _merge(output: Path, command: str, *, overwrite: bool) -> None:
    from bertkit.inference.feature_file import merge_features

    written = merge_features(output, command, overwrite=overwrite)
    _report(written, f"vectors of {written.texts:,} texts, {written.width} wide: {output}")


def _report(written: WrittenFeatures, line: str) -> None:
    from bertkit.core.console import note, say

    for warning in written.warnings:
        note(warning)
    say(line)


def _numbers(listed: str) -> list[float]:
    try:
        return [float(number) for number in listed.split(",")]
    except ValueError:
        raise InputError(
            f"weights {listed!r} are no numbers: give one per layer, separated by commas, such as 0.5,0.3,0.2"
        ) from None
