import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
for _package in ("onnxruntime", "openvino"):
    pytest.importorskip(_package, reason=f"needs the package {_package}")

from bertkit.core.errors import InputError  # noqa: E402
from bertkit.core.packing import PackedArrays  # noqa: E402
from bertkit.inference.backends import graph_cache  # noqa: E402
from bertkit.inference.backends.base import (  # noqa: E402
    MASKED_LM,
    TASK,
    Backend,
    HeadLogits,
    PooledStates,
    SequenceStates,
    TokenStates,
    TokensWithId,
    Want,
)
from bertkit.inference.backends.graph_cache import FLOAT32 as FLOAT32_GRAPH  # noqa: E402
from bertkit.inference.backends.graph_cache import graph_file  # noqa: E402
from bertkit.inference.backends.onnx_runtime import OnnxBackend  # noqa: E402
from bertkit.inference.backends.openvino_runtime import OpenVinoBackend  # noqa: E402
from bertkit.inference.backends.table import BackendOptions  # noqa: E402
from bertkit.inference.backends.torch_packed import TorchPacked  # noqa: E402
from bertkit.pretrained.folder import ModelFolder  # noqa: E402
from small_models import CONFIGS, HEADS, small_folder  # noqa: E402

RUNTIMES = {"onnx": OnnxBackend, "openvino": OpenVinoBackend}
FLOAT32 = BackendOptions(precision="float32", threads=2)
LENGTHS = np.array([5, 1, 33, 17])
CASES = [
    *(("onnx", config, "BertForMaskedLM") for config in CONFIGS),
    *((runtime, "bert", head) for runtime, head in itertools.product(RUNTIMES, HEADS) if head != "BertForMaskedLM"),
    ("openvino", "modernbert", "BertForMaskedLM"),
]


def _batch() -> PackedArrays:
    ids = np.random.default_rng(0).integers(1, 60, LENGTHS.sum())
    ids[[0, 9, 30]] = 7
    return PackedArrays(ids, np.zeros_like(ids), LENGTHS)


def _wants(backend: Backend) -> Iterator[Want]:
    yield SequenceStates((3,))
    yield SequenceStates((0, 2), "first")
    yield TokenStates((1, 3))
    yield TokenStates((3,), TokensWithId(7))
    if backend.has_pooler:
        yield PooledStates()
    for head in backend.heads:
        yield HeadLogits(head)
        if head == MASKED_LM:
            yield HeadLogits(head, TokensWithId(7))
            yield HeadLogits(head, TokensWithId(60))  # none has it


@pytest.mark.parametrize(("runtime", "config", "architecture"), CASES)
def test_everything_is_torchs_to_1e_5(tmp_path: Path, runtime: str, config: str, architecture: str):
    small_folder(tmp_path, CONFIGS[config], architecture)
    folder = ModelFolder.open(tmp_path)
    theirs, ours = TorchPacked.open(folder, FLOAT32), RUNTIMES[runtime].open(folder, FLOAT32)
    assert (ours.has_pooler, set(ours.heads), list(ours.layers)) == (
        theirs.has_pooler,
        set(theirs.heads),
        list(theirs.layers),
    )
    for want in _wants(theirs):
        for mine, expected in zip(ours.run(_batch(), want), theirs.run(_batch(), want), strict=True):
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine, expected, atol=1e-5, rtol=1e-5, err_msg=str(want))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_is_near_float32_and_is_not_float32(tmp_path: Path, runtime: str):
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    folder, want = ModelFolder.open(tmp_path), SequenceStates((3,))
    int8 = BackendOptions(precision="int8", threads=1)
    (exact,), (found,) = (RUNTIMES[runtime].open(folder, one).run(_batch(), want) for one in (FLOAT32, int8))
    products = (exact * found).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(found, axis=1)
    assert 0.98 < products.min() < 1 - 1e-6


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_stream_and_a_text_alone_get_what_a_batch_gets(tmp_path: Path, runtime: str):
    small_folder(tmp_path, CONFIGS["bert"], "BertForSequenceClassification")
    backend, want = RUNTIMES[runtime].open(ModelFolder.open(tmp_path), FLOAT32), HeadLogits(TASK)
    (together,) = backend.run(_batch(), want)
    backend.start_stream()
    ends = np.cumsum(LENGTHS)
    for row, (end, length) in enumerate(zip(ends, LENGTHS, strict=True)):
        ids = _batch().input_ids[end - length : end]
        (alone,) = backend.run(PackedArrays(ids, np.zeros_like(ids), LENGTHS[row : row + 1]), want)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_cannot_be_run_is_said_in_a_line(tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch):
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    folder, family = ModelFolder.open(tmp_path), RUNTIMES[runtime]
    lengths = np.array([65])
    too_long = PackedArrays(np.ones(65, np.int64), np.zeros(65, np.int64), lengths)
    with pytest.raises(InputError, match=r"a text of 65 tokens is longer than the 64 positions of .*: cut it"):
        family.open(folder, FLOAT32).run(too_long, SequenceStates((3,)))
    gpu = BackendOptions(precision="float32", threads=1, device="cuda")
    assert f"the backend {runtime} runs on the CPU, not on cuda" in family.obstacle(folder, gpu)
    module = f"bertkit.inference.backends.{runtime}_runtime"
    monkeypatch.setattr(f"{module}.is_installed", lambda *names: False)
    extra = f'the backend {runtime} is not installed: pip install "bertkit[{runtime}]"'
    assert family.obstacle(folder, FLOAT32) == extra


