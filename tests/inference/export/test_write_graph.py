import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from bertkit.core.batch import PackedBatch
from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.models import BertWithHeads
from bertkit.pretrained.sentence_settings import SentenceSettings
from small_models import CONFIGS, HEADS, small_folder

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from bertkit.inference.export.names import (  # noqa: E402
    MASKED_LM_ROWS,
    POOLER_OUTPUT,
    SENTENCE_EMBEDDING,
    TASK_ROWS,
    hidden_state_output,
)
from bertkit.inference.export.write_graph import write_graph  # noqa: E402

LENGTHS = (5, 1, 23, 14)
BOUND = 1e-5
Batch = tuple[dict[str, np.ndarray], PackedBatch, np.ndarray]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Inputs padded to the longest, the same tokens packed, and which places are tokens."""
    draw = np.random.default_rng(3)
    lengths = np.array(LENGTHS)
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = draw.integers(1, 61, mask.shape) * mask
    types = (np.arange(lengths.max()) > lengths[:, None] // 2) * mask
    padded = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    packed = PackedBatch.from_arrays(ids[mask], types[mask], lengths)
    return {name: array.astype(np.int64) for name, array in padded.items()}, packed, mask


def _for_types(batch: Batch, config: BertConfig) -> Batch:
    """The batch with one type of tokens where the model has no other."""
    inputs, packed, mask = batch
    if config.type_vocab_size == 1:
        packed = PackedBatch.from_arrays(inputs["input_ids"][mask], np.zeros(mask.sum(), np.int64), np.array(LENGTHS))
    return inputs, packed, mask


def _run(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    found = session.run(names, {each.name: inputs[each.name] for each in session.get_inputs()})
    return dict(zip(names, found, strict=True))


def _difference(found: np.ndarray, expected: torch.Tensor) -> float:
    wanted = expected.detach().numpy()
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def _expected(model: BertWithHeads, architecture: str, batch: PackedBatch) -> torch.Tensor:
    with torch.no_grad():
        output = model.bert(batch)
        if architecture == "BertModel":
            return output.last_hidden_state
        if architecture == "BertForMaskedLM":
            return model.masked_lm(output.last_hidden_state, model.bert.embeddings.word_embeddings.weight)
        if architecture in ("BertForSequenceClassification", "BertForMultipleChoice"):
            return model.head(output.pooler_output)
        return model.head(output.last_hidden_state)


@pytest.mark.parametrize(("family", "architecture"), list(itertools.product(CONFIGS, HEADS)))
def test_every_head_of_every_architecture_gives_the_numbers_of_the_torch_module(
    family: str, architecture: str, batch: Batch, tmp_path: Path
):
    inputs, packed, mask = _for_types(batch, CONFIGS[family])
    model = small_folder(tmp_path / "model", CONFIGS[family], architecture)
    info = write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx")
    onnx.checker.check_model(info.path, full_check=True)
    if architecture == "BertForMultipleChoice":
        inputs = {name: array[None] for name, array in inputs.items()}
    found = _run(info.path, inputs)
    assert tuple(found) == info.outputs
    expected = _expected(model, architecture, packed)
    if architecture == "BertForQuestionAnswering":
        logits = np.stack((found["start_logits"], found["end_logits"]), -1)[mask]
    elif architecture == "BertForMultipleChoice":
        logits, expected = found["logits"], expected.view(1, -1)
    elif architecture == "BertForSequenceClassification":
        logits = found["logits"]
    else:
        logits = found[info.outputs[0]][mask]
    assert _difference(logits, expected) < BOUND


@pytest.mark.parametrize("family", CONFIGS)
def test_the_hidden_states_of_every_layer_can_be_asked_for(family: str, batch: Batch, tmp_path: Path):
    inputs, packed, mask = _for_types(batch, CONFIGS[family])
    model = small_folder(tmp_path / "model", CONFIGS[family], "BertModel")
    names = [hidden_state_output(layer) for layer in range(4)]
    info = write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx", outputs=names)
    found = _run(info.path, inputs)
    with torch.no_grad():
        states = model.bert(packed, output_hidden_states=True).hidden_states
    for name, state in zip(names, states, strict=True):
        assert _difference(found[name][mask], state) < BOUND


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
@pytest.mark.parametrize("normalize", [False, True])
def test_sentences_are_pooled_and_normalised_as_the_folder_says(
    pooling: str, normalize: bool, batch: Batch, tmp_path: Path
):
    inputs, packed, _ = batch
    model = small_folder(tmp_path / "model", CONFIGS["bert"], "BertModel")
    folder = ModelFolder.open(tmp_path / "model")
    object.__setattr__(folder, "sentences", SentenceSettings(pooling=pooling, normalize=normalize))
    info = write_graph(folder, tmp_path / "model.onnx")
    assert info.outputs == ("last_hidden_state", SENTENCE_EMBEDDING)
    with torch.no_grad():
        output = model.bert(packed)
    tokens = output.last_hidden_state.split(LENGTHS)
    rows = {
        "mean": torch.stack([each.mean(0) for each in tokens]),
        "cls": torch.stack([each[0] for each in tokens]),
        "pooler": output.pooler_output,
    }[pooling]
    expected = torch.nn.functional.normalize(rows) if normalize else rows
    assert _difference(_run(info.path, inputs)[SENTENCE_EMBEDDING], expected) < BOUND


def test_a_backend_reads_chosen_positions_of_the_masked_lm_and_what_heads_give_before_they_are_split(
    batch: Batch, tmp_path: Path
):
    inputs, packed, mask = batch
    model = small_folder(tmp_path / "words", CONFIGS["electra"], "BertForMaskedLM")
    info = write_graph(ModelFolder.open(tmp_path / "words"), tmp_path / "words.onnx", outputs=[MASKED_LM_ROWS])
    assert info.inputs[-1] == "positions"
    places = np.flatnonzero(mask)[[30, 2]]
    found = _run(info.path, {**inputs, "positions": places})[MASKED_LM_ROWS]
    assert _difference(found, _expected(model, "BertForMaskedLM", packed)[[30, 2]]) < BOUND

    model = small_folder(tmp_path / "choices", CONFIGS["electra"], "BertForMultipleChoice")
    folder = ModelFolder.open(tmp_path / "choices")
    info = write_graph(folder, tmp_path / "choices.onnx", outputs=[TASK_ROWS, POOLER_OUTPUT])
    found = _run(info.path, inputs)
    assert _difference(found[TASK_ROWS], _expected(model, "BertForMultipleChoice", packed)) < BOUND
    with torch.no_grad():
        assert _difference(found[POOLER_OUTPUT], model.bert(packed).pooler_output) < BOUND


def test_a_head_that_the_folder_lacks_is_refused_in_one_line(tmp_path: Path):
    small_folder(tmp_path / "model", CONFIGS["roberta"], "BertModel")
    folder = ModelFolder.open(tmp_path / "model")
    for output, message in (
        (TASK_ROWS, "RobertaModel, which has no head of a task"),
        (MASKED_LM_ROWS, "no head that fills in words"),
        ("start_logits", "finds no answers"),
    ):
        with pytest.raises(InputError, match=message):
            write_graph(folder, tmp_path / "model.onnx", outputs=[output])
    assert not (tmp_path / "model.onnx").exists()


def _fused(path: Path, out: Path) -> Counter[str]:
    """Operators by kind, after the optimiser of the runtime's own session."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(out).graph.node)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_onnx_runtime_fuses_attention_norms_and_gelu_of_every_layer_when_it_loads_a_graph(family: str, tmp_path: Path):
    config = CONFIGS[family]
    small_folder(tmp_path / "model", config, "BertModel")
    info = write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx")
    found = _fused(info.path, tmp_path / "fused.onnx")
    layers = config.num_hidden_layers
    # ELECTRA's first layer reads no norm but a projection, which the session's pattern does not know.
    assert found["Attention"] == layers - (family == "electra")
    assert (found["SkipLayerNormalization"], found["BiasGelu"]) == (2 * layers, layers)
    assert found["LayerNormalization"] == 1
    assert found["Erf"] == found["Sqrt"] == 0


