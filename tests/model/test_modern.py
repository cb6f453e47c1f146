"""ModernBERT's sizes, configuration, first weights and rotary positions."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.core.files import write_json
from bertkit.model.config import MODERN_PRESETS, PRESETS, ModernBertConfig
from bertkit.model.initialization import initialize, position_dimensions, start_with_neighbours, start_with_word_vectors
from bertkit.model.modern import Rotation
from bertkit.model.pretraining import PretrainingModel
from bertkit.model.size import ParameterCounts
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.models import describe_model


def _read(tmp_path: Path, **changes: object) -> ModernBertConfig:
    write_json(tmp_path / "config.json", {"model_type": "modernbert", **changes})
    config = ModelDescription.read(tmp_path / "config.json").config
    assert isinstance(config, ModernBertConfig)
    return config


def test_base_is_modernbert_base_but_for_the_padding_entry(tmp_path: Path):
    transformers.ModernBertConfig(architectures=["ModernBertForMaskedLM"]).save_pretrained(tmp_path)
    published = ModelDescription.read(tmp_path / "config.json").config
    assert published == ModernBertConfig()
    assert replace(MODERN_PRESETS["base"], pad_token_id=50283) == published


@pytest.mark.parametrize("name", MODERN_PRESETS)
def test_a_size_has_the_layers_and_the_number_of_weights_that_its_name_says(name: str, tmp_path: Path):
    described = describe_model(f"modern-{name}")
    described.description.write(tmp_path / "config.json")
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        theirs = transformers.AutoModelForMaskedLM.from_config(config)
    counts = ParameterCounts.of(described)
    assert counts.total == sum(parameter.numel() for parameter in theirs.parameters())
    assert ModelDescription.read(tmp_path / "config.json") == described.description
    if name not in ("base", "large"):
        assert sum(counts.layers) == pytest.approx(sum(ParameterCounts.of(describe_model(name)).layers), rel=0.1)
    assert set(MODERN_PRESETS) == set(PRESETS)


def test_old_and_new_words_for_windows_and_rotations_say_the_same(tmp_path: Path):
    old = _read(
        tmp_path, num_hidden_layers=5, global_attn_every_n_layers=2, global_rope_theta=5e4, local_rope_theta=300.0
    )
    kinds = ["full_attention", "sliding_attention"] * 2 + ["full_attention"]
    rope = {
        "full_attention": {"rope_type": "default", "rope_theta": 5e4},
        "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
    }
    assert _read(tmp_path, num_hidden_layers=5, layer_types=kinds, rope_parameters=rope) == old
    assert [old.window(depth) for depth in range(5)] == [None, 64, None, 64, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_bias": True}, "norm_bias is True: only False"),
        ({"decoder_bias": False}, "decoder_bias is False"),
        ({"layer_types": ["full_attention", "full_attention", "sliding_attention"]}, "layer_types is full_attention"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type is 'yarn'"),
        ({"hidden_size": 36, "num_attention_heads": 12}, "heads of 3"),
        ({"local_attention": 1}, "local_attention must be .* at least 2"),
        ({"classifier_pooling": "max"}, r'classifier_pooling is "max", not one of "cls", "mean"'),
        ({"classifier_dropout": 1.0}, "classifier_dropout is 1.0, not a number at least 0 and below 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_encoder_is_not_is_refused(change: dict[str, object], message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        _read(tmp_path, **change)


def test_what_is_added_to_the_residual_stream_starts_smaller():
    config = replace(MODERN_PRESETS["tiny"], vocab_size=300)
    model = PretrainingModel(config, next_sentence=False)
    initialize(model, 0.02, 7)
    # A normal distribution that is cut at two deviations has 0.88 of its deviation left.
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            added = ".output." in name or name.startswith("masked_lm.dense")
            expected = 0.88 * 0.02 / (math.sqrt(2 * config.num_hidden_layers) if added else 1)
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.03), name
        else:
            assert torch.equal(parameter, torch.full_like(parameter, 0.0 if "bias" in name else 1.0)), name


def test_heads_that_start_with_neighbours_find_them_for_all_words():
    config = replace(MODERN_PRESETS["mini"], vocab_size=500)
    model = PretrainingModel(config, next_sentence=False)
    initialize(model, config.initializer_range, seed=0)
    start_with_neighbours(model.bert, config.initializer_range)
    vectors = torch.randn(500, config.hidden_size - position_dimensions(config))
    start_with_word_vectors(model.bert, torch.nn.functional.normalize(vectors, dim=1))
    ids = np.random.default_rng(0).integers(1, 500, 200)
    batch = PackedBatch.from_arrays(ids, np.zeros_like(ids), np.array([200]))
    with torch.no_grad():
        found = model.bert(batch, output_attentions=True).attentions[0][0]  # (A, S, S)
    places = torch.arange(2, 198)
    for head, shift in enumerate((-1, 1, -2, 2)):
        assert (found[head].argmax(-1)[places] == places + shift).float().mean() > 0.99
        assert found[head, places, places + shift].mean() > 0.6


def test_next_sentence_prediction_has_no_place_in_it():
    with pytest.raises(InputError, match="--no-nsp"):
        PretrainingModel(MODERN_PRESETS["tiny"])


def _rotation(count: int = 70) -> Rotation:
    return Rotation.of(torch.arange(count), 8, 100.0)


def test_scores_depend_on_distances_alone_and_values_stay():
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 8, dtype=torch.float64)
    same = torch.stack((query, key, value), 1).expand(128, 3, 2, 8)
    turned = _rotation(128).turn(same)
    scores = torch.einsum("tad,sad->ats", turned[:, 0], turned[:, 1])
    for shift in (-40, -1, 0, 7):
        diagonal = scores.diagonal(shift, 1, 2)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert torch.equal(turned[:, 2], same[:, 2])
    torch.testing.assert_close(turned.norm(dim=-1), same.norm(dim=-1), rtol=1e-6, atol=1e-6)


def test_every_pair_of_dimensions_turns_at_its_own_pace():
    """The second half is to the first what imaginary parts are to real ones."""
    given = torch.randn(128, 3, 2, 8, dtype=torch.float64)
    turned = _rotation(128).turn(given)
    pace = 100.0 ** (-torch.arange(4) / 4)
    factor = torch.polar(torch.ones(128, 4, dtype=torch.float64), torch.arange(128)[:, None].double() * pace.double())
    expected = torch.complex(*given[:, :2].chunk(2, -1)) * factor[:, None, None]
    torch.testing.assert_close(torch.complex(*turned[:, :2].chunk(2, -1)), expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_turned_back():
    given = torch.randn(128, 3, 1, 8, dtype=torch.float64, requires_grad=True)
    rotation = _rotation(128)
    assert torch.autograd.gradcheck(rotation.turn, (given[:, :, :, :],), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_turned_in_float32_and_rounded_once(dtype: torch.dtype):
    given = torch.randn(128, 3, 2, 8).to(dtype)
    assert torch.equal(_rotation(128).turn(given), _rotation(128).turn(given.float()).to(dtype))
