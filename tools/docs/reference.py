"""The reference: pages of the public names by area, of the types in their signatures, and of the command line.

Which names there are is what `bertkit.__all__` says, so none can be left out; what is said of them is read from the
source files by griffe, without importing torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import griffe
from griffe import Alias, Class, Expr, ExprName, Module, Object

import bertkit
from bertkit.cli.main import build_app


@dataclass(frozen=True, kw_only=True)
class Area:
    """A page of public names."""

    page: str
    title: str
    lead: str
    names: tuple[str, ...]


_AREAS = (
    Area(
        page="data",
        title="Data",
        lead="From text files to memory-mapped shards of token ids; the guide is [Data](../data.md).",
        names=(
            *("train_tokenizer", "prepare", "prepare_static", "prepare_part", "merge_parts", "examine_corpus"),
            *("Manifest", "InstanceManifest", "MachineShard", "CorpusExamination"),
        ),
    ),
    Area(
        page="training",
        title="Training",
        lead="Runs as the command line starts them; the guides are [Pre-training](../pretraining.md) and "
        "[Fine-tuning](../fine-tuning.md).",
        names=(
            *("pretrain_options", "pretrain", "describe_run", "plan_run", "PretrainResult", "Estimate", "MachineCost"),
            *("read_tables", "read_benchmark", "finetune", "evaluate", "TaskData", "FinetuneResult", "GridResult"),
            *("Evaluated", "PAPER_GRID"),
        ),
    ),
    Area(
        page="inference",
        title="Inference",
        lead="A model folder, opened and asked; the guides are [Inference](../inference.md), [int8](../int8.md), "
        "[Features](../features.md) and [Export](../export.md).",
        names=(
            *("load", "Predictor", "quantize", "QuantizeResult", "convert", "export"),
            *("describe_model", "ParameterCounts"),
        ),
    ),
    Area(
        page="tokenizer",
        title="Tokenizer",
        lead="Text to token ids and back; the guide is [Tokenisation](../tokenisation.md).",
        names=("Tokenizer",),
    ),
    Area(
        page="model",
        title="Model",
        lead="The network itself, over batches without padding; the guide is [Weights](../weights.md).",
        names=(
            *("BertConfig", "ModernBertConfig", "PRESETS", "MODERN_PRESETS"),
            *("BertModel", "BertWithHeads", "PackedBatch"),
        ),
    ),
    Area(page="options", title="Options", lead="What decides a run, checked when it is made.", names=()),
    Area(
        page="errors",
        title="Errors",
        lead="What can go wrong, by what you can do about it; the command line prints these as one line.",
        names=(*("BertkitError", "InputError", "ResourceError", "MemoryLimitError", "RankError", "DivergedError"),),
    ),
)
_SHOWN = "::: {path}\n    options:\n      heading_level: 2\n"


def reference_pages(source: Path) -> dict[str, str]:
    """File name to text of every page of the reference."""
    package = griffe.load("bertkit", search_paths=[source])
    assert isinstance(package, Module)
    placed = _placed(_public_names(package))
    pages, index = (
        {},
        ["# Python API\n", "Everything here is imported from `bertkit` itself, and loads on first use.\n"],
    )
    for area in _AREAS:
        names = placed[area.page]
        body = [_SHOWN.format(path=f"bertkit.{name}") for name in names]
        pages[f"reference/{area.page}.md"] = "\n".join([f"# {area.title}\n", f"{area.lead}\n", *body])
        if names:
            index += [f"## {area.title}\n", "| name | what it is |\n| --- | --- |"]
            index += [f"| [`{name}`]({area.page}.md#bertkit.{name}) | {_summary(package[name])} |" for name in names]
            index.append("")
    types = _met_types(package, [name for names in placed.values() for name in names])
    lead = "What the signatures of the public names speak of. These are imported from where their headings say."
    body = [_SHOWN.format(path=one.path) for one in types]
    pages["reference/types.md"] = "\n".join(["# Types in signatures\n", f"{lead}\n", *body])
    index += ["Results, parts of options and other types are on [Types in signatures](types.md)."]
    pages["reference/index.md"] = "\n".join(index) + "\n"
    pages["reference/command-line.md"] = _command_line()
    return pages


def _public_names(package: Module) -> list[str]:
    names = [name for name in bertkit.__all__ if not name.startswith("__")]
    for name in names:
        if name not in package.members:
            sys.exit(f"docs: bertkit.{name} is in __all__, but its import under TYPE_CHECKING is missing")
        if not package[name].has_docstring:
            sys.exit(f"docs: bertkit.{name} has no docstring")
    return names


def _placed(names: list[str]) -> dict[str, list[str]]:
    """Names of each area, in its own order; those of no area by what they end with."""
    areas = {name: area.page for area in _AREAS for name in area.names}
    placed: dict[str, list[str]] = {area.page: [] for area in _AREAS}
    for name in sorted(names, key=lambda name: (list(areas).index(name) if name in areas else len(areas), name)):
        page = areas.get(name) or (
            "options" if name.endswith("Options") else "errors" if name.endswith("Error") else ""
        )
        if not page:
            sys.exit(
                f"docs: bertkit.{name} is on no page of the reference: add it to an area in tools/docs/reference.py"
            )
        placed[page].append(name)
    return placed


def _summary(item: Object | Alias) -> str:
    assert item.docstring is not None
    return " ".join(item.docstring.value.split("\n\n")[0].split())


def _met_types(package: Module, names: list[str]) -> list[Object]:
    """Types of bertkit in the signatures of public names, what results and options are made of, and results' kinds."""
    public = [_target(package[name]) for name in names]
    met = {item.path: item for item in public}
    waiting = list(public)
    while waiting:
        item = waiting.pop(0)
        for found in _spoken_of(item, package):
            if found.path not in met:
                met[found.path] = found
                if _is_transparent(found):
                    waiting.append(found)
    return [item for path, item in sorted(met.items()) if item not in public]


def _is_transparent(item: Object) -> bool:
    """Whether its own fields are of interest, too: those of options and predictions are."""
    return item.is_class and item.name.endswith(("Options", "Prediction", "Result"))


def _spoken_of(item: Object, package: Module) -> Iterator[Object]:
    if isinstance(item, Class) and item.name == "Prediction":
        yield from (one for one in _classes(package) if "Prediction" in [str(base) for base in one.bases])
    for part in [item, *(item.members.values() if item.is_class else ())]:
        if part.is_alias or (part is not item and part.name.startswith("_")):
            continue
        annotations = [getattr(part, "annotation", None), getattr(part, "returns", None)]
        annotations += [parameter.annotation for parameter in getattr(part, "parameters", ())]
        for annotation in annotations:
            if isinstance(annotation, Expr):
                for name in annotation.iterate(flat=True):
                    if isinstance(name, ExprName) and name.canonical_path.startswith("bertkit."):
                        found = _target(package[name.canonical_path.removeprefix("bertkit.")])
                        if found.has_docstring or found.is_attribute:
                            yield found


def _classes(module: Module) -> Iterator[Class]:
    for member in module.members.values():
        if isinstance(member, Class):
            yield member
        elif isinstance(member, Module):
            yield from _classes(member)


def _target(item: Object | Alias) -> Object:
    return item.final_target if isinstance(item, Alias) else item


def _command_line() -> str:
    text = build_app().generate_docs(output_format="markdown")
    start, commands = text.index("## Table of Contents"), text.index("**Commands**:")
    return text[:start].replace("# bertkit\n", "# Command line\n", 1) + text[commands:]
