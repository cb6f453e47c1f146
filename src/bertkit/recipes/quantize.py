"""A model folder to an int8 one: the loss is measured, and layers that lose too much stay in float32.

Each linear layer is tried alone in int8 first, which gives the order; then all are int8, and the worst go back to
float32 one after another until the loss is small enough.
"""
# S sequences, R rows of output, F features.

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from bertkit.core.console import ProgressBar, progress
from bertkit.core.devices import describe_machine
from bertkit.core.errors import InputError
from bertkit.core.files import write_json
from bertkit.core.machine import WeightRange
from bertkit.core.outputs import check_output_folder, output_folder
from bertkit.inference.backends.base import Backend
from bertkit.inference.backends.native import Native
from bertkit.inference.backends.torch_int8 import QuantizedLinear, exact_weight_range, find_linear, put_linear
from bertkit.inference.backends.torch_packed import TorchPacked
from bertkit.inference.engine import Engine
from bertkit.pretrained.card import ModelCard
from bertkit.pretrained.folder import MODEL_FILES, TASK_FILE, ModelFolder, write_model_folder
from bertkit.pretrained.int8 import Int8Weight, encoder_linears
from bertkit.pretrained.models import BertWithHeads
from bertkit.recipes.options import QuantizeOptions
from bertkit.recipes.quantize_check import Check, Outputs, Quality, VectorCheck
from bertkit.recipes.quantize_rounding import observe_inputs, round_weight
from bertkit.recipes.quantize_texts import SENTENCES
from bertkit.tasks.model import TaskModel
from bertkit.text.tokenizer import Tokenizer

RESULT_FILE, REPORT_FILE = "quantization.json", "quantization.html"
_SAMPLE_TOKENS = 4096
"""By which single layers are compared; the whole check decides."""
_MOST_KEPT = 0.5
"""Share of the layers that may stay in float32; with more an int8 model is hardly smaller or faster."""


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """What one linear layer does to the outputs when it alone is int8."""

    layer: str
    """Our name, such as `layers.0.intermediate`."""
    error: float
    """Root of the mean squared difference, as a share of the outputs' own root mean square."""
    is_int8: bool
    """In the folder that was written."""


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """An int8 folder that was written, and what it lost."""

    model: str
    out: Path
    data: str
    """What was measured on."""
    examples: int
    tokens: int
    options: QuantizeOptions
    quality: Quality
    tried: tuple[tuple[int, float], ...]
    """Numbers of layers that stayed in float32, and the points that were lost with them."""
    layers: tuple[LayerError, ...]
    """In the order of the computation."""
    bytes_before: int
    bytes_after: int
    backend: str
    """The speeds' own."""
    rate_before: float
    """Sequences a second of a sample in float32, on this machine."""
    rate_after: float
    """The same in int8."""
    machine: str

    @property
    def kept(self) -> tuple[str, ...]:
        """The layers that stayed in float32."""
        return tuple(one.layer for one in self.layers if not one.is_int8)

    def as_dict(self) -> dict[str, Any]:
        """All figures, as JSON takes them."""
        return {**asdict(self), "out": str(self.out)}


