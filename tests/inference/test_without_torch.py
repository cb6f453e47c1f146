"""Loading and using a model on other runtimes imports no torch; in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from backends import WITHOUT_TORCH

SCRIPT = """
import sys
import bertkit
name, encoder, classifier = sys.argv[1:]
model = bertkit.load(encoder, backend=name)
assert model.embed("the cat sat").shape == (24,)
assert model.features("the cat sat", [0, 1], pooling="tokens").vectors.shape == (5, 48)
assert len(model.fill_mask("the [MASK] sat", 3)[0]) == 3
prediction = bertkit.load(classifier, backend=name).predict("a dog ran far")
assert prediction.label in ("bad", "fair", "good")
slow = {"torch", "datasets", "pandas", "pyarrow", "sklearn", "scipy", "huggingface_hub", "onnx"} & set(sys.modules)
if name == "native":
    assert not slow, slow
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("backend", WITHOUT_TORCH)
def test_a_text_is_embedded_filled_and_labelled_without_torch(backend: str, pretrained: Path, classifier: Path):
    command = [sys.executable, "-c", SCRIPT, backend, str(pretrained), str(classifier)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", WITHOUT_TORCH)
def test_commands_label_a_text_without_torch(backend: str, classifier: Path):
    script = (
        "import sys\n"
        "from bertkit.cli.main import run\n"
        "code = run(['predict', sys.argv[1], 'the cat sat', '--backend', sys.argv[2]])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(classifier), backend], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
