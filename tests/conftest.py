from pathlib import Path

import pytest


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
    from bertkit.model.folder import write_model_folder
    from bertkit.model.initialization import initialize
    from bertkit.model.pretraining import PretrainingModel
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
