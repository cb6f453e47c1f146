import torch

from bertkit.core.devices import resolve_micro_batch_tokens


def test_a_gpu_takes_more_tokens_at_once_unless_told_otherwise():
    processor, gpu = torch.device("cpu"), torch.device("cuda")
    assert [resolve_micro_batch_tokens(None, device) for device in (processor, gpu)] == [4096, 65536]
    assert [resolve_micro_batch_tokens(100, device) for device in (processor, gpu)] == [100, 100]
