"""What users do to the insides of a model."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bertkit.hf import BertForMaskedLM, BertForSequenceClassification, BertModel
from bertkit.hf.outputs import DeferredTensor


class _LowRank(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.in_features, 2, bias=False)
        self.up = nn.Linear(2, linear.out_features, bias=False)

    def forward(self, hidden):
        return self.linear(hidden) + self.up(self.down(hidden))


@pytest.mark.parametrize("columns", [4, 20], ids=["fewer rows than the width", "more"])
def test_a_part_put_in_the_querys_place_is_used(config, columns: int):
    model = BertModel(config).eval()
    ids = torch.ones(2, columns, dtype=torch.long)
    plain = model(ids).last_hidden_state
    attention = model.encoder.layer[1].attention.self
    attention.query = _LowRank(attention.query)
    nn.init.zeros_(attention.query.up.weight)
    torch.testing.assert_close(model(ids).last_hidden_state, plain)
    nn.init.ones_(attention.query.up.weight)
    model(ids).last_hidden_state[..., 0].sum().backward()
    assert attention.query.down.weight.grad.abs().sum() > 0
    assert not torch.allclose(model(ids).last_hidden_state, plain)


def test_hooks_on_query_key_and_value_are_called(config):
    model = BertModel(config).eval()
    seen = []
    for part in ("query", "key", "value"):
        model.encoder.layer[0].attention.self.get_submodule(part).register_forward_hook(
            lambda _, __, output: seen.append(output.shape)
        )
    model(torch.ones(2, 20, dtype=torch.long))
    assert seen == [(48, 16)] * 3


def test_layers_that_are_computed_again_give_the_same_gradient(config, batch):
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.2
    model = BertForSequenceClassification(config).train()
    gradients = []
    for again in (False, True):
        if again:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing == again
        torch.manual_seed(3)
        model.zero_grad()
        model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_frozen_layers_stay_and_their_inputs_can_want_a_gradient(config, batch):
    model = BertForSequenceClassification(config)
    for parameter in [*model.bert.embeddings.parameters(), *model.bert.encoder.layer[:1].parameters()]:
        parameter.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) < model.num_parameters()
    model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
    assert model.bert.encoder.layer[0].intermediate.dense.weight.grad is None
    assert model.bert.encoder.layer[1].intermediate.dense.weight.grad is not None
    embedded = []
    model.enable_input_require_grads()
    model.bert.embeddings.register_forward_hook(lambda _, __, output: embedded.append(output))
    model(**batch)
    assert embedded[0].requires_grad


def test_a_model_under_ddp_leaves_its_logits_uncomputed(config, batch, tmp_path: Path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(BertForMaskedLM(config), find_unused_parameters=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        output = model(**batch, labels=labels)
        output.loss.backward()
        assert isinstance(output.logits, DeferredTensor) and output.logits._value is None
        assert all(parameter.grad is not None for parameter in model.parameters())
    finally:
        torch.distributed.destroy_process_group()
