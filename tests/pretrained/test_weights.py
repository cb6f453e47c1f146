"""Weights come in from every file that Hugging Face writes, and bad files are one clear line."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bertkit.core.errors import InputError
from bertkit.core.files import read_json, write_json
from bertkit.model.encoder import Encoder
from bertkit.pretrained.folder import LoadReport, ModelFolder
from bertkit.pretrained.models import BertModel, BertWithHeads

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model, tmp_path / "model", ignore=shutil.ignore_patterns("SHA256SUMS"))
    return tmp_path / "model"


def _change(folder: Path, **changes: object) -> None:
    write_json(folder / "config.json", read_json(folder / "config.json") | changes)


def _rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def _as_pickle(folder: Path, **options: object) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin", **options)
    (folder / WEIGHTS).unlink()


def _as_parts(folder: Path, kind: str) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    places = {}
    for part in range(3):
        name = f"{stem}-{part + 1:05}-of-00003.{suffix}"
        mine = {key: tensor for index, (key, tensor) in enumerate(tensors.items()) if index % 3 == part}
        save_file(mine, folder / name) if suffix == "safetensors" else torch.save(mine, folder / name)
        places |= dict.fromkeys(mine, name)
    write_json(folder / f"{stem}.{suffix}.index.json", {"metadata": {}, "weight_map": places})


def _old_names(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in tensors.items()}
    old = {name.replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in old.items()}
    old["bert.embeddings.position_ids"] = torch.arange(40)[None]
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"].clone()
    _rewrite(folder, old)


def _bare_names(folder: Path) -> None:
    _rewrite(folder, {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / WEIGHTS).items()})


@pytest.mark.parametrize(
    "rewrite",
    [
        _as_pickle,
        lambda folder: _as_pickle(folder, _use_new_zipfile_serialization=False),
        lambda folder: _as_parts(folder, "safetensors"),
        lambda folder: _as_parts(folder, "bin"),
        _old_names,
        _bare_names,
    ],
    ids=["bin", "bin-of-old-torch", "safetensors-parts", "bin-parts", "gamma-beta", "bare"],
)
def test_the_same_weights_come_out_of_every_kind_of_file(tiny_model: Path, folder: Path, rewrite):
    expected = BertWithHeads.from_pretrained(tiny_model).state_dict()
    rewrite(folder)
    found, report = BertWithHeads.from_folder(ModelFolder.open(folder))
    assert report.complete
    assert found.state_dict().keys() == expected.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_weights_stored_in_half_precision_come_out_in_float32(folder: Path):
    _rewrite(folder, {name: tensor.half() for name, tensor in load_file(folder / WEIGHTS).items()})
    model = BertWithHeads.from_pretrained(folder)
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}


def test_the_report_names_what_was_taken_left_and_newly_made(folder: Path):
    tensors = load_file(folder / WEIGHTS)
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    _rewrite(folder, kept | {"crf.transitions": torch.zeros(3, 3)})
    encoder = nn.ModuleDict({"bert": Encoder(ModelFolder.open(folder).config)})
    report = ModelFolder.open(folder).load_into(encoder, may_lack=("bert.pooler.",))
    assert len(report.taken) == len(encoder.state_dict()) - 2
    assert set(report.left) == {name for name in kept if name.startswith("cls.")} | {"crf.transitions"}
    assert report.made == ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    line = str(report)
    assert "\n" not in line
    for word in (WEIGHTS, "left", "cls.predictions", "crf", "newly made bert.pooler.dense (2)"):
        assert word in line


def test_a_report_of_a_complete_load_says_nothing(capsys):
    report = LoadReport(path=Path("x"), taken=("a",))
    report.show()
    assert capsys.readouterr().err == ""
    LoadReport(path=Path("x"), taken=("a",), left=("b.c",)).show()
    assert "left b (1)" in capsys.readouterr().err


class _Payload:
    """Runs code when it is unpickled."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self):
        return Path.touch, (self.sign,)


