import json
from dataclasses import replace
from pathlib import Path

import pytest

from bertkit.core.errors import InputError
from bertkit.pretrained.folder import ModelFolder
from bertkit.recipes import grid as recipe
from bertkit.recipes.finetune import finetune
from bertkit.recipes.grid import finetune_grid
from bertkit.recipes.options import PAPER_GRID, FinetuneOptions, GridOptions
from bertkit.tasks.data import TaskData
from bertkit.tasks.labelled import LabelledExamples
from bertkit.tasks.model import load_task_model
from bertkit.tasks.options import Columns

OPTIONS = FinetuneOptions(max_length=12, precision="float32")
GRID = GridOptions(batch_sizes=(8,), learning_rates=(5e-3, 1e-6), epochs=(1, 2), restarts=3)


def _examples(count: int) -> LabelledExamples:
    texts = tuple(f"a {('good', 'bad', 'fine', 'weak')[index % 4]} film" for index in range(count))
    labels = tuple(("pos", "neg")[index % 2] for index in range(count))
    places = tuple(f"train.csv, row {index + 2}" for index in range(count))
    return LabelledExamples(texts=texts, text_pairs=None, labels=labels, places=places)


DATA = TaskData(name="films", train=_examples(32), dev=_examples(16), columns=Columns())


def test_the_paper_tries_24_settings_and_each_has_its_own_epochs():
    settings = list(PAPER_GRID.settings(OPTIONS))
    assert len({(one.batch_size, one.learning_rate, one.epochs) for one in settings}) == len(settings) == 2 * 4 * 3
    assert {one.max_length for one in settings} == {12}


def test_only_the_best_setting_of_a_small_set_is_started_again():
    assert PAPER_GRID.seeds_of_best(OPTIONS, 9_999) == 5
    assert PAPER_GRID.seeds_of_best(OPTIONS, 10_000) == 1
    assert PAPER_GRID.seeds_of_best(replace(OPTIONS, seeds=7), 9_999) == 7


def test_the_best_setting_becomes_the_model_and_a_killed_search_resumes(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[Path] = []

    def counted(model: Path, data: TaskData, out: Path, *arguments: object, **options: object) -> object:
        calls.append(out)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return finetune(model, data, out, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(recipe, "finetune", counted)
    with pytest.raises(KeyboardInterrupt):
        finetune_grid(tiny_model, DATA, tmp_path / "out", OPTIONS, GRID)
    result = finetune_grid(tiny_model, DATA, tmp_path / "out", OPTIONS, GRID)
    # two settings before the end, the third twice, the fourth, and the best one's restarts
    assert len(calls) == 2 + 2 + 1 + 1
    means = [one.mean("accuracy") for one in result.settings]
    assert result.chosen is result.settings[means.index(max(means))]
    assert [seed.seed for seed in result.best.seeds] == [0, 1, 2]
    assert result.best.seeds[0] == result.chosen.seeds[0]

    written = json.loads((tmp_path / "out/results.json").read_text())
    assert [row["mean"] for row in written["grid"]] == means
    assert written["chosen"]["learning_rate"] == result.chosen.setting.learning_rate
    kept = {path.parts[-4] for path in (tmp_path / "out/settings").rglob("seed-0/model/config.json")}
    assert len(kept) == 1
    assert len(list((tmp_path / "out/settings").rglob("seed-0/result.json"))) == 4
    best_seed = tmp_path / "out/settings" / kept.pop() / f"seed-{result.best.best.seed}" / "model"
    assert (best_seed / "model.safetensors").read_bytes() == (result.best.model / "model.safetensors").read_bytes()
    assert load_task_model(ModelFolder.open(result.best.model))[1].classes == ("neg", "pos")
    assert "4 settings by accuracy" in str(result.table().title)

    again = finetune_grid(tiny_model, DATA, tmp_path / "out", OPTIONS, GRID)
    assert again.settings == result.settings
    with pytest.raises(InputError, match="learning_rate"):
        finetune_grid(tiny_model, DATA, tmp_path / "out", OPTIONS, replace(GRID, learning_rates=(5e-3,)))