def _graphs(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*.onnx")}


def test_graphs_are_kept_for_these_weights_alone(tmp_path: Path):
    model, cache, outputs = tmp_path / "model", tmp_path / "cache", ("last_hidden_state",)
    small_folder(model, CONFIGS["bert"], "BertModel")
    before = {path.name for path in model.iterdir()}
    with graph_file(ModelFolder.open(model), outputs, FLOAT32_GRAPH, cache) as path:
        first, made = path, path.stat().st_mtime_ns
    with graph_file(ModelFolder.open(model), outputs, FLOAT32_GRAPH, cache) as path:
        assert (path, path.stat().st_mtime_ns) == (first, made)
    small_folder(model, CONFIGS["bert"], "BertModel")
    with graph_file(ModelFolder.open(model), outputs, FLOAT32_GRAPH, cache) as path:
        assert path != first
    assert _graphs(cache) == {path.name}
    assert {path.name for path in model.iterdir()} == before


def test_a_graph_of_another_version_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    folder = ModelFolder.open(tmp_path / "model")
    with graph_file(folder, ("last_hidden_state",), FLOAT32_GRAPH, tmp_path) as path:
        first = path
    monkeypatch.setattr(graph_cache, "GRAPH_VERSION", graph_cache.GRAPH_VERSION + 1)
    with graph_file(folder, ("last_hidden_state",), FLOAT32_GRAPH, tmp_path) as path:
        assert path.is_file() and path != first and not first.is_file()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    (tmp_path / "cache").write_text("a file where a folder should be")
    with graph_file(
        ModelFolder.open(tmp_path / "model"), ("last_hidden_state",), FLOAT32_GRAPH, tmp_path / "cache"
    ) as path:
        assert path.is_file()
    assert not path.exists()
    assert "cannot be written" in capsys.readouterr().err


def test_results_are_of_their_own_memory(tmp_path: Path):
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    for runtime in RUNTIMES.values():
        backend = runtime.open(ModelFolder.open(tmp_path), FLOAT32)
        (first,) = backend.run(_batch(), TokenStates((3,)))
        kept = first.copy()
        backend.run(PackedArrays(_batch().input_ids[::-1].copy(), _batch().token_type_ids, LENGTHS), TokenStates((3,)))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_broken_graph_in_the_cache_is_made_again(tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    folder, want = ModelFolder.open(tmp_path / "model"), SequenceStates((3,))
    (expected,) = RUNTIMES[runtime].open(folder, FLOAT32).run(_batch(), want)
    (graph,) = (tmp_path / "cache").rglob("*.onnx")
    graph.unlink()  # the runtime may have mapped it
    graph.write_bytes(b"broken")
    (found,) = RUNTIMES[runtime].open(folder, FLOAT32).run(_batch(), want)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("given", "kept"), [(None, "1"), ("0", "0")])
def test_onnx_runtime_sends_nothing_unless_the_program_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, kept: str
):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY") if given is None else monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
    small_folder(tmp_path, CONFIGS["bert"], "BertModel")
    OnnxBackend.open(ModelFolder.open(tmp_path), FLOAT32).run(_batch(), SequenceStates((3,)))
    assert os.environ["ORT_DISABLE_TELEMETRY"] == kept
