from pathlib import Path

import pytest

SUBJECTS = {
    "sound": ("tone", "string", "drum", "chord", "tune", "singer"),
    "garden": ("rose", "tree", "seed", "lawn", "bush", "berry"),
}
_SENTENCES = (
    "Return the {0} that stands before the {1} number {2}.",
    "Every {0} of this kind needs one {1} called {3} at least.",
    "Without a {1} no {0} is ever found by {3}.",
    "Call the {0} with {3} until the {1} is done.",
)
_NAMES = ("alpha", "beta", "gamma", "delta", "kappa", "sigma")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small standard library: two packages with six modules each, whose words differ, and some other files."""
    root = tmp_path_factory.mktemp("library")
    for package, words in SUBJECTS.items():
        (root / package).mkdir()
        for number, name in enumerate(_NAMES):
            functions = []
            for place, word in enumerate(words):
                text = " ".join(s.format(word, words[place - 1], number, name) for s in _SENTENCES)
                functions.append(f'def f{place}():\n    """{text}"""\n')
            (root / package / f"{name}.py").write_text('"""Shared by each of all modules."""\n' + "".join(functions))
    (root / "single.py").write_text(
        '"""This module stands alone in the library."""\nraise SystemExit("was imported")\n'
    )
    (root / "broken.py").write_text("def (:\n")
    (root / "test").mkdir()
    (root / "test" / "test_it.py").write_text('"""Nobody wants to read this text."""\n')
    return root
