"""ModernBERT's sizes, its configuration in Hugging Face's words, and its first weights."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import write_json
from bertkit.foundation.packed_batch import PackedBatch
from bertkit.model.described_model import describe_model
from bertkit.model.description import ModelDescription
from bertkit.model.initialization import (
    initialize,
    position_dimensions,
    start_with_neighbours,
    start_with_word_vectors,
)
from bertkit.model.modern_config import ModernBertConfig
from bertkit.model.parameter_counts import ParameterCounts
from bertkit.model.presets import MODERN_PRESETS, PRESETS
from bertkit.model.pretraining import PretrainingModel


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
        ({"classifier_pooling": "max"}, "classifier_pooling 'max'"),
        ({"classifier_dropout": 1.0}, r"classifier_dropout must lie in \[0, 1\)"),
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


def test_heads_that_start_with_neighbours_find_them_whatever_the_words_are():
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
