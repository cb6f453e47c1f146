from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.text.tokenizer import Tokenizer
from tiny_corpora import lay_out, make_text

# A time limit for one example fails on a busy machine.
settings.register_profile("data", deadline=None)
settings.load_profile("data")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(make_text(40).splitlines(), vocab_size=120)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text(make_text(40))
    prepare([folder / "text.txt"], tokenizer, folder / "out")
    return PreparedCorpus.open(folder / "out")


MakeCorpus = Callable[[Sequence[Sequence[int]]], PreparedCorpus]


@pytest.fixture
def make_corpus(tmp_path: Path) -> MakeCorpus:
    """A corpus from the number of tokens of each sentence of each document; ids are the tokens' places."""
    return lambda lengths: lay_out(tmp_path, lengths)
