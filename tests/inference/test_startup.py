"""What a process waits for before its first vector and its first prediction."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "datasets", "matplotlib", "pandas", "pyarrow")
SCRIPT = """
import json, sys
import bertkit
answer = {call}
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


@pytest.mark.parametrize(
    ("folder", "call"),
    [
        ("pretrained", "bertkit.load(sys.argv[1], device='cpu').embed('the cat')"),
        ("pretrained", "bertkit.load(sys.argv[1], device='cpu').fill_mask('the [MASK]')"),
        ("classifier", "bertkit.load(sys.argv[1], device='cpu').predict('the cat')"),
    ],
)
def test_a_model_answers_without_what_only_training_and_tables_need(
    folder: str, call: str, request: pytest.FixtureRequest
):
    path: Path = request.getfixturevalue(folder)
    command = [sys.executable, "-c", SCRIPT.format(call=call), str(path), *HEAVY]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == []
