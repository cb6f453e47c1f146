import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertkit.core.errors import InputError
from bertkit.core.files import read_json
from bertkit.inference.export.export import GRAPH_FILES, export
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertModel
from bertkit.text.tokenizer import Tokenizer

pytest.importorskip("onnx", reason="needs the package onnx")


@pytest.fixture(scope="module")
def sentence_encoder(
    tokenizer: Tokenizer, encoder_without_pooler: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An encoder with the files of sentence-transformers, and texts cut at 12 tokens."""
    from bertkit.pretrained.sentence_settings import SentenceSettings

    folder = tmp_path_factory.mktemp("sentences") / "model"
    BertModel.from_pretrained(encoder_without_pooler).save_pretrained(folder)
    SentenceSettings(normalize=True, max_length=12).write(folder, 24)
    tokenizer.save_pretrained(folder)
    return folder


def test_one_folder_has_what_every_reader_looks_for(sentence_encoder: Path, tmp_path: Path):
    report = export(sentence_encoder, tmp_path / "out", precision=("float32", "int8"))
    assert report.outputs == ("last_hidden_state", "sentence_embedding")
    assert "onnx/model.onnx" in (tmp_path / "out" / "SHA256SUMS").read_text()
    for name in (
        *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
        *("modules.json", "1_Pooling/config.json", "2_Normalize", "sentence_bert_config.json"),
        *("onnx/model.onnx", "onnx/model_quantized.onnx"),
    ):
        assert (tmp_path / "out" / name).exists(), name
    written = read_json(tmp_path / "out" / "tokenizer_config.json")
    assert (written["model_max_length"], written["pad_token"]) == (12, "[PAD]")
    assert str(report).startswith(f"{tmp_path / 'out'}: BertModel, onnx/model.onnx, onnx/model_quantized.onnx (")


def test_the_head_that_is_asked_for_is_exported_and_one_that_is_not_there_refused(
    pretrained: Path, classifier: Path, encoder_without_pooler: Path, tmp_path: Path
):
    assert export(pretrained, tmp_path / "words").outputs == ("logits",)
    assert read_json(tmp_path / "words" / "config.json")["architectures"] == ["BertForMaskedLM"]
    assert export(pretrained, tmp_path / "vectors", head="embeddings").outputs == ("last_hidden_state",)
    assert export(classifier, tmp_path / "classes").outputs == ("logits",)
    assert read_json(tmp_path / "classes" / "config.json")["id2label"]["2"] == "good"
    assert (tmp_path / "classes" / "task.json").is_file()
    with pytest.raises(InputError, match="BertModel, which has no head that fills in words"):
        export(encoder_without_pooler, tmp_path / "none", head="fill-mask")
    with pytest.raises(InputError, match="BertForPreTraining, which has no head of a task: fine-tune it first"):
        export(pretrained, tmp_path / "none", head="task")
    assert not (tmp_path / "none").exists()


def test_bad_input_is_one_line(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="to 'tensorrt' is unknown: use onnx or openvino"):
        export(pretrained, tmp_path / "out", to="tensorrt")  # type: ignore[arg-type]
    export(pretrained, tmp_path / "out")
    with pytest.raises(InputError, match="is there already"):
        export(pretrained, tmp_path / "out")
    export(pretrained, tmp_path / "out", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        export(pretrained, tmp_path / "file" / "out")
    monkeypatch.setattr("bertkit.inference.export.export.is_installed", lambda _: False)
    with pytest.raises(InputError, match=r'the package onnx is missing: pip install "bertkit\[openvino\]"'):
        export(pretrained, tmp_path / "other", to="openvino")


def test_a_killed_or_failed_export_leaves_nothing(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr("bertkit.inference.export.graph.Graph.write", fail)
    with pytest.raises(OSError, match="gone"):
        export(pretrained, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_is_made_without_torch(pretrained: Path, tmp_path: Path):
    script = (
        "import sys; from bertkit.cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or ('torch' in sys.modules and 'torch was imported'))"
    )
    command = ["export", str(pretrained), "--out", str(tmp_path / "out"), "--precision", "int8"]
    done = subprocess.run([sys.executable, "-c", script, *command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "onnx/model_quantized.onnx" in done.stdout


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_openvino_reads_its_graph_and_computes_the_same(precision: str, sentence_encoder: Path, tmp_path: Path):
    openvino = pytest.importorskip("openvino", reason="needs the package openvino")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

    out = tmp_path / "out"
    report = export(sentence_encoder, out, to=("onnx", "openvino"), precision=("float32", precision))
    compiled = openvino.Core().compile_model(
        out / GRAPH_FILES["openvino", precision], "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    ids = np.array([[2, 5, 6, 7, 8, 3], [2, 9, 3, 0, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    found = compiled(inputs)
    session = onnxruntime.InferenceSession(out / GRAPH_FILES["onnx", "float32"], providers=["CPUExecutionProvider"])
    expected = dict(zip(report.outputs, session.run(None, inputs), strict=True))
    if precision == "float32":
        for name in report.outputs:
            kept = inputs["attention_mask"].astype(bool) if name == "last_hidden_state" else slice(None)
            assert np.abs(found[name][kept] - expected[name][kept]).max() < 1e-5
    else:
        sizes = {
            each: (out / GRAPH_FILES["openvino", each]).with_suffix(".bin").stat().st_size
            for each in ("float32", "int8")
        }
        assert sizes["int8"] < sizes["float32"]
        assert (found["sentence_embedding"] * expected["sentence_embedding"]).sum(-1).min() > 0.99


def test_the_exported_folder_is_opened_as_what_it_was(classifier: Path, tmp_path: Path):
    export(classifier, tmp_path / "out")
    written, source = read_json(tmp_path / "out" / "config.json"), ModelFolder.open(classifier)
    assert [written["id2label"][key] for key in sorted(written["id2label"])] == list(source.labels or ())
    tokenizer = Tokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.fingerprint == Tokenizer.from_pretrained(classifier).fingerprint


@pytest.mark.parametrize("chosen", [{"to": []}, {"to": "onnx", "precision": []}])
def test_no_runtime_and_no_precision_is_one_line(tiny_model: Path, tmp_path: Path, chosen):
    with pytest.raises(InputError, match="names nothing: give"):
        export(tiny_model, tmp_path / "out", **chosen)
