"""Encoders that are not BERT's, packed, against those of Transformers, with every head."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.modernbert import modeling_modernbert

from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.formats.electra import ELECTRA
from bertkit.pretrained.formats.modernbert import MODERNBERT
from bertkit.pretrained.models import BertWithHeads
from pairs import BOUNDS, IGNORED, Case, Inputs, as_vector, cases, inputs, relative, split_rows
from parity_table import ParityTable

EXAMPLES = max(3, settings().max_examples // 25)
FORMATS = {"ModernBert": MODERNBERT, "Electra": ELECTRA}
PAPER_NAMES = {"ModernBert": "ModernBERT", "Electra": "ELECTRA"}
CLASSES = (
    "BertForMaskedLM",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
)


@st.composite
def electra_cases(draw: st.DrawFn) -> tuple[Case, dict[str, Any]]:
    """Sizes, ragged lengths, and embeddings as wide as the layers or not."""
    case = draw(cases())
    width = case.heads * case.head_size
    return case, {
        "embedding_size": draw(st.one_of(st.just(width), st.integers(8, 60))),
        "hidden_act": case.hidden_act,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "summary_last_dropout": 0.0,
    }


@st.composite
def modern_cases(draw: st.DrawFn) -> tuple[Case, dict[str, Any]]:
    """Sizes, ragged lengths shorter and longer than the window and than its blocks, and what ModernBERT adds."""
    case = Case(
        layers=draw(st.integers(1, 5)),
        heads=draw(st.integers(1, 4)),
        head_size=2 * draw(st.integers(4, 9)),
        intermediate=draw(st.integers(1, 60)),
        hidden_act="gelu",
        spread=draw(st.sampled_from([0.3, 0.55, 1.1])),
        lengths=tuple(draw(st.lists(st.one_of(st.integers(1, 30), st.integers(31, 150)), min_size=2, max_size=5))),
        pairs=False,
        seed=draw(st.integers(0, 2**31)),
    )
    changes = {
        "local_attention": draw(st.sampled_from([4, 15, 32])),
        "global_attn_every_n_layers": draw(st.integers(1, 4)),
        "global_rope_theta": draw(st.sampled_from([160_000.0, 1_000.0])),
        "classifier_pooling": draw(st.sampled_from(["cls", "mean"])),
    }
    return case, changes


@pytest.fixture
def double_rotation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Transformers turns queries and keys in float32 whatever their type; here in theirs."""

    def turn(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int) -> tuple[Tensor, Tensor]:
        half = modeling_modernbert.rotate_half
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        return query * cos + half(query) * sin, key * cos + half(key) * sin

    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", turn)
    yield


CASES = {"ModernBert": modern_cases(), "Electra": electra_cases()}


def _models(
    family: str, case: Case, changes: dict[str, Any], name: str, dtype: torch.dtype
) -> tuple[Any, BertWithHeads]:
    torch.manual_seed(case.seed)
    form = FORMATS[family]
    config = getattr(transformers, f"{family}Config")(
        vocab_size=97,
        hidden_size=case.heads * case.head_size,
        num_hidden_layers=case.layers,
        num_attention_heads=case.heads,
        intermediate_size=case.intermediate,
        max_position_embeddings=max(case.lengths),
        pad_token_id=0,
        num_labels=2 if name == "BertForQuestionAnswering" else 3,
        attn_implementation="sdpa",
        **changes,
    )
    theirs = getattr(transformers, form.class_name(name))(config)
    for parameter in theirs.parameters():
        mean = float(parameter.detach().mean()) if parameter.ndim == 1 else 0.0
        nn.init.normal_(parameter, mean, case.deviation)
    labels = ("a", "b", "c") if name in ("BertForSequenceClassification", "BertForTokenClassification") else None
    described = ModelDescription(config=form.read_config(config.to_dict()), architecture=name, labels=labels)
    ours = BertWithHeads.outline(described)
    ours.to_empty(device="cpu")
    found = form.names_for(name).read(theirs.state_dict(), ours.state_dict())
    assert not found.left
    ours.load_state_dict(found.found)
    return theirs.to(dtype).eval(), ours.to(dtype).eval()


