"""Parameter counts are those of the transformers package, to the unit."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import transformers

from bertkit.core.errors import InputError
from bertkit.core.files import write_json
from bertkit.model.config import MODERN_PRESETS, PRESETS, ElectraConfig
from bertkit.model.size import ParameterCounts, training_flops
from bertkit.pretrained.models import BertWithHeads, describe_model

HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification"]
HEADS += ["ForQuestionAnswering", "ForMultipleChoice"]
CLASSES = [kind + head for kind in ("Bert", "DistilBert", "Roberta", "ModernBert", "Electra") for head in HEADS]
CLASSES += ["BertForPreTraining", "BertForNextSentencePrediction", "ElectraForPreTraining"]


def _size(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_of_transformers_part_by_part(name: str):
    counts = ParameterCounts.of(describe_model(name))
    with torch.device("meta"):
        theirs = transformers.BertForPreTraining(transformers.BertConfig(**asdict(PRESETS[name])))
    embeddings = theirs.bert.embeddings
    assert counts.embeddings == {
        "word": _size(embeddings.word_embeddings),
        "position": _size(embeddings.position_embeddings),
        "type": _size(embeddings.token_type_embeddings),
        "norm": _size(embeddings.LayerNorm),
    }
    assert counts.layers == tuple(map(_size, theirs.bert.encoder.layer))
    assert counts.pooler == _size(theirs.bert.pooler)
    assert counts.encoder == _size(theirs.bert)
    assert counts.heads["next_sentence"] == _size(theirs.cls.seq_relationship)
    assert counts.total == _size(theirs)


def test_base_and_large_have_what_the_paper_says():
    assert ParameterCounts.of(describe_model("base")).encoder == 109_482_240
    assert ParameterCounts.of(describe_model("large")).encoder == 335_141_888


@pytest.mark.parametrize("name", CLASSES)
def test_a_config_alone_gives_the_parameters_of_its_class(name: str, tmp_path: Path):
    cls = getattr(transformers, name)
    config = cls.config_class(architectures=[name], **({"num_labels": 5} if name.endswith("Classification") else {}))
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        theirs = cls(config)
    assert ParameterCounts.of(describe_model(str(tmp_path / "config.json"))).total == _size(theirs)


def test_a_folder_counts_what_lies_in_it(tiny_model: Path):
    counts = ParameterCounts.of(describe_model(str(tiny_model)))
    assert counts.total == _size(BertWithHeads.from_pretrained(tiny_model))
    assert set(counts.heads) == {"masked_lm", "next_sentence"}
    assert counts.to_json()["total"] == counts.total


def test_what_is_no_model_is_refused(tmp_path: Path):
    write_json(tmp_path / "config.json", {"model_type": "t5"})
    with pytest.raises(InputError, match="'t5'"):
        describe_model(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match=r"no preset .*tiny.*large"):
        describe_model("bse")


def _products(first_rows: int, first: int, rest_rows: int, rest: int, pairs: int, width: int) -> float:
    """Forward and backward: six operations a weight and row, and a query with its key and value for every pair."""
    return 6 * (first_rows * first + rest_rows * rest + pairs * 2 * width)


def test_bert_counts_its_matrices_all_pairs_of_a_sequence_and_what_is_read_of_the_last_layer():
    config, lengths = PRESETS["tiny"], [5, 200]
    bounds = torch.tensor([0, 5, 205], dtype=torch.int32)
    pairs = sum(length**2 for length in lengths) * config.num_hidden_layers
    first, rest = 3 * 128 * 128, 128 * 128 + 2 * 128 * 512
    heads = 6 * (2 * 128 * 128 + 31 * (128 * 128 + 128 * config.vocab_size))
    masked = _products(2 * 205, first, 205 + 33, rest, pairs, 128) + heads
    assert training_flops(config, bounds, masked_positions=31, last_rows=33) == pytest.approx(masked)
    all_tokens = _products(2 * 205, first, 2 * 205, rest, pairs, 128) + 6 * 2 * 128 * 128
    assert training_flops(config, bounds) == pytest.approx(all_tokens)


def test_modernbert_counts_a_gate_and_the_pairs_inside_its_windows():
    config, lengths = MODERN_PRESETS["tiny"], [5, 64, 65, 200]
    bounds = torch.tensor([0, 5, 69, 134, 334], dtype=torch.int32)
    pairs, depths = 0, config.num_hidden_layers
    for depth in range(depths):
        reach = 64 if depth % 3 else 1000
        pairs += sum(abs(a - b) <= reach for length in lengths for a in range(length) for b in range(length))
    first, rest = 3 * 128 * 128, 128 * 128 + 3 * 128 * config.intermediate_size
    layers = _products(depths * 334, first, (depths - 1) * 334 + 31, rest, pairs, 128)
    heads = 6 * 31 * (128 * 128 + 128 * config.vocab_size)
    assert training_flops(config, bounds, masked_positions=31, last_rows=31) == pytest.approx(layers + heads)


def test_electra_counts_the_projection_of_its_embeddings_and_a_decoder_of_their_width():
    config = ElectraConfig(num_hidden_layers=2, hidden_size=256, embedding_size=128, intermediate_size=1024)
    bounds = torch.tensor([0, 5, 205], dtype=torch.int32)
    first, rest = 3 * 256 * 256, 256 * 256 + 2 * 256 * 1024
    layers = _products(2 * 205, first, 205 + 31, rest, 2 * (5**2 + 200**2), 256)
    others = 6 * (205 * 128 * 256 + 31 * (256 * 128 + 128 * config.vocab_size))
    assert training_flops(config, bounds, masked_positions=31, last_rows=31) == pytest.approx(layers + others)
