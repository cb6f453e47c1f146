"""In bf16 bertkit is no further from the exact numbers than Transformers is."""

import copy
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from pairs import Case, as_vector, gradients, inputs, models
from parity_table import ParityTable

CASES = [
    Case(
        layers=3,
        heads=4,
        head_size=8 + 2 * (seed % 5),
        intermediate=64,
        hidden_act=("gelu", "gelu_new")[seed % 2],
        spread=(0.55, 1.1)[seed // 2 % 2],
        lengths=(37, 3, 20, 11, 30),
        pairs=True,
        seed=seed,
    )
    for seed in range(24)
]
MEASURE = "distance from float64, over Transformers' (root of the mean square of all cases)"


def _run(model: nn.Module, arguments: dict[str, Tensor], is_token: Tensor) -> dict[str, Tensor]:
    output = model(**arguments, output_hidden_states=True)
    output.loss.backward()
    gradient = gradients(model)
    return {
        "last hidden states": output.hidden_states[-1][is_token],
        "logits": output.logits[is_token],
        "loss": output.loss,
        "gradient of all parameters": as_vector(gradient, dict(sorted(gradient.items()))),
    }


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_is_no_further_from_the_exact_numbers(parity_table: ParityTable, attention: str):
    squares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for case in CASES:
        theirs, ours = models(case, "BertForMaskedLM", torch.bfloat16)
        theirs.set_attn_implementation(attention)
        given_inputs = inputs(case, "BertForMaskedLM")
        arguments = given_inputs.padded | given_inputs.labels
        exact = _run(copy.deepcopy(theirs).double(), arguments, given_inputs.is_token)
        for place, model in enumerate((ours, theirs)):
            for what, found in _run(model, arguments, given_inputs.is_token).items():
                error = (found.double() - exact[what]).norm() / exact[what].norm()
                squares[what][place] += float(error.detach()) ** 2
    for what, (of_ours, of_theirs) in squares.items():
        ratio = (of_ours / of_theirs) ** 0.5
        parity_table.check(what, "padded (bertkit.hf)", f"bf16, {attention}", ratio, 1.0, MEASURE)
