import copy
import pickle

import pytest
import torch
import transformers

from bertkit.hf import BertForMaskedLM, BertForQuestionAnswering, BertModel


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


def test_outputs_can_be_made_anew_copied_and_pickled(config, batch):
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
