import numpy as np
import torch
from torch import nn

from bertkit.pretrained.int8 import quantize_weight
from bertkit.recipes.quantize_rounding import observe_inputs, round_weight


def _inputs(seed: int) -> torch.Tensor:
    """Rows whose entries go together, around a mean that is not 0."""
    draw = torch.Generator().manual_seed(seed)
    mixed = torch.randn(6, 40, generator=torch.Generator().manual_seed(9))
    return torch.randn(400, 6, generator=draw) @ mixed + 0.1 * torch.randn(400, 40, generator=draw) + 1


def test_products_with_inputs_of_the_same_kind_lose_less_than_by_plain_rounding():
    weight = torch.randn(24, 40, generator=torch.Generator().manual_seed(1))
    seen, new = _inputs(2), _inputs(3)
    for weight_range in (127, 63):
        plain = quantize_weight(weight.numpy(), weight_range)
        better = round_weight(weight, seen.double().t() @ seen.double(), weight_range)
        assert (better.scales == plain.scales).all()
        assert np.abs(better.values.astype(np.int16)).max() <= weight_range
        lost = [
            float((new @ torch.from_numpy(one.dequantized() - weight.numpy()).t()).square().mean())
            for one in (plain, better)
        ]
        assert lost[1] < 0.5 * lost[0]


def test_inputs_that_do_not_go_together_or_are_all_zero_leave_plain_rounding():
    weight = torch.randn(5, 8)
    plain = quantize_weight(weight.numpy(), 127)
    for moments in (torch.eye(8, dtype=torch.float64), torch.zeros(8, 8, dtype=torch.float64)):
        assert (round_weight(weight, moments, 127).values == plain.values).all()


def test_inputs_are_summed_while_the_model_runs_and_not_after():
    bert = nn.ModuleDict({"layers": nn.ModuleList([nn.ModuleDict({"output": nn.Linear(4, 2)})])})
    layer = bert.get_submodule("layers.0.output")
    rows = torch.randn(9, 4)
    found = observe_inputs(bert, ["bert.layers.0.output"], lambda: (layer(rows[:5]), layer(rows[5:])))
    layer(rows)
    torch.testing.assert_close(found["bert.layers.0.output"], rows.double().t() @ rows.double())
