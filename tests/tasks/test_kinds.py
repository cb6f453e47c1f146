import subprocess
import sys
from typing import get_args

import pytest

from bertkit.tasks.contract import Task
from bertkit.tasks.kinds import KINDS, Kind, task_family


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_the_table_names_a_class_of_that_kind(kind: str):
    family = task_family(kind)
    assert issubclass(family, Task)
    assert family.kind == kind


def test_the_command_line_offers_the_table():
    assert get_args(Kind) == tuple(KINDS)


def test_a_kind_says_eight_things_at_most():
    assert len(Task.__abstractmethods__) <= 8


def test_no_two_kinds_read_the_same_folder_that_names_none():
    heads = [(family.architecture, family.problem_type) for family in map(task_family, KINDS)]
    assert len(set(heads)) == len(heads)


def test_the_names_are_there_without_torch_and_a_kind_without_scikit_learn():
    program = (
        "import sys; import bertkit.tasks.kinds; assert 'torch' not in sys.modules; "
        "import bertkit.tasks.model; [bertkit.tasks.kinds.task_family(kind) for kind in bertkit.tasks.kinds.KINDS]; "
        "assert 'torch' in sys.modules; assert not {'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