class _SwitchedEncoder:
    """An encoder each of whose linear layers is float32 or int8, as it is told."""

    def __init__(self, module: BertWithHeads | TaskModel, tokenizer: Tokenizer, weight_range: WeightRange) -> None:
        exact = exact_weight_range()
        bert = module.bert
        self._bert = bert
        self._floats: dict[str, nn.Linear] = {}
        self._integers: dict[str, QuantizedLinear] = {}
        self.weights: dict[str, Int8Weight] = {}
        depth = bert.config.num_hidden_layers
        sentences = tokenizer.encode_batch(SENTENCES, max_length=bert.config.max_length)
        check = VectorCheck.of(sentences, depth, "mean")
        moments = observe_inputs(bert, encoder_linears(depth), _Runs(TorchPacked(module), check, streams=1).whole)
        for name in encoder_linears(depth):
            linear = find_linear(bert, name)
            weight = round_weight(linear.weight, moments[name], weight_range)
            self._floats[name], self.weights[name] = linear, weight
            self._integers[name] = QuantizedLinear(weight if weight_range <= exact else weight.narrowed(), linear.bias)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the layers that can be int8."""
        return tuple(self._floats)

    def switch(self, int8: Collection[str]) -> None:
        """Make these layers int8 and the others float32."""
        for name, linear in self._floats.items():
            put_linear(self._bert, name, self._integers[name] if name in int8 else linear)


def quantize(
    folder: ModelFolder,
    module: BertWithHeads | TaskModel,
    tokenizer: Tokenizer,
    check: Check,
    out: Path,
    options: QuantizeOptions,
    *,
    data: str,
    overwrite: bool = False,
) -> QuantizeResult:
    """Write the int8 folder `out` of `module`, which was loaded from `folder`, unless it loses too much by `check`.

    `data` says what the check reads. Raises `InputError`.
    """
    guard: dict[str, Any] = {"own": MODEL_FILES, "what": "a model", "inputs": [folder.path], "overwrite": overwrite}
    check_output_folder(out, **guard)
    if folder.int8 is not None:
        raise InputError(f"{folder.path} is int8 already: give the float32 model that it came from")
    encoder = _SwitchedEncoder(module, tokenizer, options.weight_range)
    runs = _Runs(TorchPacked(module), check)
    with progress("Quantizing", total=2.0 + len(encoder.names), unit="passes") as bar:
        before = runs.whole()
        bar.advance()
        errors = _single_errors(encoder, runs, bar)
        kept, quality, tried = _choose(encoder, runs, before, errors, options, folder, bar)
    int8 = {name: weight for name, weight in encoder.weights.items() if name not in kept}
    with output_folder(out, **guard) as temporary:
        encoder.switch(())
        _write(temporary, folder, module, tokenizer, int8, quality, data)
        written = ModelFolder.open(temporary)
        backend, rate_before, rate_after = _rates(folder, written, encoder, int8, runs)
        result = QuantizeResult(
            model=str(folder.path),
            out=out,
            data=data,
            examples=len(check.sequences),
            tokens=sum(len(sequence) for sequence in check.sequences),
            options=options,
            quality=quality,
            tried=tried,
            layers=tuple(
                LayerError(layer=name.removeprefix("bert."), error=errors[name], is_int8=name not in kept)
                for name in encoder.names
            ),
            bytes_before=sum(parameter.numel() * 4 for parameter in module.parameters()),
            bytes_after=written.weights.stat().st_size,
            backend=backend,
            rate_before=rate_before,
            rate_after=rate_after,
            machine=describe_machine(),
        )
        write_json(temporary / RESULT_FILE, result.as_dict())
    return result


class _Runs:
    """The model's outputs for the whole check, and for a sample of it."""

    def __init__(self, backend: Backend, check: Check, streams: int | None = None) -> None:
        self._engine, self.check = Engine(backend, streams=streams), check
        self._every = range(len(check.sequences))
        lengths = np.array([len(sequence) for sequence in check.sequences])
        spread = np.random.default_rng(0).permutation(len(lengths))
        count = max(1, int(np.searchsorted(np.cumsum(lengths[spread]), _SAMPLE_TOKENS)))
        self._sample = sorted(spread[:count].tolist())

    def whole(self) -> Outputs:
        """Of all sequences (R, F)."""
        return self._run(self._every)

    def sample(self) -> Outputs:
        """Of some."""
        return self._run(self._sample)

    def rate(self) -> float:
        """Sequences of the sample a second, the best of three after one to warm up."""
        seconds = []
        for _ in range(4):
            start = time.monotonic()
            self.sample()
            seconds.append(time.monotonic() - start)
        return len(self._sample) / max(min(seconds[1:]), 1e-9)

    def _run(self, places: Sequence[int]) -> Outputs:
        sequences = [self.check.sequences[place] for place in places]
        return self._engine.rows(sequences, self.check.want, self.check.rows_of(places))


