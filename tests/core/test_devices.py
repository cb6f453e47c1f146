import pytest
import torch

from bertkit.core.devices import check_device, token_budget
from bertkit.core.errors import InputError


def test_a_gpu_takes_more_tokens_at_once_unless_told_otherwise():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [token_budget(device, "training") for device in (cpu, gpu)] == [4096, 65536]
    assert [token_budget(device, "inference") for device in (cpu, gpu)] == [2048, 32768]
    assert [token_budget(device, "training", 100) for device in (cpu, gpu)] == [100, 100]


def test_a_device_of_another_kind_takes_as_many_tokens_as_a_cpu():
    assert token_budget(torch.device("meta"), "evaluation") == token_budget(torch.device("cpu"), "evaluation")


def test_a_device_that_the_machine_lacks_or_nobody_knows_is_one_line():
    check_device("cpu")
    for name in ("cuda:99", "gpu"):
        with pytest.raises(
            InputError, match=rf"^device '{name}' cannot be used \(.+\): torch finds \d+ CUDA device.*$"
        ):
            check_device(name)
