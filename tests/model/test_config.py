import pytest
import torch

from bertkit.core.errors import InputError
from bertkit.model.config import PRESETS, BertConfig
from bertkit.model.encoder import Encoder

ENCODER_AND_POOLER = {
    "tiny": 4_385_920,
    "mini": 11_170_560,
    "small": 28_763_648,
    "medium": 41_373_184,
    "base": 109_482_240,
    "large": 335_141_888,
}
"""The published counts of the models with a vocabulary of 30,522 (google-research/bert)."""


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_has_the_published_number_of_parameters(name: str):
    with torch.device("meta"):
        model = Encoder(PRESETS[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == ENCODER_AND_POOLER[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_attention_heads": 7}, "not a multiple"),
        ({"hidden_act": "relu"}, "gelu"),
        ({"hidden_dropout_prob": 1.0}, r"\[0, 1\)"),
        ({"num_hidden_layers": 0}, "at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        BertConfig(**change)