def _rates(
    folder: ModelFolder,
    quantized: ModelFolder,
    encoder: _SwitchedEncoder,
    int8: Collection[str],
    runs: _Runs,
) -> tuple[str, float, float]:
    """A backend, and its sequences a second in float32 and in int8: bertkit's own engine where it is installed."""
    try:
        before, after = Native(folder, "float32"), Native(quantized, "int8")
    except InputError:
        rates = []
        for names in ((), int8):
            encoder.switch(names)
            rates.append(runs.rate())
        return TorchPacked.name, rates[0], rates[1]
    return Native.name, _Runs(before, runs.check).rate(), _Runs(after, runs.check).rate()


def _single_errors(encoder: _SwitchedEncoder, runs: _Runs, bar: ProgressBar) -> dict[str, float]:
    encoder.switch(())
    exact = runs.sample()
    size = float(np.sqrt(np.mean(exact**2))) or 1.0
    errors = {}
    for name in encoder.names:
        encoder.switch((name,))
        errors[name] = float(np.sqrt(np.mean((runs.sample() - exact) ** 2))) / size
        bar.advance()
    return errors


def _choose(
    encoder: _SwitchedEncoder,
    runs: _Runs,
    before: Outputs,
    errors: dict[str, float],
    options: QuantizeOptions,
    folder: ModelFolder,
    bar: ProgressBar,
) -> tuple[frozenset[str], Quality, tuple[tuple[int, float], ...]]:
    """The layers to keep in float32, the quality with them, and what was tried."""
    worst_first = sorted(errors, key=errors.__getitem__, reverse=True)
    tried: list[tuple[int, float]] = []
    for count in _counts(len(worst_first)):
        kept = frozenset(worst_first[:count])
        encoder.switch([name for name in encoder.names if name not in kept])
        quality = runs.check.compare(before, runs.whole())
        tried.append((count, quality.points_lost))
        bar.describe(f"{count} layers in float32: {quality.points_lost:.2f} points lost")
        bar.advance()
        if quality.points_lost <= options.max_loss:
            return kept, quality, tuple(tried)
        bar.expect(len(errors) + 2 + len(tried))
    count, lost = min(tried, key=lambda one: one[1])
    raise InputError(
        f"{folder.path} loses {lost:.2f} points in int8 even with {count} of its {len(errors)} linear layers in "
        f"float32, more than {options.max_loss:g}: nothing was written, allow more with --max-loss or use bf16"
    )


def _counts(layers: int) -> list[int]:
    """How many layers are kept in float32, one try after another: single steps first, then longer ones."""
    most = max(1, int(_MOST_KEPT * layers))
    counts, count = [0], 1
    while count < most:
        counts.append(count)
        count += max(1, count // 3)
    return [*counts, most]


def _write(
    out: Path,
    folder: ModelFolder,
    module: BertWithHeads | TaskModel,
    tokenizer: Tokenizer,
    int8: dict[str, Int8Weight],
    quality: Quality,
    data: str,
) -> None:
    description = folder.description
    figures = {name: value for name, value in asdict(quality).items() if isinstance(value, float)}
    measured = {} if quality.metrics_after is None else quality.metrics_after
    write_model_folder(
        out,
        module,
        folder.config,
        architecture=description.architecture,
        labels=description.labels,
        problem_type=description.problem_type,
        sentences=folder.sentences,
        int8=int8,
        card=ModelCard(
            title=f"{folder.path.resolve().name} in int8",
            summary=f"Quantized by bertkit from {folder.weights.name}; `{RESULT_FILE}` says what it lost.",
            results={Path(data).name: {**measured, **figures}},
        ),
    )
    config = folder.config
    tokenizer.save_pretrained(out, max_length=config.max_length, token_types=config.type_vocab_size > 0)
    if folder.task is not None:
        shutil.copy(folder.path / TASK_FILE, out)
