"""The published sizes, and inputs that are not simply padded at the end."""

from dataclasses import dataclass

import pytest
import torch
import transformers

import bertkit.hf
from bertkit.model.config import PRESETS
from pairs import BOUNDS, IGNORED, Case, as_vector, gradients, inputs, models, relative
from parity_table import ParityTable

PATH = "padded (bertkit.hf)"
CASE = Case(
    layers=2,
    heads=3,
    head_size=8,
    intermediate=40,
    hidden_act="gelu",
    spread=1.1,
    lengths=(9, 4, 17),
    pairs=True,
    seed=5,
)


@pytest.mark.parametrize("name", ["tiny", "mini", "small", "medium"])
def test_the_published_sizes_give_the_numbers_of_transformers(parity_table: ParityTable, name: str):
    size = PRESETS[name]
    case = Case(
        layers=size.num_hidden_layers,
        heads=size.num_attention_heads,
        head_size=size.head_size,
        intermediate=size.intermediate_size,
        hidden_act="gelu",
        spread=0.55,
        lengths=(30, 17),
        pairs=True,
        seed=1,
    )
    theirs, ours = models(case, "BertForPreTraining", torch.float32)
    given_inputs = inputs(case, "BertForPreTraining")
    arguments = given_inputs.padded | given_inputs.labels
    expected = theirs(**arguments, output_hidden_states=True)
    found = ours(**arguments, output_hidden_states=True)
    expected.loss.backward()
    found.loss.backward()
    wanted, gradient = gradients(theirs), gradients(ours)
    rows = given_inputs.is_token
    layers = (torch.stack(found.hidden_states)[:, rows], torch.stack(expected.hidden_states)[:, rows])
    for what, of_ours, of_theirs in (
        ("hidden states of every layer", *layers),
        ("losses", found.loss, expected.loss),
        ("gradient of all parameters", as_vector(gradient, wanted), as_vector(wanted, wanted)),
    ):
        parity_table.check(what, PATH, f"{name}, float32", relative(of_ours, of_theirs), BOUNDS["float32"])


@dataclass(frozen=True)
class Mask:
    """What is 0 in a mask, and what is the same in both libraries all the same."""

    name: str
    first: tuple[int, ...]
    last: tuple[int, ...]
    holes: tuple[tuple[int, int], ...] = ()


MASKS = [
    Mask("padded in front", first=(8, 13, 0), last=(17, 17, 17)),
    Mask("padded on both sides", first=(3, 0, 1), last=(9, 4, 16)),
    Mask("with holes", first=(0, 0, 0), last=(17, 9, 12), holes=((0, 4), (0, 5), (1, 0), (2, 11))),
    Mask("without padding", first=(0, 0, 0), last=(17, 17, 17)),
]


KINDS = ("PreTraining", "SequenceClassification", "TokenClassification", "QuestionAnswering")


def _attention_mask(mask: Mask) -> torch.Tensor:
    columns = torch.arange(17)
    tokens = (columns >= torch.tensor(mask.first)[:, None]) & (columns < torch.tensor(mask.last)[:, None])
    for row, column in mask.holes:
        tokens[row, column] = False
    return tokens.long()


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
@pytest.mark.parametrize(
    "name",
    ["BertForPreTraining", "BertForSequenceClassification", "BertForTokenClassification", "BertForQuestionAnswering"],
)
def test_any_mask_gives_the_numbers_of_transformers_even_with_labels_on_padding(
    parity_table: ParityTable, name: str, mask: Mask
):
    theirs, ours = models(CASE, name, torch.float64)
    given_inputs = inputs(CASE, name)
    arguments = given_inputs.padded | given_inputs.labels | {"attention_mask": _attention_mask(mask)}
    arguments["position_ids"] = torch.arange(17).flip(0)[None]
    expected, found = theirs(**arguments), ours(**arguments)
    expected.loss.backward()
    found.loss.backward()
    wanted, gradient = gradients(theirs), gradients(ours)
    kind = f"float64, {mask.name}"
    parity_table.check("losses", PATH, kind, relative(found.loss, expected.loss), BOUNDS["float64"])
    difference = relative(as_vector(gradient, wanted), as_vector(wanted, wanted))
    parity_table.check("gradient of all parameters", PATH, kind, difference, BOUNDS["float64"])
    if "labels" in arguments and arguments["labels"].ndim == 2:
        read = (arguments["labels"] != IGNORED) | arguments["attention_mask"].bool()
        key = "prediction_logits" if name == "BertForPreTraining" else "logits"
        difference = relative(found[key][read], expected[key][read])
        parity_table.check("logits", PATH, kind, difference, BOUNDS["float64"])


def test_vectors_in_place_of_ids_give_the_same_and_their_gradient(parity_table: ParityTable):
    theirs, ours = models(CASE, "BertForSequenceClassification", torch.float64)
    given_inputs = inputs(CASE, "BertForSequenceClassification")
    found = []
    for model in (ours, theirs):
        arguments = given_inputs.padded | given_inputs.labels
        vectors = model.get_input_embeddings()(arguments.pop("input_ids")).detach().requires_grad_()
        model(inputs_embeds=vectors, **arguments).loss.backward()
        assert vectors.grad is not None
        found.append(vectors.grad)
    assert relative(*found) <= BOUNDS["float64"]


def test_the_encoder_alone_gives_its_outputs_and_their_gradient(parity_table: ParityTable):
    config = CASE.config()
    theirs, ours = transformers.BertModel(config).double().eval(), bertkit.hf.BertModel(config).double().eval()
    ours.load_state_dict(theirs.state_dict())
    given_inputs = inputs(CASE, "BertForSequenceClassification")
    outputs = [model(**given_inputs.padded) for model in (ours, theirs)]
    for output in outputs:
        (output.last_hidden_state[given_inputs.is_token].square().sum() + output.pooler_output.sum()).backward()
    difference = relative(outputs[0].pooler_output, outputs[1].pooler_output)
    parity_table.check("pooled output", PATH, "float64", difference, BOUNDS["float64"])
    gradient, wanted = gradients(ours), gradients(theirs)
    for key, expected in wanted.items():
        difference = relative(gradient[key], expected)
        parity_table.check("gradient of each parameter", PATH, "float64", difference, BOUNDS["float64"])
    assert outputs[0].last_hidden_state[~given_inputs.is_token].count_nonzero() == 0
