from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertkit.recipes import seeds as recipe
from bertkit.recipes.finetune_setup import FinetuneSetup
from bertkit.recipes.options import FinetuneOptions
from bertkit.tasks.data import TaskData
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.options import Columns

_GIB = 1 << 30


@pytest.mark.parametrize(("available", "expected"), [(64 * _GIB, 4), (5 * _GIB, 3), (_GIB // 2, 1)])
def test_half_of_the_free_memory_decides_how_many_seeds_train_at_a_time(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, available: int, expected: int
):
    examples = LabelledExamples(
        texts=("a good film", "a bad film") * 4, text_pairs=None, labels=("up", "down") * 4, places=("row",) * 8
    )
    data = TaskData(name="films", train=examples, dev=examples, columns=Columns())
    options = FinetuneOptions(seeds=5, max_length=12, micro_batch_tokens=4096)
    setup = replace(FinetuneSetup.of(tiny_model, data, options), device=torch.device("cpu"))
    monkeypatch.setattr(recipe, "_WORTH_A_PROCESS", 0)
    monkeypatch.setattr(recipe, "available_memory", lambda: available)
    monkeypatch.setattr(recipe.torch, "get_num_threads", lambda: 4)
    assert recipe.seeds_at_once(setup) == expected
