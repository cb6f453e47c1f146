"""The worked examples of CONTRIBUTING.md, taken from the page itself.

The benchmark's row is run in `tests/cli/test_glue.py`, the kind of task in `tests/tasks/test_kinds.py`.
"""

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _blocks(section: str) -> list[str]:
    """The Python that a section shows."""
    text = PAGE.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def _change(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be changed as the page says."""
    shutil.copytree(PROJECT / "src/bertkit", tmp_path / "src/bertkit", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "src/bertkit"


def _run(package: Path, *arguments: str) -> None:
    environment = {"PYTHONPATH": str(package.parent), "PATH": ""}
    subprocess.run([sys.executable, *arguments], check=True, env=environment)


def test_the_kind_that_the_page_shows_is_the_one_that_is_tested():
    file, line = _blocks("Add a kind of task")
    assert file == (PROJECT / "tests/helpers/stars.py").read_text(encoding="utf-8")
    assert line.strip() == '"stars": "bertkit.tasks.stars:Stars",'


def test_the_architecture_reads_and_writes_what_transformers_does(package: Path, tmp_path: Path):
    config, model, names = _blocks("Add an architecture")
    with (package / "model/config.py").open("a") as file:
        file.write(f"\n\n{config}")
    (package / "model/camembert.py").write_text(model)
    (package / "pretrained/formats/camembert.py").write_text(names)
    for file, module in (("model/architectures.py", "model"), ("pretrained/formats/table.py", "pretrained.formats")):
        _change(package / file, r"(for each in \([^)]*)\)", r"\1, CAMEMBERT)")
        _change(
            package / file,
            rf"(from bertkit\.{module}\.electra)",
            rf"from bertkit.{module}.camembert import CAMEMBERT\n\1",
        )
    config = transformers.CamembertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        type_vocab_size=1,
        num_labels=3,
    )
    theirs = transformers.CamembertForSequenceClassification(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    ids = np.arange(5, 15)
    script = (
        "import sys, numpy, torch, bertkit\n"
        "model = bertkit.BertWithHeads.from_pretrained(sys.argv[1]).eval()\n"
        "ids = numpy.arange(5, 15)\n"
        "batch = bertkit.PackedBatch.from_arrays(ids, 0 * ids, numpy.array([10]))\n"
        "with torch.no_grad():\n"
        "    numpy.save(sys.argv[3], model.head(model.bert(batch).pooler_output).numpy())\n"
        "model.save_pretrained(sys.argv[2])\n"
    )
    _run(package, "-c", script, *(str(tmp_path / name) for name in ("theirs", "ours", "logits.npy")))
    back = transformers.CamembertForSequenceClassification.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        expected, again = (model(torch.from_numpy(ids)[None]).logits.numpy() for model in (theirs, back))
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-6)
    np.testing.assert_array_equal(again, expected)


def test_the_schedule_falls_as_a_cosine(package: Path):
    name, case = _blocks("Add a learning-rate schedule")
    assert name.startswith("Schedule = Literal[")
    _change(package / "training/options.py", r"(?m)^(Schedule = Literal\[.*)\]$", r'\1, "cosine"]')
    _change(package / "training/schedule.py", r'( +case "trapezoidal":\n)', rf"{case}\1")
    script = (
        "from bertkit.training.options import OptimizerOptions\n"
        "from bertkit.training.schedule import rate_at\n"
        "options = OptimizerOptions(schedule='cosine', learning_rate=1.0, warmup_share=0.2)\n"
        f"expected = {[0.5, 1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, 0.0]!r}\n"
        "found = [rate_at(share, options) for share in (0.1, 0.2, 0.4, 0.6, 1.0)]\n"
        "assert all(abs(a - b) < 1e-12 for a, b in zip(found, expected, strict=True)), found\n"
    )
    _run(package, "-c", script)
