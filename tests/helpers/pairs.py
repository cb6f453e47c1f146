"""A model of Transformers and ours with the same random weights, and inputs for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import transformers
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import bertkit.hf
from bertkit.core.batch import PackedBatch

IGNORED = -100
CLASSES = (
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
)
BOUNDS = {"float32": 1e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Case:
    """Sizes, lengths and a seed; all else follows from them."""

    layers: int
    heads: int
    head_size: int
    intermediate: int
    hidden_act: str
    spread: float
    """Deviation of a matrix's outputs for inputs of deviation 1: BERT-base starts with 0.55 and ends near 1.1."""
    lengths: tuple[int, ...]
    pairs: bool
    seed: int

    @property
    def deviation(self) -> float:
        return self.spread / (self.heads * self.head_size) ** 0.5

    def config(self, **changes: Any) -> transformers.BertConfig:
        return transformers.BertConfig(
            **{
                "vocab_size": 97,
                "hidden_size": self.heads * self.head_size,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "intermediate_size": self.intermediate,
                "hidden_act": self.hidden_act,
                "max_position_embeddings": max(self.lengths),
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "initializer_range": self.deviation,
                "attn_implementation": "eager",
            }
            | changes
        )


@st.composite
def cases(draw: st.DrawFn, layers: int = 4) -> Case:
    """Configurations of every size, and one or two segments in each of some ragged sequences.

    The least width is 8: the norm of two or three numbers leaves almost nothing of a gradient but rounding.
    """
    return Case(
        layers=draw(st.integers(1, layers)),
        heads=draw(st.integers(1, 6)),
        head_size=draw(st.integers(8, 20)),
        intermediate=draw(st.integers(1, 90)),
        hidden_act=draw(st.sampled_from(["gelu", "gelu_new"])),
        spread=draw(st.sampled_from([0.3, 0.55, 1.1])),
        lengths=tuple(draw(st.lists(st.one_of(st.integers(1, 70), st.integers(71, 300)), min_size=2, max_size=6))),
        pairs=draw(st.booleans()),
        seed=draw(st.integers(0, 2**31)),
    )


@dataclass(frozen=True)
class Inputs:
    """Padded arguments with their labels, the same sequences packed, and which places are tokens (B, S)."""

    padded: dict[str, Tensor]
    labels: dict[str, Tensor]
    packed: PackedBatch
    is_token: Tensor


def inputs(case: Case, name: str) -> Inputs:
    """Random tokens, none of them the padding entry, which Transformers does not train."""
    draw = torch.Generator().manual_seed(case.seed)
    lengths = torch.tensor(case.lengths)
    rows, columns = len(lengths), int(lengths.max())
    is_token = torch.arange(columns) < lengths[:, None]
    ids = torch.randint(1, 97, (rows, columns), generator=draw) * is_token
    first = (torch.rand(rows, generator=draw) * lengths).long()[:, None]
    types = ((torch.arange(columns) > first) & is_token).long() * case.pairs
    padded = {"input_ids": ids, "attention_mask": is_token.long(), "token_type_ids": types}
    return Inputs(padded, _labels(name, case, ids, is_token, draw), packed(padded), is_token)


def packed(padded: Mapping[str, Tensor]) -> PackedBatch:
    """The tokens of arguments that are padded at the end."""
    is_token = padded["attention_mask"].bool()
    rows, columns = is_token.shape
    lengths = is_token.sum(1)
    bounds = F.pad(lengths.cumsum(0), (1, 0)).int()
    positions = torch.arange(columns).expand(rows, columns)
    ids, types = padded["input_ids"], padded["token_type_ids"]
    return PackedBatch(ids[is_token], types[is_token], positions[is_token], bounds, lengths.numpy())


def _labels(name: str, case: Case, ids: Tensor, is_token: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
    rows, columns = ids.shape
    chosen = (torch.rand(rows, columns, generator=draw) < 0.3) & is_token
    chosen[0, 0] = True
    match name:
        case "BertForPreTraining":
            order = torch.randint(2, (rows,), generator=draw)
            return {"labels": torch.where(chosen, ids, IGNORED), "next_sentence_label": order}
        case "BertForMaskedLM":
            return {"labels": torch.where(chosen, ids, IGNORED)}
        case "BertForNextSentencePrediction":
            return {"labels": torch.randint(2, (rows,), generator=draw)}
        case "BertForSequenceClassification":
            return {"labels": torch.randint(3, (rows,), generator=draw)}
        case "BertForTokenClassification":
            labels = torch.randint(3, (rows, columns), generator=draw)
            return {"labels": torch.where(is_token, labels, IGNORED)}
        case "BertForQuestionAnswering":
            spots = (torch.rand(2, rows, generator=draw) * torch.tensor(case.lengths)).long()
            return {"start_positions": spots[0], "end_positions": spots[1]}
        case "BertForMultipleChoice":
            return {"labels": torch.randint(rows, (1,), generator=draw)}
    raise AssertionError(name)


def models(case: Case, name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Transformers' model and bertkit.hf's of one class, with the same weights."""
    torch.manual_seed(case.seed)
    config = case.config(num_labels=2 if name == "BertForQuestionAnswering" else 3)
    theirs = getattr(transformers, name)(config)
    for parameter in theirs.parameters():  # biases are 0 and norms 1 at the start, which would hide mistakes
        if parameter.ndim == 1:
            nn.init.normal_(parameter, float(parameter.detach().mean()), case.deviation)
    ours = getattr(bertkit.hf, name)(config)
    ours.load_state_dict(theirs.state_dict())
    return theirs.to(dtype).eval(), ours.to(dtype).eval()


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest value; 0 where both are 0."""
    difference = float((found.detach().double() - expected.detach().double()).abs().max())
    return difference / float(expected.detach().double().abs().max()) if difference else 0.0


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter's gradient.

    Some biases add the same to all entries of a softmax: the key's to the scores of a query, the last ones to those of
    all choices or columns. Their gradient is 0, and what is found in its place is rounding, which cannot be compared
    on its own: the key's is taken together with the query's and the value's, the others with the weights beside them.
    """
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    for name in [name for name in found if name.endswith("self.key.bias")]:
        _join(
            found, name.replace("key", "query_key_value"), [name.replace("key", p) for p in ("query", "key", "value")]
        )
    kind = type(model).__name__
    if kind == "BertForMultipleChoice":
        join_zeros(found, ["classifier"])
    if kind == "BertForQuestionAnswering":
        layers = model.get_submodule("bert.encoder.layer")
        assert isinstance(layers, nn.ModuleList)
        join_zeros(found, ["qa_outputs", f"bert.encoder.layer.{len(layers) - 1}.output.LayerNorm"])
    return found


def join_zeros(tensors: dict[str, Tensor], layers: list[str]) -> None:
    """Take the weights and the biases of `layers` together."""
    for name in layers:
        _join(tensors, name, [f"{name}.weight", f"{name}.bias"])


def _join(tensors: dict[str, Tensor], name: str, parts: list[str]) -> None:
    tensors[name] = torch.cat([tensors.pop(part).flatten() for part in parts])


def as_vector(tensors: dict[str, Tensor], like: dict[str, Tensor]) -> Tensor:
    """All numbers one after another, in the order of `like`."""
    return torch.cat([tensors[name].flatten() for name in like])


def split_rows(packed: Tensor, batch: PackedBatch) -> list[Tensor]:
    """A packed tensor's rows, a sequence each."""
    return [packed[start:end] for start, end in pairwise(batch.cu_seqlens.tolist())]
