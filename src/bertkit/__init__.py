"""BERT from raw text to a working model.

What a program needs, in the order of its work; the command line calls the same functions:

- text: `train_tokenizer`, `Tokenizer`, `prepare`, `prepare_static`, `prepare_part`, `merge_parts`, `examine_corpus`
- pre-training: `pretrain_options`, `pretrain`, `describe_run`, `plan_run`
- fine-tuning: `read_tables` or `read_benchmark`, `finetune`, `evaluate`
- a model at work: `load`, which gives a `Predictor`; `quantize`, `convert`, `export`, `describe_model`,
  `ParameterCounts`
- the model as a torch module: `BertConfig`, `ModernBertConfig`, `PRESETS`, `MODERN_PRESETS`, `BertModel`,
  `BertWithHeads`, `PackedBatch`

Options are frozen dataclasses, checked when they are made; results are typed objects; errors are kinds of
`BertkitError`, of which `bertkit.core.errors` has the tree. Names load on first use, so that `import bertkit` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertkit.api import evaluate, examine_corpus, finetune, pretrain, quantize, read_benchmark, read_tables
    from bertkit.core.batch import PackedBatch
    from bertkit.core.errors import (
        BertkitError,
        DivergedError,
        InputError,
        MemoryLimitError,
        RankError,
        ResourceError,
    )
    from bertkit.core.workers import EngineOptions, MachineShard
    from bertkit.data.corpus.manifest import Manifest
    from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
    from bertkit.data.corpus.parts import merge_parts, prepare_part
    from bertkit.data.corpus.prepare import prepare
    from bertkit.data.corpus.train_tokenizer import train_tokenizer
    from bertkit.data.instances.google_files import InstanceManifest, prepare_static
    from bertkit.data.instances.options import InstanceOptions, MaskingOptions, StageOptions, StaticOptions
    from bertkit.inference.convert import convert
    from bertkit.inference.export.export import export
    from bertkit.inference.load import load
    from bertkit.inference.predictor import Predictor
    from bertkit.model.config import MODERN_PRESETS, PRESETS, BertConfig, ModernBertConfig
    from bertkit.model.size import ParameterCounts
    from bertkit.pretrained.models import BertModel, BertWithHeads, describe_model
    from bertkit.recipes.estimate import Estimate, describe_run, plan_run
    from bertkit.recipes.finetune_result import FinetuneResult
    from bertkit.recipes.grid import GridResult
    from bertkit.recipes.options import (
        PAPER_GRID,
        FinetuneOptions,
        GridOptions,
        MachineCost,
        PretrainOptions,
        QuantizeOptions,
    )
    from bertkit.recipes.pretrain import PretrainResult
    from bertkit.recipes.pretrain_options import pretrain_options
    from bertkit.recipes.quantize import QuantizeResult
    from bertkit.reports.corpus import CorpusExamination
    from bertkit.reports.evaluation.evaluated import Evaluated
    from bertkit.tasks.data import TaskData
    from bertkit.tasks.options import TableOptions, TaskOptions
    from bertkit.text.tokenizer import Tokenizer
    from bertkit.training.options import OptimizerOptions, TrainingOptions

_NAMES = {
    "api": ["evaluate", "examine_corpus", "finetune", "pretrain", "quantize", "read_benchmark", "read_tables"],
    "core.batch": ["PackedBatch"],
    "core.errors": ["BertkitError", "DivergedError", "InputError", "MemoryLimitError", "RankError", "ResourceError"],
    "core.workers": ["EngineOptions", "MachineShard"],
    "data.corpus.manifest": ["Manifest"],
    "data.corpus.options": ["CorpusOptions", "DuplicateOptions", "PrepareOptions"],
    "data.corpus.parts": ["merge_parts", "prepare_part"],
    "data.corpus.prepare": ["prepare"],
    "data.corpus.train_tokenizer": ["train_tokenizer"],
    "data.instances.google_files": ["InstanceManifest", "prepare_static"],
    "data.instances.options": ["InstanceOptions", "MaskingOptions", "StageOptions", "StaticOptions"],
    "inference.convert": ["convert"],
    "inference.export.export": ["export"],
    "inference.load": ["load"],
    "inference.predictor": ["Predictor"],
    "model.config": ["MODERN_PRESETS", "PRESETS", "BertConfig", "ModernBertConfig"],
    "model.size": ["ParameterCounts"],
    "pretrained.models": ["BertModel", "BertWithHeads", "describe_model"],
    "recipes.estimate": ["Estimate", "describe_run", "plan_run"],
    "recipes.finetune_result": ["FinetuneResult"],
    "recipes.grid": ["GridResult"],
    "recipes.options": [
        "PAPER_GRID",
        "FinetuneOptions",
        "GridOptions",
        "MachineCost",
        "PretrainOptions",
        "QuantizeOptions",
    ],
    "recipes.pretrain": ["PretrainResult"],
    "recipes.pretrain_options": ["pretrain_options"],
    "recipes.quantize": ["QuantizeResult"],
    "reports.corpus": ["CorpusExamination"],
    "reports.evaluation.evaluated": ["Evaluated"],
    "tasks.data": ["TaskData"],
    "tasks.options": ["TableOptions", "TaskOptions"],
    "text.tokenizer": ["Tokenizer"],
    "training.options": ["OptimizerOptions", "TrainingOptions"],
}
"""The public names by the module that has them, for `__getattr__`; `__all__` is the same for tools that only read."""
_HOMES = {name: f"bertkit.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "MODERN_PRESETS",
    "PAPER_GRID",
    "PRESETS",
    "BertConfig",
    "BertModel",
    "BertWithHeads",
    "BertkitError",
    "CorpusExamination",
    "CorpusOptions",
    "DivergedError",
    "DuplicateOptions",
    "EngineOptions",
    "Estimate",
    "Evaluated",
    "FinetuneOptions",
    "FinetuneResult",
    "GridOptions",
    "GridResult",
    "InputError",
    "InstanceManifest",
    "InstanceOptions",
    "MachineCost",
    "MachineShard",
    "Manifest",
    "MaskingOptions",
    "MemoryLimitError",
    "ModernBertConfig",
    "OptimizerOptions",
    "PackedBatch",
    "ParameterCounts",
    "Predictor",
    "PrepareOptions",
    "PretrainOptions",
    "PretrainResult",
    "QuantizeOptions",
    "QuantizeResult",
    "RankError",
    "ResourceError",
    "StageOptions",
    "StaticOptions",
    "TableOptions",
    "TaskData",
    "TaskOptions",
    "Tokenizer",
    "TrainingOptions",
    "convert",
    "describe_model",
    "describe_run",
    "evaluate",
    "examine_corpus",
    "export",
    "finetune",
    "load",
    "merge_parts",
    "plan_run",
    "prepare",
    "prepare_part",
    "prepare_static",
    "pretrain",
    "pretrain_options",
    "quantize",
    "read_benchmark",
    "read_tables",
    "train_tokenizer",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
