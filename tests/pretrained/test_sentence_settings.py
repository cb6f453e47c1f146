from pathlib import Path

import pytest

from bertkit.pretrained.sentence_settings import SentenceSettings


@pytest.mark.parametrize(
    "settings",
    [
        SentenceSettings(),
        SentenceSettings(pooling="cls", normalize=True, max_length=64),
        SentenceSettings(normalize=True),
    ],
)
def test_settings_come_back_from_their_files(tmp_path: Path, settings: SentenceSettings):
    settings.write(tmp_path, hidden_size=16)
    assert SentenceSettings.find(tmp_path) == settings


def test_a_folder_that_says_nothing_means_the_mean(tmp_path: Path):
    assert SentenceSettings.find(tmp_path) is None and SentenceSettings() == SentenceSettings(pooling="mean")
