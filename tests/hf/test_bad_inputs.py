import pytest
import torch

from bertkit.core.errors import InputError
from bertkit.hf import BertForSequenceClassification, BertModel


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": None}, "exactly one of input_ids and inputs_embeds"),
        ({"inputs_embeds": torch.zeros(3, 12, 16)}, "exactly one of input_ids and inputs_embeds"),
        ({"input_ids": torch.zeros(12, dtype=torch.long)}, r"input_ids has shape \(12,\): give \(B, S\)"),
        ({"input_ids": torch.zeros(3, 0, dtype=torch.long)}, r"at least one token"),
        ({"attention_mask": torch.ones(3, 11)}, r"attention_mask has shape \(3, 11\): it must be \(3, 12\)"),
        ({"attention_mask": torch.ones(3, 1, 12, 12)}, "attention_mask has shape"),
        ({"attention_mask": torch.tensor([[1], [0], [1]]).expand(3, 12)}, "hides all of sequence 1"),
        ({"encoder_hidden_states": torch.zeros(3, 12, 16)}, "encoder_hidden_states is not supported"),
    ],
)
def test_bad_inputs_are_named(config, batch, change: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        BertModel(config)(**(batch | change))


def test_too_long_sequences_are_named(config):
    with pytest.raises(InputError, match="21 columns do not fit max_position_embeddings 20"):
        BertModel(config)(torch.ones(1, 21, dtype=torch.long))


def test_an_unknown_problem_type_is_named(config, batch):
    config.problem_type = "ranking"
    with pytest.raises(InputError, match="ranking"):
        BertForSequenceClassification(config)(**batch, labels=torch.tensor([0, 1, 2]))
