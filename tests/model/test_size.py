"""Parameter counts are those of the transformers package, to the unit."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import transformers

from bertkit.foundation.errors import InputError
from bertkit.foundation.files import write_json
from bertkit.model.bert_with_heads import BertWithHeads
from bertkit.model.described_model import describe_model
from bertkit.model.parameter_counts import ParameterCounts
from bertkit.model.presets import PRESETS

HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification"]
HEADS += ["ForQuestionAnswering", "ForMultipleChoice"]
CLASSES = [kind + head for kind in ("Bert", "DistilBert", "Roberta", "ModernBert") for head in HEADS]
CLASSES += ["BertForPreTraining", "BertForNextSentencePrediction"]


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
