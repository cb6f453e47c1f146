"""Every class of Hugging Face's comes in, computes the same and goes out with the same bits."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from bertkit.core.batch import PackedBatch
from bertkit.model.config import REPLACED_TOKEN_DETECTION
from bertkit.pretrained.models import BertModel, BertWithHeads

LENGTHS = (9, 3, 12, 1)
VOCABULARY = 41
SIZES = {
    "Bert": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40},
    "DistilBert": {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 40},
}
SIZES["Roberta"] = SIZES["Bert"] | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}
SIZES["Electra"] = SIZES["Bert"] | {"embedding_size": 16}
SIZES["ModernBert"] = SIZES["Bert"] | {"local_attention": 6, "pad_token_id": 0, "norm_eps": 1e-6}
HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
ON_TOKENS = ("BertForTokenClassification", "BertForQuestionAnswering", REPLACED_TOKEN_DETECTION)
CLASSES = [f"{kind}{head}" for kind in SIZES for head in [*HEADS, "ForMultipleChoice"]]
CLASSES += ["BertForPreTraining", "BertForNextSentencePrediction", "ElectraForPreTraining"]


def hugging_face_model(name: str, **changes):
    """A random model whose biases and norms are random too."""
    cls = getattr(transformers, name)
    sizes = SIZES[next(kind for kind in SIZES if name.startswith(kind))]
    labels = {"num_labels": 3} if name.endswith("Classification") else {}
    config = cls.config_class(vocab_size=VOCABULARY, max_position_embeddings=20, **(sizes | labels | changes))
    torch.manual_seed(len(name))
    model = cls(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model


@pytest.fixture(params=CLASSES)
def theirs(request: pytest.FixtureRequest):
    return hugging_face_model(request.param)


def batches(model) -> tuple[PackedBatch, dict[str, torch.Tensor]]:
    """The same random sequences packed and padded; ids from 3 on are no padding in any of the formats."""
    rng = np.random.default_rng(0)
    ids = rng.integers(3, VOCABULARY, sum(LENGTHS))
    types = np.concatenate([np.arange(length) > length // 2 for length in LENGTHS]).astype(np.int64)
    if getattr(model.config, "type_vocab_size", 0) < 2:
        types[:] = 0
    packed = PackedBatch.from_arrays(ids, types, np.array(LENGTHS))
    padded = {
        "input_ids": torch.full((len(LENGTHS), max(LENGTHS)), model.config.pad_token_id),
        "attention_mask": torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int64),
    }
    if getattr(model.config, "type_vocab_size", 0):
        padded["token_type_ids"] = torch.zeros_like(padded["attention_mask"])
    for row, (start, end) in enumerate(pairwise(packed.cu_seqlens.tolist())):
        padded["input_ids"][row, : end - start] = packed.input_ids[start:end]
        padded["attention_mask"][row, : end - start] = 1
        if "token_type_ids" in padded:
            padded["token_type_ids"][row, : end - start] = packed.token_type_ids[start:end]
    return packed, padded


def their_outputs(model, padded: dict[str, torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Hidden states of the real tokens, layer by layer, and logits: of tokens (T, C), of sequences (B, C)."""
    real = padded["attention_mask"].bool()
    inputs = {name: tensor[None] for name, tensor in padded.items()} if "Choice" in type(model).__name__ else padded
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    states = [state[real] for state in output.hidden_states]
    if "start_logits" in output:
        return states, [torch.stack((output.start_logits[real], output.end_logits[real]), -1)]
    names = ("logits", "prediction_logits", "seq_relationship_logits", "pooler_output")
    logits = [output[name] for name in names if output.get(name) is not None]
    if "Choice" in type(model).__name__:
        return states, [logits[0].T]
    if type(model).__name__ == "ElectraForPreTraining":
        return states, [logits[0][real][:, None]]
    return states, [each[real] if each.dim() == 3 else each for each in logits]


def our_outputs(model: BertWithHeads, batch: PackedBatch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    with torch.no_grad():
        output = model.bert(batch, output_hidden_states=True)
        logits = []
        if model.masked_lm is not None:
            logits.append(model.masked_lm(output.last_hidden_state, model.bert.embeddings.word_embeddings.weight))
        if model.next_sentence is not None:
            logits.append(model.next_sentence(output.pooler_output))
        if model.head is not None:
            on_tokens = model.architecture in ON_TOKENS
            logits.append(model.head(output.last_hidden_state if on_tokens else output.pooler_output))
        if model.architecture == "BertModel" and output.pooled is not None:
            logits.append(output.pooled)
    return list(output.hidden_states), logits


def test_hidden_states_and_logits_equal_theirs(theirs, tmp_path: Path):
    theirs.save_pretrained(tmp_path)
    ours = BertWithHeads.from_pretrained(tmp_path)
    packed, padded = batches(theirs)
    expected_states, expected_logits = their_outputs(theirs, padded)
    states, logits = our_outputs(ours, packed)
    assert len(states) == len(expected_states) == 3
    for found, expected in zip([*states, *logits], [*expected_states, *expected_logits], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_folder_that_goes_through_us_comes_back_with_the_same_bits(theirs, tmp_path: Path):
    theirs.save_pretrained(tmp_path / "theirs")
    BertWithHeads.from_pretrained(tmp_path / "theirs").save_pretrained(tmp_path / "ours")
    back, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    expected = theirs.state_dict()
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    for key in ("vocab_size", "pad_token_id", "id2label", "max_position_embeddings"):
        assert getattr(back.config, key) == getattr(theirs.config, key)
    for key in ("layer_norm_eps", "norm_eps", "embedding_size", "layer_types", "rope_parameters", "local_attention"):
        assert getattr(back.config, key, None) == getattr(theirs.config, key, None)


@pytest.mark.parametrize(
    "name",
    [
        "BertForPreTraining",
        "DistilBertForMaskedLM",
        "RobertaForSequenceClassification",
        "ModernBertForMaskedLM",
        "ElectraForPreTraining",
    ],
)
def test_the_encoder_alone_comes_out_of_any_class(name: str, tmp_path: Path, capsys):
    theirs = hugging_face_model(name)
    theirs.save_pretrained(tmp_path / "theirs")
    encoder = BertModel.from_pretrained(tmp_path / "theirs")
    assert "left" in capsys.readouterr().err
    encoder.save_pretrained(tmp_path / "ours")
    back = transformers.AutoModel.from_pretrained(tmp_path / "ours").eval()
    packed, padded = batches(theirs)
    expected, _ = their_outputs(theirs, padded)
    with torch.no_grad():
        torch.testing.assert_close(encoder(packed).last_hidden_state, expected[-1], rtol=1e-5, atol=1e-5)
        again = back(**padded).last_hidden_state[padded["attention_mask"].bool()]
    torch.testing.assert_close(again, expected[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "key"),
    [("Bert", "hidden_act"), ("Roberta", "hidden_act"), ("DistilBert", "activation"), ("Electra", "hidden_act")],
)
def test_the_masked_lm_head_has_the_activation_that_theirs_has(name: str, key: str, tmp_path: Path):
    theirs = hugging_face_model(f"{name}ForMaskedLM", **{key: "gelu_new"})
    theirs.save_pretrained(tmp_path)
    packed, padded = batches(theirs)
    ours = our_outputs(BertWithHeads.from_pretrained(tmp_path), packed)[1][0].double()
    torch.testing.assert_close(ours, their_outputs(theirs, padded)[1][0].double(), rtol=1e-5, atol=1e-5)
