"""Export of a model folder: graphs for other runtimes, in a folder that their readers take as it is.

Of those, sentence-transformers, TEI and transformers.js look for `onnx/model.onnx`, transformers.js for
`onnx/model_quantized.onnx`, sentence-transformers and optimum-intel for `openvino/openvino_model.xml`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from bertkit.core.arguments import checked
from bertkit.core.checksums import SUMS_FILE, write_sums
from bertkit.core.errors import InputError
from bertkit.core.files import write_json
from bertkit.core.lazy import import_working, is_installed
from bertkit.core.outputs import output_folder
from bertkit.inference.loaded_model import check_vocabulary_size
from bertkit.pretrained.card import CARD_FILE
from bertkit.pretrained.config_json import CONFIG_FILE, ModelDescription
from bertkit.pretrained.folder import TASK_FILE, ModelFolder
from bertkit.pretrained.int8 import FULL_RANGE, NARROW_RANGE
from bertkit.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bertkit.inference.export.write_graph import GraphInfo

Target = Literal["onnx", "openvino"]
ExportPrecision = Literal["float32", "int8"]
ExportHead = Literal["embeddings", "fill-mask", "task"]

GRAPH_FILES: dict[tuple[Target, ExportPrecision], str] = {
    ("onnx", "float32"): "onnx/model.onnx",
    ("onnx", "int8"): "onnx/model_quantized.onnx",
    ("openvino", "float32"): "openvino/openvino_model.xml",
    ("openvino", "int8"): "openvino/openvino_model_qint8_quantized.xml",
}
"""Where readers look for a graph, by runtime and precision."""
_OWN = ("*.json", "*.txt", "README.md", SUMS_FILE, "onnx", "openvino", "1_Pooling", "2_Normalize")
_HEADS: dict[str, ExportHead] = {
    "BertModel": "embeddings",
    "BertForMaskedLM": "fill-mask",
    "BertForPreTraining": "fill-mask",
}
"""What is exported of classes that have no task."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written: the folder, the class that its `config.json` names, and its graphs."""

    folder: Path
    class_name: str
    graphs: tuple[Path, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    size: int
    """Bytes of all graphs."""

    def __str__(self) -> str:
        files = ", ".join(str(path.relative_to(self.folder)) for path in self.graphs)
        return (
            f"{self.folder}: {self.class_name}, {files} ({self.size / 2**20:,.0f} MiB), "
            f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"
        )


def need(package: str, extra: str) -> None:
    """Raise `InputError` where an optional package is missing or damaged."""
    if not is_installed(package):
        raise InputError(f'the package {package} is missing: pip install "bertkit[{extra}]"')
    import_working(package)


@checked
def export(
    model: str | Path,
    out: str | Path,
    *,
    to: Target | Sequence[Target] = "onnx",
    precision: ExportPrecision | Sequence[ExportPrecision] = "float32",
    head: ExportHead | None = None,
    narrow: bool = True,
    overwrite: bool = False,
) -> ExportReport:
    """Write the model folder or hub name `model` to the new folder `out` for other runtimes.

    There is a graph for every runtime of `to` in every `precision`. `head` is what the graph computes beside hidden
    states: vectors of texts ("embeddings"), words ("fill-mask") or what the model was fine-tuned for ("task"); unless
    given, what the folder's class says. `narrow` keeps the int8 weights of ONNX graphs within 63: their products are
    then exact on CPUs without VNNI too. `overwrite` replaces an exported model that is in `out`. Raises `InputError`.
    """
    targets, precisions = (
        _chosen(to, "to", get_args(Target)),
        _chosen(precision, "precision", get_args(ExportPrecision)),
    )
    for target in targets:
        need("onnx", target)
        if target == "openvino":
            need("openvino", "openvino")
    from bertkit.inference.export.write_graph import write_graph  # noqa: PLC0415  needs an extra

    folder, out = ModelFolder.open(model), Path(out)
    description, outputs = _head(folder, head)
    weight_range = NARROW_RANGE if narrow else FULL_RANGE
    with output_folder(out, own=_OWN, what="an exported model", inputs=[folder.path], overwrite=overwrite) as temporary:
        _write_beside(temporary, folder, description)
        graphs: list[GraphInfo] = []
        for chosen in precisions:
            if "onnx" in targets:
                path = temporary / GRAPH_FILES["onnx", chosen]
                graphs.append(write_graph(folder, path, precision=chosen, outputs=outputs, weight_range=weight_range))
            if "openvino" in targets:
                from bertkit.inference.export.openvino import write_openvino  # noqa: PLC0415  needs an extra

                path = temporary / GRAPH_FILES["openvino", chosen]
                graphs.append(write_openvino(folder, path, precision=chosen, outputs=outputs))
        write_sums(temporary)
        return ExportReport(
            folder=out,
            class_name=description.class_name,
            graphs=tuple(out / each.path.relative_to(temporary) for each in graphs),
            inputs=graphs[0].inputs,
            outputs=graphs[0].outputs,
            size=sum(each.size for each in graphs),
        )


ChoiceT = TypeVar("ChoiceT", bound=str)


def _chosen(given: ChoiceT | Sequence[ChoiceT], what: str, known: tuple[ChoiceT, ...]) -> tuple[ChoiceT, ...]:
    """One or several of what is known, each once."""
    values: Sequence[ChoiceT] = [given] if isinstance(given, str) else given
    if not values:
        raise InputError(f"{what} names nothing: give {' or '.join(known)}")
    for value in values:
        if value not in known:
            raise InputError(f"{what} {value!r} is unknown: use {' or '.join(known)}")
    return tuple(dict.fromkeys(values))


def _head(folder: ModelFolder, head: ExportHead | None) -> tuple[ModelDescription, tuple[str, ...]]:
    """What `config.json` says of the exported model, and the outputs of its graphs."""
    description = folder.description
    if head is None:
        head = _HEADS.get(folder.architecture, "task")
    if head == "embeddings":
        outputs = ("last_hidden_state",) if folder.sentences is None else ("last_hidden_state", "sentence_embedding")
        return ModelDescription(config=folder.config), outputs
    if head == "fill-mask":
        if not folder.holds("masked_lm.bias"):
            raise InputError(f"{folder.path} holds {description.class_name}, which has no head that fills in words")
        return replace(description, architecture="BertForMaskedLM"), ("logits",)
    if folder.architecture in _HEADS:
        raise InputError(
            f"{folder.path} holds {description.class_name}, which has no head of a task: fine-tune it first, or export "
            f"it with --head {_HEADS[folder.architecture]}"
        )
    if folder.architecture == "BertForQuestionAnswering":
        return description, ("start_logits", "end_logits")
    return description, ("logits",)


def _write_beside(target: Path, folder: ModelFolder, description: ModelDescription) -> None:
    """Write what readers want beside a graph: configuration, tokenizer, how texts become vectors, the task."""
    config, sentences = folder.config, folder.sentences
    description.write(target / CONFIG_FILE)
    longest = config.max_length
    if sentences is not None and description.architecture == "BertModel":
        longest = min(longest, sentences.max_length or longest)
        if sentences.unsupported is not None:
            raise InputError(
                f"{folder.path} makes vectors by {sentences.unsupported}, which bertkit does not compute: remove "
                "modules.json to export the encoder alone"
            )
        if sentences.pooling != "pooler":
            replace(sentences, max_length=longest).write(target, config.hidden_size)
    tokenizer = Tokenizer.from_pretrained(folder.path)
    check_vocabulary_size(folder.path, tokenizer.vocab_size, config.vocab_size)
    # Readers that know no modules.json cut texts at the tokenizer's length.
    tokenizer.save_pretrained(target, max_length=longest, token_types=config.type_vocab_size > 1)
    special = tokenizer.special_tokens
    names = {"cls": special.cls, "sep": special.sep, "pad": special.pad, "unk": special.unk, "mask": special.mask}
    write_json(target / "special_tokens_map.json", {f"{name}_token": token for name, token in names.items()})
    if folder.task is not None and description == folder.description:
        shutil.copy(folder.path / TASK_FILE, target)
    if (folder.path / CARD_FILE).is_file():
        shutil.copy(folder.path / CARD_FILE, target)
