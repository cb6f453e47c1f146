import numpy as np
import pytest
import torch

from bertkit.foundation.errors import InputError
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.bert import BertModel
from bertkit.model.config import BertConfig
from bertkit.training.adamw import AdamW
from bertkit.training.freezing import freeze
from bertkit.training.options import OptimizerOptions

CONFIG = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=8,
)


def _frozen(bert: BertModel) -> set[str]:
    names = {name: parameter.requires_grad for name, parameter in bert.named_parameters()}
    parts = {".".join(name.split(".")[: 2 if name.startswith("layers") else 1]) for name in names}
    frozen = {part for part in parts if not any(grad for name, grad in names.items() if name.startswith(part + "."))}
    half = {part for part in parts - frozen if any(not names[name] for name in names if name.startswith(part + "."))}
    assert not half
    return frozen


@pytest.mark.parametrize(
    ("parts", "frozen"),
    [
        ((), set()),
        (("embeddings",), {"embeddings"}),
        (("layers:1",), {"layers.1"}),
        (("layers:0-1",), {"layers.0", "layers.1"}),
        (("embeddings, layers:0-0", "layers:2"), {"embeddings", "layers.0", "layers.2"}),
        (("encoder",), {"embeddings", "layers.0", "layers.1", "layers.2"}),
    ],
)
def test_a_part_is_frozen_whole_and_nothing_else_is(parts: tuple[str, ...], frozen: set[str]):
    bert = BertModel(CONFIG)
    freeze(bert, parts)
    assert _frozen(bert) == frozen


@pytest.mark.parametrize(
    "part", ["layers:3", "layers:0-3", "layers:2-1", "layers", "layers:a", "pooler", "", "embedding"]
)
def test_what_the_model_does_not_have_is_refused(part: str):
    with pytest.raises(InputError, match="freeze"):
        freeze(BertModel(CONFIG), (part,))


def test_frozen_weights_get_no_gradient_and_do_not_change():
    bert = BertModel(CONFIG)
    freeze(bert, ("embeddings", "layers:0-1"))
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    optimizer = AdamW(bert.named_parameters(), OptimizerOptions(learning_rate=0.1, weight_decay=0.1))
    batch = PackedBatch.from_arrays(np.array([1, 2, 3, 4, 5]), np.zeros(5, int), np.array([3, 2]))
    bert(batch).pooler_output.square().sum().backward()
    for name, parameter in bert.named_parameters():
        is_frozen = name.startswith(("embeddings", "layers.0", "layers.1"))
        assert (parameter.grad is None) == is_frozen, name
    optimizer.step(0.1)
    for name, tensor in bert.state_dict().items():
        is_frozen = name.startswith(("embeddings", "layers.0", "layers.1"))
        assert torch.equal(tensor, before[name]) == is_frozen, name
