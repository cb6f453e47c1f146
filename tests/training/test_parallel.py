"""Compiled layers beside those that are not: traced and differentiated by torch.compile, without its C++ code."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bertkit.core.batch import PackedBatch
from bertkit.core.distributed import ProcessGroup
from bertkit.core.errors import InputError
from bertkit.model.config import MODERN_PRESETS, PRESETS, BertConfig
from bertkit.model.pretraining import PretrainingModel
from bertkit.training import parallel
from bertkit.training.parallel import Replicas, compile_layers


def _model(config: BertConfig) -> PretrainingModel:
    torch.manual_seed(0)
    config = replace(config, vocab_size=50, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return PretrainingModel(config, next_sentence=False)


def _gradients(model: PretrainingModel, lengths: list[int]) -> dict[str, torch.Tensor]:
    ids = np.random.default_rng(0).integers(0, 50, sum(lengths))
    device = next(model.parameters()).device
    batch = PackedBatch.from_arrays(ids, np.zeros_like(ids), np.array(lengths)).to(device)
    model.zero_grad()
    output = model(batch, torch.tensor([1, 4, 7], device=device))
    model.masked_loss(output.masked_states, torch.tensor([5, 6, 7], device=device))[0].backward()
    return {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", [PRESETS["tiny"], MODERN_PRESETS["tiny"]])
def test_compiled_layers_have_the_same_gradients_for_any_number_of_tokens(config, monkeypatch: pytest.MonkeyPatch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    plain, compiled = _model(config), _model(config)
    compile_layers(compiled.bert.layers, torch.device("cpu"))
    for lengths in ([20, 9], [300], [64, 64, 100]):
        expected, found = _gradients(plain, lengths), _gradients(compiled, lengths)
        assert expected.keys() == found.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6)
    assert len(graphs) == 1, "one graph serves all layers and all numbers of tokens"


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match="install one or leave it out"):
        compile_layers(_model(PRESETS["tiny"]).bert.layers, torch.device("cpu"))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("config", [PRESETS["tiny"], MODERN_PRESETS["tiny"]])
def test_compiled_layers_on_the_device_have_the_same_gradients(config):
    plain, compiled = _model(config).cuda(), _model(config).cuda()
    compile_layers(compiled.bert.layers, torch.device("cuda"))
    for lengths in ([20, 9], [300], [64, 64, 100]):
        expected, found = _gradients(plain, lengths), _gradients(compiled, lengths)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4)


def test_all_that_is_replicated_lies_on_the_device_of_the_module(monkeypatch: pytest.MonkeyPatch):
    replicated = []
    monkeypatch.setattr(parallel, "DistributedDataParallel", lambda module, **_: replicated.append(module))
    module = nn.Sequential(nn.Linear(2, 3, device="meta"), nn.Linear(3, 1, device="meta"))
    Replicas(SimpleNamespace(module=module), ProcessGroup(size=2, device=torch.device("meta")))
    (model,) = replicated
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert next(model.parameters()) is module[0].weight
