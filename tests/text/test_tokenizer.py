import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.text.tokenizer import Tokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog. The dog sleeps.",
    "Éclairs are sweet, and the foxes were quicker than the dogs!",
    "Unaffable people quickly jumped; the laziest of them slept.",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CORPUS, vocab_size=150)


def tokens(tokenizer: Tokenizer, ids: np.ndarray) -> list[str]:
    return [tokenizer.id_to_token(i) for i in ids]


def test_special_tokens_have_the_first_five_ids(tokenizer: Tokenizer):
    assert tokens(tokenizer, np.arange(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id] == [0, 1, 2]
    assert [tokenizer.sep_token_id, tokenizer.mask_token_id] == [3, 4]


def test_a_pair_gets_separators_segments_and_offsets_into_its_own_texts(tokenizer: Tokenizer):
    first, second = "The  fox.", "the DOG"
    example = tokenizer.encode(first, second)
    assert tokens(tokenizer, example.input_ids) == ["[CLS]", "the", "fox", ".", "[SEP]", "the", "dog", "[SEP]"]
    assert example.token_type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    spans = [
        (first, second)[segment][start:stop]
        for segment, (start, stop) in zip(example.token_type_ids, example.offsets, strict=True)
    ]
    assert spans == ["", "The", "fox", ".", "", "the", "DOG", ""]
    assert example.input_ids.dtype == example.offsets.dtype == np.int32
    assert len(example) == 8


@settings(max_examples=200, deadline=None)
@given(
    first=st.integers(0, 12), second=st.none() | st.integers(0, 12), max_length=st.integers(3, 30), split=st.booleans()
)
def test_truncation_and_special_tokens_equal_the_librarys(tokenizer: Tokenizer, first, second, max_length, split):
    texts = ["fox [MASK] " * first, None if second is None else "the dog " * second]
    library = pickle.loads(pickle.dumps(tokenizer._library))
    library.encode_special_tokens = split
    library.enable_truncation(max_length)
    expected = library.encode(texts[0], texts[1])
    example = tokenizer.encode(texts[0], texts[1], max_length=max_length, split_special_tokens=split)
    assert example.input_ids.tolist() == expected.ids
    assert example.token_type_ids.tolist() == expected.type_ids
    assert [tuple(pair) for pair in example.offsets.tolist()] == expected.offsets


def test_a_batch_gives_each_texts_own_encoding_in_order(tokenizer: Tokenizer):
    texts, pairs = ["the fox", "", "dogs dogs dogs"], ["a dog", "sleeps", ""]
    for batch, alone in zip(
        tokenizer.encode_batch(texts, pairs, max_length=6),
        [tokenizer.encode(a, b, max_length=6) for a, b in zip(texts, pairs, strict=True)],
        strict=True,
    ):
        assert batch.input_ids.tolist() == alone.input_ids.tolist()
    assert tokenizer.encode_batch([]) == []


def test_a_special_token_in_the_text_stays_whole_unless_asked(tokenizer: Tokenizer):
    assert tokenizer.mask_token_id in tokenizer.encode("The [MASK] sleeps").input_ids
    assert tokenizer.mask_token_id not in tokenizer.encode("The [MASK] sleeps", split_special_tokens=True).input_ids


def test_decoding_joins_pieces_and_leaves_special_tokens_out(tokenizer: Tokenizer):
    ids = tokenizer.encode("The quickest foxes sleep.").input_ids
    assert tokenizer.decode(ids) == "the quickest foxes sleep."
    assert tokenizer.decode(ids, skip_special_tokens=False).startswith("[CLS] the")


def test_the_continuation_mask_marks_pieces_inside_words(tokenizer: Tokenizer):
    mask = tokenizer.continuation_mask()
    assert mask.shape == (tokenizer.vocab_size,)
    assert [tokenizer.id_to_token(i).startswith("##") for i in range(tokenizer.vocab_size)] == mask.tolist()
    assert mask.any()


@pytest.mark.parametrize(("pair", "max_length", "needed"), [(None, 1, 2), ("dog", 2, 3)])
def test_a_max_length_without_room_for_special_tokens_is_refused(tokenizer: Tokenizer, pair, max_length, needed):
    with pytest.raises(InputError, match=f"give at least {needed}"):
        tokenizer.encode("fox", pair, max_length=max_length)


def test_text_that_is_not_unicode_or_no_text_is_refused(tokenizer: Tokenizer):
    with pytest.raises(InputError, match="lone surrogate"):
        tokenizer.encode("the fox \ud800")
    with pytest.raises(InputError, match="text 1 is None"):
        tokenizer.encode_batch(["fox", None])


def test_cased_and_uncased_training_differ(tokenizer: Tokenizer):
    cased = Tokenizer.train(CORPUS, vocab_size=150, lowercase=False)
    assert cased.token_to_id("T") is not None and cased.token_to_id("É") is not None
    assert tokenizer.token_to_id("T") is None and tokenizer.token_to_id("É") is None
    assert not cased.lowercase and tokenizer.lowercase


def test_importing_the_text_floor_does_not_import_torch():
    code = "import sys, bertkit.text.bulk_encoder, bertkit.text.plain_text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_gives_the_same_file_in_every_process_and_with_any_number_of_threads(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from bertkit.text.tokenizer import Tokenizer;"
        "lines = [d for n in sorted(dir(__builtins__)) if (d := getattr(__builtins__, n).__doc__)];"
        "Tokenizer.train(lines, vocab_size=1000).save_pretrained(Path(sys.argv[1]))"
    )
    for seed in "123":
        environment = os.environ | {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], check=True, env=environment)
    files = {(tmp_path / seed / "tokenizer.json").read_bytes() for seed in "123"}
    assert len(files) == 1
    assert Tokenizer.from_pretrained(tmp_path / "1").vocab_size == 1000
