import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bertkit.core.errors import InputError
from bertkit.core.packing import PackedArrays
from bertkit.inference.backends.base import (
    MASKED_LM,
    TASK,
    HeadLogits,
    PooledStates,
    SequenceStates,
    TokenStates,
    TokensWithId,
    Want,
)
from bertkit.inference.backends.native import Native
from bertkit.inference.backends.torch_packed import TorchPacked
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.int8 import INT8_FILE, quantize_tensors
from bertkit.pretrained.models import BertWithHeads
from bertkit.tasks.model import load_task_model
from bertkit.tasks.task_folder import has_task
from native_isas import AVAILABLE, needs_native
from small_models import CONFIGS, HEADS, small_folder

pytestmark = needs_native
STATES = [
    SequenceStates((0, 3), "mean"),
    SequenceStates((3,), "first"),
    TokenStates((1, 2, 3)),
    TokenStates((3,), "first"),
    TokenStates((3,), TokensWithId(7)),
    TokenStates((0, 2), TokensWithId(7)),
    TokenStates((3,), TokensWithId(60)),  # none has it
]


def _batch() -> PackedArrays:
    lengths = np.array([5, 1, 33, 17])
    random = np.random.default_rng(0)
    ids = random.integers(1, 60, lengths.sum())
    ids[[0, 9, 30]] = 7
    return PackedArrays(ids, np.zeros_like(ids), lengths)


def _torch(folder: Path) -> TorchPacked:
    opened = ModelFolder.open(folder)
    module = load_task_model(opened)[0] if has_task(opened) else BertWithHeads.from_folder(opened)[0]
    return TorchPacked.frozen(module, torch.device("cpu"))


def _wants(backend: TorchPacked) -> list[Want]:
    heads: dict[str, list[Want]] = {
        MASKED_LM: [HeadLogits(MASKED_LM), HeadLogits(MASKED_LM, TokensWithId(7))],
        TASK: [HeadLogits(TASK)],
    }
    return [
        *STATES,
        *([PooledStates()] if backend.has_pooler else []),
        *(want for head in backend.heads for want in heads[head]),
    ]


@pytest.mark.parametrize(("name", "architecture"), [*itertools.product(CONFIGS, HEADS), ("bert", "BertForPreTraining")])
def test_everything_is_torchs_to_1e_5(tmp_path: Path, name: str, architecture: str):
    small_folder(tmp_path, CONFIGS[name], architecture)
    theirs = _torch(tmp_path)
    ours = Native(ModelFolder.open(tmp_path), "float32", threads=2)
    assert (ours.has_pooler, tuple(ours.heads)) == (theirs.has_pooler, tuple(theirs.heads))
    assert tuple(ours.layers) == tuple(theirs.layers)
    for want in _wants(theirs):
        for mine, expected in zip(ours.run(_batch(), want), theirs.run(_batch(), want), strict=True):
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine, expected, atol=1e-5, rtol=1e-5, err_msg=str(want))


def test_a_stream_computes_the_same_bits_as_all_threads(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertForMaskedLM")
    backend = Native(ModelFolder.open(tmp_path), "float32", threads=3)
    wants = [*STATES, HeadLogits(MASKED_LM)]
    before = [backend.run(_batch(), want) for want in wants]
    backend.start_stream()
    for want, expected in zip(wants, before, strict=True):
        for mine, other in zip(backend.run(_batch(), want), expected, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", ["bert", "electra", "modernbert"])
def test_int8_is_near_float32_and_an_int8_folder_is_taken_as_it_is(tmp_path: Path, name: str):
    small_folder(tmp_path / "plain", CONFIGS[name], "BertModel")
    plain = ModelFolder.open(tmp_path / "plain")
    want = SequenceStates((3,), "mean")
    (exact,) = Native(plain, "float32").run(_batch(), want)
    (quantized,) = Native(plain, "int8").run(_batch(), want)
    cosines = (exact * quantized).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(quantized, axis=1)
    assert 0.98 < cosines.min() < 1

    _write_int8(tmp_path / "plain", tmp_path / "int8", plain)
    backend = Native(ModelFolder.open(tmp_path / "int8"))
    assert backend.precision == "int8"
    np.testing.assert_allclose(backend.run(_batch(), want)[0], quantized, atol=2e-3)


def _write_int8(source: Path, target: Path, folder: ModelFolder) -> None:
    """All layers of the encoder in int8, with what `config.json` says of them."""
    from safetensors.numpy import load_file

    from bertkit.core.files import read_json, write_json
    from bertkit.pretrained.int8 import INT8_KEY, Int8Settings

    target.mkdir()
    layers = tuple(module for modules in folder.linear_modules.values() for module in modules)
    quantize_tensors(load_file(source / "model.safetensors"), layers).write(target / INT8_FILE)
    settings = Int8Settings(int8_layers=layers).describe()
    write_json(target / "config.json", read_json(source / "config.json") | {INT8_KEY: settings})


def test_auto_is_bf16_where_the_cpu_multiplies_it(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    has_bf16 = {"avx512_bf16", "amx"} & set(AVAILABLE)
    assert Native(ModelFolder.open(tmp_path)).precision == ("bf16" if has_bf16 else "float32")
    assert Native(ModelFolder.open(tmp_path), isa="avx2").precision == "float32"
    with pytest.raises(InputError, match="this CPU does not multiply bf16"):
        Native(ModelFolder.open(tmp_path), "bf16", isa="avx2")


def test_weights_of_another_size_are_refused(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 40', '"intermediate_size": 48'))
    with pytest.raises(InputError, match=r"has shape \(40,\) but config.json asks for \(48,\)"):
        Native(ModelFolder.open(tmp_path))


def test_it_runs_without_torch(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertForSequenceClassification")
    script = (
        "import sys, numpy as np\n"
        "from bertkit.core.packing import PackedArrays\n"
        "from bertkit.inference.backends.base import TASK, HeadLogits\n"
        "from bertkit.inference.backends.native import Native\n"
        "from bertkit.pretrained.folder import ModelFolder\n"
        "ids = np.arange(5)\n"
        "batch = PackedArrays(ids, 0 * ids, np.array([5]))\n"
        f"print(Native(ModelFolder.open({str(tmp_path)!r})).run(batch, HeadLogits(TASK))[0].shape)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "(1, 3)"), done.stderr
