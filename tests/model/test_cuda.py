"""The CUDA attention against the CPU's."""

import numpy as np
import pytest
import torch

from bertkit.core.batch import PackedBatch
from bertkit.model.attention import packed_attention
from bertkit.model.config import BertConfig, ModernBertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import initialize
from bertkit.model.layout import SequenceLayout

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
LENGTHS = [130, 64, 64, 7, 1]


def _batch() -> PackedBatch:
    total = sum(LENGTHS)
    ids = np.random.default_rng(0).integers(1, 90, total)
    return PackedBatch.from_arrays(ids, np.zeros(total, np.int64), np.array(LENGTHS))


@pytest.mark.parametrize("window", [None, 16])
def test_varlen_attention_and_its_gradient_equal_the_cpus(window: int | None):
    torch.manual_seed(0)
    batch = _batch()
    packed = torch.randn(batch.num_tokens, 3, 4, 32, dtype=torch.bfloat16)
    results = []
    for device in ("cpu", "cuda"):
        moved = packed.to(device).requires_grad_()
        context = packed_attention(moved, SequenceLayout(batch.to(torch.device(device))), 0.0, window)
        context.float().square().sum().backward()
        assert moved.grad is not None
        results.append((context.detach().float().cpu(), moved.grad.float().cpu()))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("kind", [BertConfig, ModernBertConfig])
def test_the_encoder_trains_on_the_device(kind: type[BertConfig], dropout: float):
    config = kind(
        vocab_size=100,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        attention_probs_dropout_prob=dropout,
        pad_token_id=0,
    )
    model = Encoder(config)
    initialize(model, 0.02, seed=0)
    model.cuda()
    batch = _batch().to(torch.device("cuda"))
    with torch.autocast("cuda", torch.bfloat16):
        output = model(batch)
    output.pooler_output.float().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("kind", [BertConfig, ModernBertConfig])
def test_the_kernels_gradients_are_those_of_the_tiles_for_any_number_of_tokens(kind: type[BertConfig]):
    config = kind(
        vocab_size=100,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    model = Encoder(config).cuda()
    initialize(model, 0.05, seed=0)
    batch = _batch().to(torch.device("cuda"))
    assert batch.num_tokens % 64
    read = torch.tensor([3, 140, 200], device="cuda")
    gradients = []
    for uses_kernel in (True, False):
        garbage = torch.full((1 << 26,), torch.nan, device="cuda")
        del garbage  # the memory of what is left unwritten
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=uses_kernel):
            model(batch, output_positions=read).last_hidden_state.float().square().sum(0).cos().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[1].items():
        assert float((gradients[0][name] - expected).norm()) <= 0.05 * float(expected.norm()) + 1e-3, name


def test_float32_on_the_device_equals_the_cpu():
    config = BertConfig(
        vocab_size=100, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    model = Encoder(config).eval()
    initialize(model, 0.1, seed=0)
    with torch.no_grad():
        expected = model(_batch()).last_hidden_state
        found = model.cuda()(_batch().to(torch.device("cuda"))).last_hidden_state.cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
