import pytest
import torch
from torch import nn

from bertkit.foundation.process_group import ProcessGroup
from bertkit.training import replicas
from bertkit.training.replicas import Replicas


def test_all_that_is_replicated_lies_on_the_device_of_the_module(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replicas, "DistributedDataParallel", lambda module, **_: module)
    module = nn.Sequential(nn.Linear(2, 3, device="meta"), nn.Linear(3, 1, device="meta"))
    model = Replicas(module, ProcessGroup(size=2, device=torch.device("meta"))).model
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert next(model.parameters()) is module[0].weight
