from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bertkit.tasks.benchmarks import find_benchmark
from bertkit.tasks.glue import GLUE
from bertkit.tasks.labelled import LabelledExamples

HERE = ("CoLA", "SST-2", "MRPC", "STS-B", "RTE", "WNLI")
ENTRIES = {entry.name: entry for entry in GLUE}


def test_the_papers_averages_are_those_of_its_table():
    for figures, average in (([e.base for e in GLUE], 79.6), ([e.large for e in GLUE], 82.1)):
        values = [figure for figure in figures if figure is not None]
        assert len(values) == 9
        assert np.mean(values) == pytest.approx(average, abs=0.05)


def test_every_file_is_one_that_its_benchmark_has_and_falls_back_on_a_label():
    for entry in GLUE:
        assert entry.split in find_benchmark(entry.benchmark).unlabelled
        assert entry.labels == () or entry.fallback in entry.labels


@pytest.mark.parametrize("name", [*HERE, "QNLI", "AX"])
def test_the_real_test_files_have_the_leaderboards_rows(shared_data: Path, name: str):
    examples = find_benchmark(name).read_unlabelled(shared_data / "glue" / name, ENTRIES[name].split)
    assert len(examples) == ENTRIES[name].examples
    assert examples.warnings == ()


@pytest.mark.parametrize("name", HERE)
def test_the_fallback_is_the_largest_class_of_the_real_training_set(shared_data: Path, name: str):
    train = find_benchmark(name).read(shared_data / "glue" / name, "train")
    assert isinstance(train, LabelledExamples)
    if ENTRIES[name].score_range is None:
        ((largest, _),) = Counter(train.labels).most_common(1)
        assert ENTRIES[name].fallback == largest
        assert set(ENTRIES[name].labels) == set(train.labels)
    else:
        assert float(ENTRIES[name].fallback) == pytest.approx(
            np.mean([float(str(one)) for one in train.labels]), abs=5e-4
        )
