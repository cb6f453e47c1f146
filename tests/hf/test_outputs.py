"""The logits of a masked LM with labels are computed when they are read."""

import copy
import pickle

import numpy as np
import pytest
import torch
import transformers

from bertkit.core.errors import InputError
from bertkit.hf import BertForMaskedLM, BertForPreTraining, BertForQuestionAnswering, BertModel
from bertkit.hf.layers import BertLMPredictionHead


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the head was run on, call by call."""
    counted: list[int] = []
    plain = BertLMPredictionHead.logits

    def logits(self, hidden):
        counted.append(len(hidden))
        return plain(self, hidden)

    monkeypatch.setattr(BertLMPredictionHead, "logits", logits)
    return counted


@pytest.fixture
def labels(batch):
    labels = torch.full_like(batch["input_ids"], -100)
    labels[0, 2], labels[0, 5], labels[2, 1] = 7, 9, 11
    return labels


def test_a_training_step_computes_the_labelled_places_alone(config, batch, labels, rows):
    model = BertForMaskedLM(config)
    output = model(**batch, labels=labels)
    assert output.logits.shape == (3, 12, 50) and output["logits"].dtype == output[1].dtype == torch.float32
    assert output.logits.size(-1) == 50 and len(output.logits) == 3 and output.logits.device == model.device
    output.loss.backward()
    output.logits.float().detach()
    assert rows == [3]


def test_what_is_read_is_what_comes_without_labels(config, batch, labels, rows):
    model = BertForMaskedLM(config)
    expected = model(**batch).logits
    deferred = model(**batch, labels=labels).logits
    assert torch.equal(deferred + 0, expected)
    assert torch.equal(deferred.argmax(-1), expected.argmax(-1))
    assert torch.equal(torch.cat([deferred, expected]), torch.cat([expected, expected]))
    assert torch.equal(deferred[1], expected[1])
    assert deferred.detach().double().dtype == torch.float64
    np.testing.assert_array_equal(deferred.detach().numpy(), expected.detach().numpy())
    assert "grad_fn" in repr(deferred)
    assert rows == [22, 3, 22]


def test_logits_that_were_deferred_carry_a_gradient(config, batch, labels):
    model = BertForMaskedLM(config)
    (model(**batch, labels=labels).logits * 2).sum().backward()
    deferred = model.cls.predictions.bias.grad.clone()
    model.zero_grad()
    (model(**batch).logits * 2).sum().backward()
    torch.testing.assert_close(deferred, model.cls.predictions.bias.grad)


@pytest.mark.parametrize("fused", [False, True])
def test_logits_of_weights_that_are_gone_are_refused(config, batch, labels, fused: bool):
    model = BertForPreTraining(config)
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    output = model(**batch, labels=labels, next_sentence_label=torch.tensor([0, 1, 0]))
    read = model(**batch, labels=labels, next_sentence_label=torch.tensor([0, 1, 0])).prediction_logits
    kept = read + 0
    output.loss.backward()
    optimizer.step()
    with pytest.raises(InputError, match="before the optimiser's step"):
        output.prediction_logits + 0
    assert torch.equal(read + 0, kept)


def test_settings_of_the_forward_pass_hold_when_logits_are_read(config, batch, labels):
    model = BertForMaskedLM(config)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, deferred = model(**batch).logits, model(**batch, labels=labels).logits
    assert expected.dtype == deferred.dtype == torch.bfloat16
    widened = deferred.float()
    assert widened.dtype == torch.float32
    assert torch.equal(widened + 0, expected.float())
    assert not (deferred + 0).requires_grad


def test_fields_are_attributes_keys_and_places(config, batch):
    output = BertModel(config)(**batch)
    hidden, pooled = output[:2]
    assert output.last_hidden_state is output["last_hidden_state"] is output[0] is hidden
    assert output.pooler_output is output[1] is pooled
    assert output.hidden_states is output.attentions is None
    assert list(output) == ["last_hidden_state", "pooler_output"] and len(output) == 2
    assert "attentions" not in output and isinstance(output, dict)
    with pytest.raises(AttributeError, match="logits"):
        output.logits  # noqa: B018
    with pytest.raises(KeyError):
        output["logits"]


@pytest.mark.parametrize("name", ["BertModel", "BertForQuestionAnswering", "BertForPreTraining"])
def test_a_tuple_has_what_that_of_transformers_has(config, batch, name: str):
    import bertkit.hf

    config.num_labels = 2
    ours, theirs = (
        getattr(bertkit.hf, name)(config),
        getattr(transformers, name)(transformers.BertConfig.from_dict(config.to_dict())),
    )
    for options in ({}, {"output_hidden_states": True}, {"output_attentions": True, "output_hidden_states": True}):
        found = ours(**batch, **options, return_dict=False)
        theirs.set_attn_implementation("eager")
        expected = theirs(**batch, **options, return_dict=True)
        expected = tuple(value for key, value in expected.items() if key != "cross_attentions")
        assert isinstance(found, tuple)
        assert [_shape(value) for value in found] == [_shape(value) for value in expected]


def _shape(value):
    return value.shape if isinstance(value, torch.Tensor) else [part.shape for part in value]


def test_the_configuration_decides_where_the_call_does_not(config, batch):
    config.output_hidden_states, config.return_dict = True, False
    output = BertModel(config)(**batch)
    assert isinstance(output, tuple) and len(output[2]) == 3
    assert BertModel(config)(**batch, return_dict=True, output_hidden_states=False).hidden_states is None


def test_outputs_can_be_rebuilt_copied_and_pickled(config, batch):
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    output = BertForMaskedLM(config)(**batch, labels=labels)
    converted = type(output)({key: value.double() for key, value in output.items()})
    assert converted.loss.dtype == converted.logits.dtype == torch.float64
    with torch.no_grad():
        output = BertForMaskedLM(config)(**batch, labels=labels)
    for again in (pickle.loads(pickle.dumps(output)), copy.deepcopy(output)):
        assert torch.equal(again.loss, output.loss) and torch.equal(again.logits, output.logits + 0)


def test_an_answer_behind_the_last_column_does_not_count(config, batch):
    model = BertForQuestionAnswering(config)
    start, end = torch.tensor([3, 1, 99]), torch.tensor([4, 2, 99])
    all_three = model(**batch, start_positions=start, end_positions=end).loss
    two = {key: value[:2] for key, value in batch.items()}
    torch.testing.assert_close(all_three, model(**two, start_positions=start[:2], end_positions=end[:2]).loss)
