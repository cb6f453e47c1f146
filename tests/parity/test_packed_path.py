"""bertkit.model, which never sees padding, against Transformers, which does."""

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.formats.bert import BERT
from bertkit.pretrained.models import BertWithHeads
from pairs import (
    BOUNDS,
    CLASSES,
    IGNORED,
    Case,
    Inputs,
    as_vector,
    cases,
    inputs,
    join_zeros,
    models,
    relative,
    split_rows,
)
from parity_table import ParityTable

EXAMPLES = max(3, settings().max_examples // 12)
PATH = "packed (bertkit.model)"
BY_TOKEN = {"prediction_logits", "start_logits", "end_logits", "BertForMaskedLM", "BertForTokenClassification"}
"""Logits, and classes whose logits, are one row a token."""


def _packed(theirs: PreTrainedModel, name: str, dtype: torch.dtype) -> BertWithHeads:
    config = BERT.read_config(theirs.config.to_dict())
    labels = ("a", "b", "c") if name in ("BertForSequenceClassification", "BertForTokenClassification") else None
    ours = BertWithHeads.outline(ModelDescription(config=config, architecture=name, labels=labels))
    ours.to_empty(device="cpu").to(dtype)
    ours.load_state_dict(BERT.names.read(theirs.state_dict(), ours.state_dict()).found)
    return ours.eval()


def _logits_and_loss(ours: BertWithHeads, name: str, given_inputs: Inputs) -> tuple[dict[str, Tensor], Tensor]:
    """Transformers' names for the logits, those of tokens packed."""
    output = ours.bert(given_inputs.packed)
    hidden = output.last_hidden_state
    labels = given_inputs.labels
    if name in ("BertForPreTraining", "BertForMaskedLM"):
        packed_labels = labels["labels"][given_inputs.is_token]
        assert ours.masked_lm is not None
        logits = ours.masked_lm(hidden, ours.bert.embeddings.word_embeddings.weight)
        loss = F.cross_entropy(logits, packed_labels, ignore_index=IGNORED)
        if name == "BertForMaskedLM":
            return {"logits": logits}, loss
        assert ours.next_sentence is not None
        order = ours.next_sentence(output.pooler_output)
        loss = loss + F.cross_entropy(order, labels["next_sentence_label"])
        return {"prediction_logits": logits, "seq_relationship_logits": order}, loss
    if name == "BertForQuestionAnswering":
        assert ours.head is not None
        logits = ours.head(hidden)  # (T, 2)
        losses = [
            F.cross_entropy(rows.t(), torch.stack((start, end)))
            for rows, start, end in zip(
                split_rows(logits, given_inputs.packed), labels["start_positions"], labels["end_positions"], strict=True
            )
        ]
        return {"start_logits": logits[:, 0], "end_logits": logits[:, 1]}, torch.stack(losses).mean()
    head = ours.next_sentence if name == "BertForNextSentencePrediction" else ours.head
    assert head is not None
    if name == "BertForTokenClassification":
        logits = head(hidden)
        return {"logits": logits}, F.cross_entropy(logits, labels["labels"][given_inputs.is_token])
    logits = head(output.pooler_output)
    if name == "BertForMultipleChoice":
        logits = logits.view(1, -1)
    return {"logits": logits}, F.cross_entropy(logits, labels["labels"])


def _their_loss(theirs: PreTrainedModel, name: str, given_inputs: Inputs) -> Tensor:
    """As Transformers gives it; of answers each sequence alone, as its softmax takes padding for possible answers."""
    arguments = given_inputs.padded | given_inputs.labels
    if name == "BertForMultipleChoice":
        arguments |= {key: value[None] for key, value in given_inputs.padded.items()}
    if name != "BertForQuestionAnswering":
        return theirs(**arguments).loss
    lengths = given_inputs.padded["attention_mask"].sum(1).tolist()
    losses = []
    for row, length in enumerate(lengths):
        alone = {key: value[row : row + 1, :length] for key, value in given_inputs.padded.items()}
        losses.append(theirs(**alone, **{key: value[row : row + 1] for key, value in given_inputs.labels.items()}).loss)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("precision", list(BOUNDS))
@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=EXAMPLES, derandomize=True)
@given(case=cases())
def test_every_head_gives_the_numbers_of_transformers(parity_table: ParityTable, case: Case, name: str, precision: str):
    theirs, _ = models(case, name, getattr(torch, precision))
    ours, given_inputs = _packed(theirs, name, getattr(torch, precision)), inputs(case, name)
    is_token, bound = given_inputs.is_token, BOUNDS[precision]

    def check(what: str, found: Tensor, expected: Tensor) -> None:
        parity_table.check(what, PATH, precision, relative(found, expected), bound)

    with torch.no_grad():
        base = theirs.base_model(**given_inputs.padded, output_hidden_states=True, output_attentions=True)
        output = ours.bert(given_inputs.packed, output_hidden_states=True, output_attentions=True)
    for ours_layer, theirs_layer in zip(output.hidden_states, base.hidden_states, strict=True):
        check("hidden states of every layer", ours_layer, theirs_layer[is_token])
    for ours_layer, theirs_layer in zip(output.attentions, base.attentions, strict=True):
        check("attention probabilities", ours_layer, theirs_layer * is_token[:, None, :, None])
    if output.pooled is not None:
        check("pooled output", output.pooler_output, base.pooler_output)

    expected_loss = _their_loss(theirs, name, given_inputs)
    logits, loss = _logits_and_loss(ours, name, given_inputs)
    check("losses", loss, expected_loss)
    with torch.no_grad():
        arguments = given_inputs.padded
        if name == "BertForMultipleChoice":
            arguments = {key: value[None] for key, value in arguments.items()}
        expected_logits = theirs(**arguments)
    for key, found in logits.items():
        by_token = key in BY_TOKEN or name in BY_TOKEN
        check("logits", found, expected_logits[key][is_token] if by_token else expected_logits[key])

    expected_loss.backward()
    loss.backward()
    wanted = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    gradient, expected = {}, {}
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None, key
        gradient[key] = parameter.grad
        expected[key] = torch.cat([wanted.pop(part) for part in BERT.names.foreign(key)])
    assert not wanted
    check("gradient of all parameters", as_vector(gradient, expected), as_vector(expected, expected))
    if precision == "float64":
        layer = f"bert.layers.{case.layers - 1}.output_norm"
        last = {"BertForMultipleChoice": ["head.dense"], "BertForQuestionAnswering": ["head.qa_outputs", layer]}
        for tensors in (gradient, expected):
            join_zeros(tensors, last.get(name, []))
        for key, tensor in expected.items():
            check("gradient of each parameter", gradient[key], tensor)
