import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_pretraining.py"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("contender", ["bertkit", "transformers"])
def test_every_contender_of_the_gpu_benchmark_takes_its_steps(contender: str):
    command = [sys.executable, str(BENCHMARK), "--contender", contender]
    command += ["--sizes", "tiny", "--lengths", "128", "--steps", "2"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    assert all(seconds > 0 for seconds in json.loads(output))
