import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from bertkit.core.errors import InputError
from bertkit.text.tokenizer import Tokenizer

CORPUS = ["The fox sees Paris, and the café sees foxes.", "Foxes see the sea."] * 3
TEXTS = ["The café\tsees [MASK] foxes!", "中文 Zürich \u200b x" + "y" * 120, ""]


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def saved(request, tmp_path: Path) -> tuple[Tokenizer, Path]:
    tokenizer = Tokenizer.train(CORPUS, vocab_size=70, lowercase=request.param)
    tokenizer.save_pretrained(tmp_path / "saved")
    return tokenizer, tmp_path / "saved"


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_fingerprint_is_the_same_from_every_file(saved):
    tokenizer, folder = saved
    for path in (folder, folder / "tokenizer.json", folder / "vocab.txt"):
        assert Tokenizer.from_pretrained(path).fingerprint == tokenizer.fingerprint
    (folder / "tokenizer.json").unlink()
    assert Tokenizer.from_pretrained(folder).fingerprint == tokenizer.fingerprint
    assert Tokenizer.from_pretrained(folder, lowercase=not tokenizer.lowercase).fingerprint != tokenizer.fingerprint


def test_hugging_face_reads_the_folder_and_gives_the_same_ids(saved):
    tokenizer, folder = saved
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs.model_max_length == 512
    for text in TEXTS:
        expected = theirs(text, TEXTS[0])
        example = tokenizer.encode(text, TEXTS[0])
        assert example.input_ids.tolist() == expected["input_ids"]
        assert example.token_type_ids.tolist() == expected["token_type_ids"]


def test_a_folder_that_hugging_face_wrote_gives_the_same_fingerprint(saved, tmp_path: Path):
    tokenizer, folder = saved
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs(TEXTS, padding="max_length", truncation=True, max_length=8)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = Tokenizer.from_pretrained(tmp_path / "theirs")
    assert ours.fingerprint == tokenizer.fingerprint
    assert len(ours.encode("the fox " * 10)) == 22


def test_the_configuration_beside_a_vocabulary_decides_the_case(saved):
    tokenizer, folder = saved
    (folder / "tokenizer.json").unlink()
    edit(folder / "tokenizer_config.json", lambda config: config.update(do_lower_case=not tokenizer.lowercase))
    assert Tokenizer.from_pretrained(folder).lowercase != tokenizer.lowercase


def test_a_token_added_by_the_user_of_another_library_stays_whole(saved):
    tokenizer, folder = saved
    added = {"id": tokenizer.vocab_size, "content": "[E1]", "special": True}
    edit(folder / "tokenizer.json", lambda content: content["added_tokens"].append(added))
    ours = Tokenizer.from_pretrained(folder)
    assert ours.vocab_size == tokenizer.vocab_size + 1
    assert ours.encode("the [E1] fox").input_ids.tolist().count(tokenizer.vocab_size) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["model"].update(type="BPE"), "model BPE"),
        (lambda content: content.update(normalizer=None), "BertNormalizer"),
        (lambda content: content["model"]["vocab"].update({"zebra": 5000}), "gaps or repeats"),
        (lambda content: content.pop("model"), "not a tokenizer.json"),
    ],
)
def test_a_tokenizer_file_that_is_not_berts_is_refused(saved, change, message):
    edit(saved[1] / "tokenizer.json", change)
    with pytest.raises(InputError, match=message):
        Tokenizer.from_pretrained(saved[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"[PAD]\n[UNK]\nthe\n", r"no \[CLS\] \[SEP\] \[MASK\]"),
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nthe\n", "duplicate entry 'the'"),
        ("vocab.txt", b"[PAD]\n\xff\n", "not UTF-8"),
        ("tokenizer.json", b'{"model": ', "not valid JSON"),
    ],
)
def test_a_broken_file_is_named_in_the_error(tmp_path: Path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.from_pretrained(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        Tokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match="neither"):
        Tokenizer.from_pretrained(tmp_path)


def test_a_vocabulary_with_windows_line_ends_is_read(saved, tmp_path: Path):
    tokenizer, folder = saved
    path = tmp_path / "vocab.txt"
    path.write_bytes((folder / "vocab.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert Tokenizer.from_pretrained(path).fingerprint == tokenizer.fingerprint