@pytest.mark.parametrize("kind", ["torch.save", "old torch.save", "plain pickle", "a part of an index"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(folder: Path, tmp_path: Path, kind: str):
    sign = tmp_path / "it-ran"
    if kind == "a part of an index":
        _as_parts(folder, "bin")
        path = folder / "pytorch_model-00002-of-00003.bin"
    else:
        (folder / WEIGHTS).unlink()
        path = folder / "pytorch_model.bin"
    content = {"bert.pooler.dense.weight": _Payload(sign)}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "old torch.save")
    with pytest.raises(InputError, match=rf"{path.name}.*not opened.*safetensors") as caught:
        BertWithHeads.from_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert not sign.exists()
    with path.open("rb") as file:  # the payload does what it should where nothing stops it
        pickle.load(file) if kind == "plain pickle" else torch.load(file, weights_only=False)
    assert sign.exists()


def _damage_index(folder: Path, change) -> None:
    _as_parts(folder, "safetensors")
    index = folder / "model.safetensors.index.json"
    content = read_json(index)
    change(content["weight_map"])
    write_json(index, content)


def _with(folder: Path, name: str, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors[name] = change(tensors[name])
    _rewrite(folder, tensors)


def _set_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor[1, 2] = float("nan")
    return tensor


POOLER = "bert.pooler.dense.weight"
BAD = {
    "no config": (lambda folder: (folder / "config.json").unlink(), r"no config\.json"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "has no weights.*pytorch_model"),
    "another architecture": (lambda folder: _change(folder, model_type="gpt2"), "'gpt2'.*bert, distilbert, roberta"),
    "no architecture": (lambda folder: _change(folder, model_type=None), "type None"),
    "a list for config": (lambda folder: write_json(folder / "config.json", []), "'list'"),
    "a decoder": (lambda folder: _change(folder, is_decoder=True), "is_decoder"),
    "relative positions": (lambda folder: _change(folder, position_embedding_type="relative_key"), "relative_key"),
    "words for numbers": (lambda folder: _change(folder, hidden_size="wide"), r"config\.json.*hidden_size is \"wide\""),
    "wrong shape": (lambda folder: _change(folder, intermediate_size=36), r"shape \(32, 16\).*\(36, 16\)"),
    "more layers": (lambda folder: _change(folder, num_hidden_layers=3), r"lacks.*encoder\.layer\.2\."),
    "another vocabulary": (lambda folder: _change(folder, vocab_size=999), r"word_embeddings.*\(999, 16\)"),
    "NaN": (lambda folder: _with(folder, POOLER, _set_nan), r"1 of 256 weights of bert\.pooler\.dense\.weight are NaN"),
    "infinity": (lambda folder: _with(folder, POOLER, lambda tensor: tensor / 0), r"256 of 256.*infinite"),
    "whole numbers": (lambda folder: _with(folder, POOLER, torch.Tensor.char), r"int8.*floating"),
    "a cut file": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]),
        r"safetensors is not a whole",
    ),
    "text for weights": (lambda folder: (folder / WEIGHTS).write_text("version https://git-lfs"), "not a whole"),
    "text for a pickle": (
        lambda folder: (_as_pickle(folder), (folder / "pytorch_model.bin").write_text("version https://git-lfs")),
        r"pytorch_model\.bin",
    ),
    "a cut pickle": (
        lambda folder: (
            _as_pickle(folder),
            (folder / "pytorch_model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes()[:900]),
        ),
        r"pytorch_model\.bin is not a whole",
    ),
    "a list of tensors": (
        lambda folder: ((folder / WEIGHTS).unlink(), torch.save([torch.ones(2)], folder / "pytorch_model.bin")),
        "not a dictionary",
    ),
    "a missing part": (
        lambda folder: (_as_parts(folder, "safetensors"), (folder / "model-00002-of-00003.safetensors").unlink()),
        r"names model-00002-of-00003\.safetensors, not in the folder",
    ),
    "two missing parts": (
        lambda folder: (
            _as_parts(folder, "bin"),
            *((folder / f"pytorch_model-0000{part}-of-00003.bin").unlink() for part in (1, 3)),
        ),
        r"00001-of-00003\.bin, pytorch_model-00003",
    ),
    "an index of what is not there": (
        lambda folder: _damage_index(folder, lambda places: places.update({"x.y": next(iter(places.values()))})),
        r"names x\.y.*none of its parts",
    ),
    "an index that leaves the folder": (
        lambda folder: _damage_index(folder, lambda places: places.update({POOLER: "../other.safetensors"})),
        "files of the folder itself",
    ),
    "an empty index": (lambda folder: _damage_index(folder, lambda places: places.clear()), "weight_map"),
    "an untied decoder": (
        lambda folder: _rewrite(
            folder, load_file(folder / WEIGHTS) | {"cls.predictions.decoder.weight": torch.ones(90, 16)}
        ),
        "decoder.*not tied",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_folder_is_one_line_that_says_what_is_wrong(folder: Path, kind: str):
    damage, words = BAD[kind]
    damage(folder)
    with pytest.raises(InputError, match=words) as caught:
        BertWithHeads.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_an_untied_decoder_does_not_stand_in_the_way_of_the_encoder(folder: Path, capsys):
    _rewrite(folder, load_file(folder / WEIGHTS) | {"cls.predictions.decoder.weight": torch.ones(90, 16)})
    BertModel.from_pretrained(folder)
    assert "cls.predictions.decoder (1)" in capsys.readouterr().err


def test_json_that_is_not_json(folder: Path):
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"})[:-2])
    with pytest.raises(InputError, match="not valid JSON"):
        ModelFolder.open(folder)
