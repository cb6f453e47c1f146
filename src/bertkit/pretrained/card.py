"""The README.md of a model folder: metadata that the hub reads, how the weights came about, programs that load them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bertkit import __version__
from bertkit.core.files import atomic_path
from bertkit.core.lazy import lazy_module
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.formats.table import FORMATS

if TYPE_CHECKING:
    from huggingface_hub import repocard_data as hub_cards
else:
    hub_cards = lazy_module("huggingface_hub.repocard_data")  # half a second that reading a folder does not need

CARD_FILE = "README.md"
_PIPELINES = {
    "BertModel": "feature-extraction",
    "BertForPreTraining": "fill-mask",
    "BertForMaskedLM": "fill-mask",
    "BertForSequenceClassification": "text-classification",
    "BertForTokenClassification": "token-classification",
    "BertForQuestionAnswering": "question-answering",
}
"""The hub's names for what a class does, where it has one."""
_OURS = "bertkit"
_LIBRARIES = ("torch", "tokenizers", "safetensors", "numpy")
Figure = str | int | float


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What only the one who made the model knows."""

    title: str = "A model of bertkit's"
    summary: str = "Written by bertkit, which was not told how the weights came about."
    data: Mapping[str, Figure] = field(default_factory=dict)
    """What the model learned from."""
    training: Mapping[str, Figure] = field(default_factory=dict)
    """Steps and options."""
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Losses and metrics of each set that they were measured on."""

    def write(
        self,
        folder: Path,
        description: ModelDescription,
        parameters: int,
        how_to_load: Mapping[str, str],
        *,
        for_sentences: bool = False,
    ) -> None:
        """Write README.md; see `render`."""
        text = self.render(description, parameters, how_to_load, for_sentences=for_sentences)
        with atomic_path(folder / CARD_FILE) as path:
            path.write_text(text, encoding="utf-8")

    def render(
        self,
        description: ModelDescription,
        parameters: int,
        how_to_load: Mapping[str, str],
        *,
        for_sentences: bool = False,
    ) -> str:
        """The whole file, with the front matter that the hub reads; `how_to_load` has a program for each library."""
        config = asdict(description.config) | {"parameters": parameters}
        if description.labels is not None:
            config["labels"] = ", ".join(description.labels)
        sections = [
            f"---\n{self._metadata(description, for_sentences, how_to_load).to_yaml()}\n---",
            f"# {self.title}",
            self.summary,
            *_section("Data", _table(self.data)),
            *_section("Training", _table(self.training)),
            *_section("Results", _results(self.results)),
            "## How to load it",
            *(f"{library}:\n\n```python\n{program}\n```" for library, program in how_to_load.items()),
            *_section("Configuration", _table({"architecture": description.class_name, **config})),
            *_section("Versions", _table(_versions())),
        ]
        return "\n\n".join(sections) + "\n"

    def _metadata(
        self, description: ModelDescription, for_sentences: bool, how_to_load: Mapping[str, str]
    ) -> hub_cards.ModelCardData:
        library = "sentence-transformers" if for_sentences else "transformers"
        if list(how_to_load) == [_OURS]:
            library = _OURS
        pipeline = "sentence-similarity" if for_sentences else _PIPELINES.get(description.architecture)
        return hub_cards.ModelCardData(
            library_name=library,
            pipeline_tag=pipeline,
            tags=["bertkit", description.config.model_type],
            model_name=self.title if self.results else None,
            eval_results=[
                hub_cards.EvalResult(
                    task_type=pipeline or "other",
                    dataset_type="other",
                    dataset_name=name,
                    dataset_split=name,  # the hub takes results of one split for those of one set, whatever its name
                    metric_type=figure,
                    metric_value=value,
                )
                for name, figures in self.results.items()
                for figure, value in figures.items()
            ]
            or None,
        )


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _table(rows: Mapping[str, object]) -> str:
    return _markdown([["", ""], *([name, _shown(value)] for name, value in rows.items())]) if rows else ""


def _results(results: Mapping[str, Mapping[str, float]]) -> str:
    figures = list(dict.fromkeys(figure for measured in results.values() for figure in measured))
    rows = [
        [name, *(_shown(measured[figure]) if figure in measured else "" for figure in figures)]
        for name, measured in results.items()
    ]
    return _markdown([["measured on", *figures], *rows]) if rows else ""


def _markdown(rows: list[list[str]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [cells[0], ["---"] * len(cells[0]), *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    if isinstance(value, float) and abs(value) >= 1e-3:
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _versions() -> dict[str, str]:
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"bertkit": __version__, "Python": platform.python_version(), **libraries}


_EMBED = 'model.embed(["one text", "another"])  # float32 (2, hidden)'
_CALLS = {
    "BertForPreTraining": 'model.fill_mask("The capital of France is {mask}.")',
    "BertForMaskedLM": 'model.fill_mask("The capital of France is {mask}.")',
    "BertForSequenceClassification": 'model.predict(["one text", "another"])',
    "BertForTokenClassification": 'model.predict(["A text to be tagged."])',
    "BertForQuestionAnswering": 'model.predict([("A question?", "A text that may answer it.")])',
    "BertForMultipleChoice": 'model.predict([("A question?", ["one answer", "another"])])',
}
_SENTENCES = "sentence-transformers (the mean of the last layer's tokens, unless `modules.json` says otherwise)"


def how_to_load(description: ModelDescription) -> dict[str, str]:
    """A program for each library; FOLDER stands for where the folder is."""
    form = FORMATS[description.config.model_type]
    auto = description.class_name.replace(form.class_prefix, "Auto", 1)
    auto = auto if auto == "AutoModel" else auto.replace("Auto", "AutoModel", 1)
    call = _CALLS.get(description.architecture, _EMBED).format(mask=form.mask_token)
    return {
        "bertkit": f'import bertkit\n\nmodel = bertkit.load("FOLDER")\n{call}',
        "Transformers": (
            f"from transformers import AutoTokenizer, {auto}\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\nmodel = {auto}.from_pretrained("FOLDER")'
        ),
        _SENTENCES: (
            "from sentence_transformers import SentenceTransformer\n\n"
            'model = SentenceTransformer("FOLDER")\nmodel.encode(["one text", "another"])'
        ),
    }


def how_to_load_int8(description: ModelDescription) -> dict[str, str]:
    """The program of the only library that reads int8 folders."""
    return {_OURS: how_to_load(description)[_OURS]}


def how_to_load_checkpoint() -> dict[str, str]:
    """Programs that load a TensorFlow checkpoint."""
    return {
        "bertkit": f'import bertkit\n\nmodel = bertkit.load("FOLDER")\n{_EMBED}',
        "TensorFlow": 'import tensorflow as tf\n\nreader = tf.train.load_checkpoint("FOLDER/bert_model.ckpt")',
    }
