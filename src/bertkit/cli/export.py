"""`bertkit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def export(
    model: str,
    /,
    *,
    out: Path,
    to: tuple[Literal["onnx", "openvino"], ...] = ("onnx",),
    precision: tuple[Literal["float32", "int8"], ...] = ("float32",),
    head: Literal["embeddings", "fill-mask", "task"] | None = None,
    narrow: bool = True,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a model for other runtimes: graphs in ONNX or OpenVINO's format, and what their readers want beside them.

    Parameters
    ----------
    model
        Model folder or hub name.
    out
        New folder. sentence-transformers, ONNX Runtime, OpenVINO, fastembed, TEI and transformers.js read it.
    to
        onnx: onnx/model.onnx, in int8 onnx/model_quantized.onnx; openvino: openvino/openvino_model.xml, in int8
        openvino/openvino_model_qint8_quantized.xml. Give the option twice for both.
    precision
        float32, int8 or, given twice, both. In int8 every token has a scale of its own, so that no text changes
        another's result.
    head
        embeddings: vectors; fill-mask: words for [MASK]; task: what it was fine-tuned for. Unless given, what the
        folder's class says.
    narrow
        Keep int8 weights of ONNX graphs within 63, so that they are exact on CPUs without VNNI too; --no-narrow takes
        all 8 bits.
    overwrite
        Replace the exported model that is in --out.
    """
    from bertkit.core.console import say
    from bertkit.inference.export.export import export as export_folder

    say(str(export_folder(model, out, to=to, precision=precision, head=head, narrow=narrow, overwrite=overwrite)))
