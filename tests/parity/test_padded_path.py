"""bertkit.hf against Transformers: everything a model returns, and every gradient."""

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pairs import BOUNDS, CLASSES, Case, as_vector, cases, gradients, inputs, models, relative
from parity_table import ParityTable

EXAMPLES = max(3, settings().max_examples // 12)
PATH = "padded (bertkit.hf)"
WHOLE = {"BertForQuestionAnswering"}
"""Classes that give padding the numbers that Transformers gives it."""


def _compare(table: ParityTable, case: Case, name: str, precision: str) -> None:
    theirs, ours = models(case, name, getattr(torch, precision))
    given_inputs = inputs(case, name)
    arguments = given_inputs.padded | given_inputs.labels
    if name == "BertForMultipleChoice":
        arguments |= {key: value[None] for key, value in given_inputs.padded.items()}
    with torch.no_grad():
        shown = theirs(**arguments, output_hidden_states=True, output_attentions=True)
        seen = ours(**arguments, output_hidden_states=True, output_attentions=True)
    assert list(seen) == list(shown)
    expected, found = theirs(**arguments), ours(**arguments)
    expected.loss.backward()
    found.loss.backward()
    bound, is_token = BOUNDS[precision], given_inputs.is_token

    def check(what: str, ours: Tensor, theirs: Tensor) -> None:
        table.check(what, PATH, precision, relative(ours, theirs), bound)

    for ours_layer, theirs_layer in zip(seen.hidden_states, shown.hidden_states, strict=True):
        check("hidden states of every layer", ours_layer[is_token], theirs_layer[is_token])
    for ours_layer, theirs_layer in zip(seen.attentions, shown.attentions, strict=True):
        rows = is_token[:, None, :, None]
        check("attention probabilities", ours_layer * rows, theirs_layer * rows)
    check("losses", found.loss, expected.loss)
    for key in expected:
        if "logits" in key:
            assert found[key].shape == expected[key].shape
            by_token = found[key].shape[:2] == is_token.shape and name not in WHOLE and found[key].ndim == 3
            rows = is_token if by_token else ...
            check("logits", found[key][rows], expected[key][rows])
    wanted, gradient = gradients(theirs), gradients(ours)
    assert set(gradient) == set(wanted)
    check("gradient of all parameters", as_vector(gradient, wanted), as_vector(wanted, wanted))
    if precision == "float64":
        for key, expected_gradient in wanted.items():
            check("gradient of each parameter", gradient[key], expected_gradient)


@pytest.mark.parametrize("precision", list(BOUNDS))
@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=EXAMPLES, derandomize=True)
@given(case=cases())
def test_every_class_gives_the_numbers_of_transformers(
    parity_table: ParityTable, case: Case, name: str, precision: str
):
    _compare(parity_table, case, name, precision)
