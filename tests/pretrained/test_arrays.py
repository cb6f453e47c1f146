import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.helpers.small_models import CONFIGS, small_folder

from bertkit.core.checksums import SUMS_FILE
from bertkit.core.errors import InputError
from bertkit.pretrained.arrays import map_safetensors
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.weights import SAFETENSORS_FILE


@pytest.mark.parametrize("name", CONFIGS)
def test_arrays_are_the_modules_weights_under_our_names(tmp_path: Path, name: str):
    model = small_folder(tmp_path, CONFIGS[name], "BertForMaskedLM")
    arrays = ModelFolder.open(tmp_path).arrays
    for key, tensor in model.state_dict().items():
        assert key in arrays
        assert arrays.shape(key) == tuple(tensor.shape)
        np.testing.assert_array_equal(arrays.read(key), tensor.numpy())
    assert "head.dense.weight" not in arrays
    arrays.check_tied()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_number_formats_are_read_as_float32(tmp_path: Path, dtype: torch.dtype):
    tensors = {"one": torch.randn(3, 5).to(dtype), "other": torch.randn(7).to(dtype)}
    save_file(tensors, tmp_path / SAFETENSORS_FILE)
    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    (tmp_path / "model" / SUMS_FILE).unlink()
    path = tmp_path / "model" / SAFETENSORS_FILE
    stored = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
    save_file(stored, path)
    arrays = ModelFolder.open(tmp_path / "model").arrays
    name = "bert.embeddings.word_embeddings.weight"
    expected = stored[name] if name in stored else next(each for key, each in stored.items() if key.endswith(name[5:]))
    np.testing.assert_array_equal(arrays.read(name), expected.float().numpy())


def test_weights_of_torch_are_read_by_torch(tmp_path: Path):
    model = small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    path = tmp_path / SAFETENSORS_FILE
    torch.save(load_file(path), tmp_path / "pytorch_model.bin")
    path.unlink()
    arrays = ModelFolder.open(tmp_path).arrays
    name = "bert.layers.1.attention.query_key_value.weight"
    np.testing.assert_array_equal(arrays.read(name), model.state_dict()[name].numpy())


def test_what_is_missing_broken_or_untied_is_named(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertForMaskedLM")
    (tmp_path / SUMS_FILE).unlink()
    path = tmp_path / SAFETENSORS_FILE
    whole, tensors = path.read_bytes(), load_file(path)
    with pytest.raises(InputError, match=r"lacks the tensor classifier\.weight: it is not a whole BertForMaskedLM"):
        ModelFolder.open(tmp_path).arrays.read("head.dense.weight")
    words = tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors | {"cls.predictions.decoder.weight": words + 1}, path)
    with pytest.raises(InputError, match=r"decoder\.weight is not tied to the word embeddings"):
        ModelFolder.open(tmp_path).arrays.check_tied()
    tensors["cls.predictions.bias"][3] = torch.nan
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"1 of 61 weights of masked_lm\.bias are NaN or infinite"):
        ModelFolder.open(tmp_path).arrays.read("masked_lm.bias")
    save_file(tensors | {"cls.predictions.bias": tensors["cls.predictions.bias"].int()}, path)
    with pytest.raises(InputError, match=r"masked_lm\.bias is int32, not floating-point"):
        ModelFolder.open(tmp_path).arrays.read("masked_lm.bias")
    for broken in (b"", whole[:5], whole[:200], whole[:-1], b"\xff" * 8 + whole[8:], whole[:8] + b"x" + whole[9:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="is not a whole safetensors file"):
            map_safetensors(path)


def test_a_header_may_not_point_outside_of_the_file(tmp_path: Path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}).encode()
    path = tmp_path / SAFETENSORS_FILE
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(InputError, match="a lies outside of it"):
        map_safetensors(path)


def test_a_folder_is_described_and_its_arrays_read_without_torch(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertForMaskedLM")
    script = (
        "import sys\n"
        "from bertkit.pretrained.folder import ModelFolder\n"
        "folder = ModelFolder.open(sys.argv[1])\n"
        "assert folder.holds('masked_lm.bias') and not folder.has_pooler\n"
        "folder.arrays.read('bert.layers.0.attention.query_key_value.weight')\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