def _logits_and_loss(ours: BertWithHeads, name: str, given_inputs: Inputs) -> tuple[Tensor, Tensor]:
    output, labels = ours.bert(given_inputs.packed), given_inputs.labels
    if name == "BertForMaskedLM":
        assert ours.masked_lm is not None
        logits = ours.masked_lm(output.last_hidden_state, ours.bert.embeddings.word_embeddings.weight)
        return logits, F.cross_entropy(logits, labels["labels"][given_inputs.is_token], ignore_index=IGNORED)
    assert ours.head is not None
    if name == "BertForTokenClassification":
        logits = ours.head(output.last_hidden_state)
        return logits, F.cross_entropy(logits, labels["labels"][given_inputs.is_token])
    if name == "BertForQuestionAnswering":
        logits = ours.head(output.last_hidden_state)
        targets = torch.stack((labels["start_positions"], labels["end_positions"]), 1)
        losses = [
            F.cross_entropy(r.t(), t) for r, t in zip(split_rows(logits, given_inputs.packed), targets, strict=True)
        ]
        return logits, torch.stack(losses).mean()
    logits = ours.head(output.pooler_output)
    logits = logits.view(1, -1) if name == "BertForMultipleChoice" else logits
    return logits, F.cross_entropy(logits, labels["labels"])


def _arguments(theirs: Any, given_inputs: Inputs) -> dict[str, Tensor]:
    types = hasattr(theirs.config, "type_vocab_size")
    return {key: value for key, value in given_inputs.padded.items() if types or key != "token_type_ids"}


def _their_logits_and_loss(theirs: Any, name: str, given_inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Of tokens those that are; of answers each sequence alone, as its softmax takes padding for possible answers."""
    padded = _arguments(theirs, given_inputs)
    if name == "BertForMultipleChoice":
        padded = {key: value[None] for key, value in padded.items()}
    if name == "BertForQuestionAnswering":
        outputs = []
        bounds = given_inputs.packed.cu_seqlens.tolist()
        for row, (start, end) in enumerate(pairwise(bounds)):
            alone = {key: value[row : row + 1, : end - start] for key, value in padded.items()}
            targets = {key: value[row : row + 1] for key, value in given_inputs.labels.items()}
            outputs.append(theirs(**alone, **targets))
        logits = [torch.stack((each.start_logits[0], each.end_logits[0]), 1) for each in outputs]
        return torch.cat(logits), torch.stack([each.loss for each in outputs]).mean()
    if name == "BertForMaskedLM":  # its own loss rounds the logits to float32
        logits = theirs(**padded).logits
        return logits[given_inputs.is_token], F.cross_entropy(logits.mT, given_inputs.labels["labels"])
    output = theirs(**padded, **given_inputs.labels)
    by_token = name == "BertForTokenClassification"
    return output.logits[given_inputs.is_token] if by_token else output.logits, output.loss


@pytest.mark.usefixtures("double_rotation")
@pytest.mark.parametrize("precision", list(BOUNDS))
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("family", FORMATS)
def test_every_head_gives_the_numbers_of_transformers(
    parity_table: ParityTable, family: str, name: str, precision: str
):
    bound, path = BOUNDS[precision], f"{PAPER_NAMES[family]}, packed (bertkit.model)"

    def check(what: str, found: Tensor, expected: Tensor) -> None:
        parity_table.check(what, path, precision, relative(found, expected), bound)

    @settings(max_examples=EXAMPLES, derandomize=True)
    @given(drawn=CASES[family])
    def compare(drawn: tuple[Case, dict[str, Any]]) -> None:
        case, changes = drawn
        theirs, ours = _models(family, case, changes, name, getattr(torch, precision))
        given_inputs = inputs(case, name)
        is_token = given_inputs.is_token
        with torch.no_grad():
            base = theirs.base_model(**_arguments(theirs, given_inputs), output_hidden_states=True)
            output = ours.bert(given_inputs.packed, output_hidden_states=True)
        for ours_layer, theirs_layer in zip(output.hidden_states, base.hidden_states, strict=True):
            check("hidden states of every layer", ours_layer, theirs_layer[is_token])
        check("last hidden states", output.last_hidden_state, base.last_hidden_state[is_token])

        expected_logits, expected_loss = _their_logits_and_loss(theirs, name, given_inputs)
        logits, loss = _logits_and_loss(ours, name, given_inputs)
        check("logits", logits, expected_logits)
        check("losses", loss, expected_loss)
        expected_loss.backward()
        loss.backward()
        wanted = {key: parameter.grad for key, parameter in theirs.named_parameters()}
        gradient, expected = {}, {}
        for key, parameter in ours.named_parameters():
            assert parameter.grad is not None, key
            gradient[key] = parameter.grad
            expected[key] = torch.cat([wanted.pop(foreign) for foreign in FORMATS[family].names_for(name).foreign(key)])
        assert not wanted
        check("gradient of all parameters", as_vector(gradient, expected), as_vector(expected, expected))

    compare()
