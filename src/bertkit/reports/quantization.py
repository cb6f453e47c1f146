"""The page of a quantization: what int8 lost, by which layers, and what it gained."""

from __future__ import annotations

import shlex
from pathlib import Path

from bertkit.recipes.quantize import RESULT_FILE, QuantizeResult
from bertkit.recipes.quantize_check import Quality
from bertkit.reports.page import Commands, Fact, Paragraph, Report, Section, Table

_NAMES = {
    "agreement": "same predictions",
    "mean_cosine": "cosine to float32, mean",
    "cosine_of_worst_percent": "cosine to float32, mean of the worst 1 %",
    "least_cosine": "cosine to float32, least",
    "rank_agreement": "rank agreement (Spearman) of the similarities of all pairs",
    "same_neighbours": "the ten nearest texts that stay the same",
}


def quality_rows(quality: Quality) -> list[tuple[str, str, str]]:
    """Figures as (name, in float32, in int8); the middle one is empty where only int8 has one."""
    rows = []
    before, after = quality.metrics_before or {}, quality.metrics_after or {}
    for name, value in before.items():
        rows.append((name.replace("_", " "), f"{value:.4f}", f"{after[name]:.4f}"))
    for field, name in _NAMES.items():
        value = getattr(quality, field)
        if value is not None:
            rows.append((name, "", f"{value:.5f}" if "cosine" in field else f"{value:.4f}"))
    return rows


def quantization_page(result: QuantizeResult) -> Report:
    """Lay out what `bertkit quantize` found."""
    quality, options = result.quality, result.options
    kept = len(result.kept)
    rates = (result.rate_before, result.rate_after)
    given = shlex.quote(str(result.out))
    tried = [(f"{count}", f"{lost:.2f}") for count, lost in result.tried]
    layers = [(one.layer, f"{one.error:.5f}", "int8" if one.is_int8 else "float32") for one in result.layers]
    return Report(
        title=f"{Path(result.out).resolve().name}, an int8 model",
        lead=(
            f"Made from {result.model}: {len(result.layers) - kept} of {len(result.layers)} linear layers are int8. "
            f"Measured on {result.data}: "
            f"{result.examples:,} sequences, {result.tokens:,} tokens."
        ),
        facts=[
            Fact(value=f"{quality.points_lost:.2f}", label=f"points lost, of {options.max_loss:g} allowed"),
            Fact(value=f"{kept}", label="layers kept in float32"),
            Fact(value=f"{result.bytes_after / result.bytes_before:.0%}", label="of the float32 weights' size"),
            Fact(value=f"{rates[1] / rates[0]:.1f}x", label=f"float32's speed here, backend {result.backend}"),
        ],
        sections=[
            Section(
                title="Quality",
                blocks=[Table(head=("", "float32", "int8"), rows=quality_rows(quality), text_columns=1)],
            ),
            Section(
                title="Layers",
                blocks=[
                    Paragraph(
                        text="What each linear layer adds when it alone is int8: root mean square of the change, as a "
                        "share of the outputs'. The worst go back to float32 first."
                    ),
                    Table(head=("layer", "error", "in the model"), rows=layers),
                    Table(head=("layers in float32", "points lost"), rows=tried, caption="What was tried, in order."),
                ],
            ),
            Section(
                title="What to type next",
                blocks=[
                    Commands(
                        text=f"bertkit embed {given} --input TEXTS --output vectors.npy"
                        if quality.metrics_after is None
                        else f"bertkit predict {given} --input NEW --output predictions.jsonl"
                    )
                ],
            ),
        ],
        footer=(
            f"Written by `bertkit quantize` on {result.machine}; {rates[0]:,.0f} and {rates[1]:,.0f} sequences/s in "
            f"float32 and int8 there, by the backend {result.backend}. All figures are in `{RESULT_FILE}`."
        ),
    )
