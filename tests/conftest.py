from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from parity_table import ParityTable

settings.register_profile("default", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("default")
_TABLE = pytest.StashKey[ParityTable]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--parity-table", metavar="FILE", type=Path, help="write the largest differences found")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = ParityTable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "parity_table" in getattr(item, "fixturenames", ()):
            item.add_marker("parity")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash[_TABLE]
    if table:
        terminalreporter.section("largest differences from the originals")
        terminalreporter.write_line(str(table))
        if config.option.parity_table is not None:
            config.option.parity_table.write_text(f"{table}\n", encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What bertkit remembers of the machine, and graphs that it wrote, are those of this run alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def parity_table(request: pytest.FixtureRequest) -> ParityTable:
    """Where tests against the originals leave what they found."""
    return request.config.stash[_TABLE]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets in {folder.parent.name}/{folder.name} beside the project")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer BERT for pre-training, with a vocabulary of a few words."""
    from bertkit.model.config import BertConfig
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
    from bertkit.pretrained.folder import write_model_folder
    from bertkit.text.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = Tokenizer.train(["a good fine great film", "a bad poor weak film", "the plot was so long"] * 4, 90)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    model = PretrainingModel(config)
    initialize(model, 0.2, 1)
    write_model_folder(folder, model, config, architecture="BertForPreTraining")
    tokenizer.save_pretrained(folder)
    return folder
