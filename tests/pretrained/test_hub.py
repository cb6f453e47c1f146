from pathlib import Path

import pytest

from bertkit.core.errors import InputError, ResourceError
from bertkit.pretrained.hub import find_folder


def test_a_folder_is_taken_as_it_is(tmp_path: Path):
    assert find_folder(tmp_path) == tmp_path


@pytest.mark.parametrize("stored", ["model.safetensors", "pytorch_model-00001-of-00002.bin"])
def test_pickles_are_fetched_only_where_there_is_nothing_else(stored: str, tmp_path: Path, monkeypatch):
    import huggingface_hub

    asked = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        if any(Path(stored).match(pattern) for pattern in allow_patterns):
            (tmp_path / stored).touch()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_folder("someone/some-bert") == tmp_path
    assert (tmp_path / stored).exists()
    assert len(asked) == (1 if stored.endswith("safetensors") else 2)
    assert all({"*.json", "*.txt"} <= set(patterns) for patterns in asked)


def test_what_cannot_be_fetched_is_one_line(monkeypatch):
    import huggingface_hub

    def fail(*_: object, **__: object) -> str:
        raise OSError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ResourceError, match=r"someone/some-bert is neither a folder nor .*no network\)") as caught:
        find_folder("someone/some-bert")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a path/with spaces", "./nowhere/model", "a/b/c"])
def test_a_path_that_is_not_there_is_no_hub_name(name: str):
    with pytest.raises(InputError, match="not a model folder"):
        find_folder(name)