def test_onnx_runtime_fuses_the_tanh_gelu_and_modernberts_norms(tmp_path: Path):
    small_folder(tmp_path / "tanh", CONFIGS["bert, tanh GELU"], "BertModel")
    info = write_graph(ModelFolder.open(tmp_path / "tanh"), tmp_path / "tanh.onnx")
    assert _fused(info.path, tmp_path / "fused.onnx")["FastGelu"] == 3
    small_folder(tmp_path / "modern", CONFIGS["modernbert"], "BertModel")
    info = write_graph(ModelFolder.open(tmp_path / "modern"), tmp_path / "modern.onnx")
    found = _fused(info.path, tmp_path / "fused.onnx")
    assert found["Gelu"] == 3
    assert found["SkipLayerNormalization"] + found["LayerNormalization"] == 2 * 3 + 1


def test_onnx_runtimes_optimiser_of_transformers_fuses_every_layer(tmp_path: Path):
    from onnxruntime.transformers.optimizer import optimize_model

    config = CONFIGS["bert"]
    small_folder(tmp_path / "model", config, "BertModel")
    info = write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx")
    optimised = optimize_model(
        str(info.path), "bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size, opt_level=0
    )
    found = Counter(node.op_type for node in optimised.model.graph.node)
    assert (found["Attention"], found["SkipLayerNormalization"], found["BiasGelu"]) == (3, 2 * 3 + 1, 3)


def test_a_masked_lm_whose_decoder_is_not_tied_is_refused(tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    small_folder(tmp_path / "model", CONFIGS["bert"], "BertForMaskedLM")
    folder = ModelFolder.open(tmp_path / "model")
    tensors = load_file(folder.weights)
    words = tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors | {"cls.predictions.decoder.weight": words + 1}, folder.weights)
    (folder.path / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="not tied to the word embeddings"):
        write_graph(ModelFolder.open(tmp_path / "model"), tmp_path / "model.onnx")
