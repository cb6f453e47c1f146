"""A folder as ModernBERT's are published: Transformers' weights with a tokenizer of byte pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import bertkit
from bertkit.inference.convert import convert
from byte_pairs import LINES, save_byte_pairs

TEXT = "The old [MASK] runs over  green stones"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modernbert")
    save_byte_pairs(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.ModernBertConfig(
        vocab_size=len(tokenizer) + 13,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=48,
        local_attention=8,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = transformers.ModernBertForMaskedLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("converted", [False, True])
def test_it_fills_masks_and_embeds_as_in_transformers(folder: Path, tmp_path: Path, converted: bool):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    inputs = tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
        expected = [theirs.model(**tokenizer(line, return_tensors="pt")).last_hidden_state[0].mean(0) for line in LINES]
    best = logits[:, : len(tokenizer)].softmax(-1).topk(3)
    if converted:
        convert(folder, tmp_path / "copy")
    model = bertkit.load(tmp_path / "copy" if converted else folder)
    (found,) = model.fill_mask(TEXT, top_k=3)
    assert [token for token, _ in found] == tokenizer.convert_ids_to_tokens(best.indices[0])
    assert [chance for _, chance in found] == pytest.approx(best.values[0].tolist(), rel=1e-4)
    np.testing.assert_allclose(model.embed(LINES, pooling="mean"), torch.stack(expected), rtol=1e-4, atol=1e-5)
