"""The card is what the hub reads, and its programs run."""

import re
from pathlib import Path

import pytest
import torch

from bertkit.model.architectures import ARCHITECTURES
from bertkit.model.config import BertConfig
from bertkit.model.initialization import initialize
from bertkit.pretrained.card import ModelCard, how_to_load
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.folder import write_model_folder
from bertkit.pretrained.models import BertModel, BertWithHeads
from bertkit.text.tokenizer import Tokenizer

CARD = ModelCard(
    title="Reviews: good | bad",
    summary="A test.",
    data={"file": "a.csv", "examples": 1200},
    training={"steps": 10, "learning rate": 2e-5},
    results={"dev": {"accuracy": 0.91234567, "f1": 0.5}, "test": {"accuracy": 0.25}},
)
CLASSIFIER = ModelDescription(config=BertConfig(), architecture="BertForSequenceClassification", labels=("good", "bad"))


def _programs(card: str) -> dict[str, str]:
    found = re.findall(r"^([\w-]+)[^\n]*:\n\n```python\n(.*?)\n```", card, re.DOTALL | re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("name", ["bertkit", "Transformers", "sentence-transformers"])
def test_the_programs_in_the_card_of_a_saved_model_load_it(tiny_model: Path, name: str):
    card = (tiny_model / "README.md").read_text()
    program = _programs(card)[name].replace("FOLDER", str(tiny_model))
    model = (scope := {}) or exec(program, scope) or scope["model"]  # our own words
    assert (
        type(model).__name__
        == {
            "bertkit": "Predictor",
            "Transformers": "BertForPreTraining",
            "sentence-transformers": "SentenceTransformer",
        }[name]
    )


@pytest.mark.parametrize(
    ("head", "labels"),
    [
        ("SequenceClassification", "ab"),
        ("TokenClassification", "abc"),
        ("QuestionAnswering", ""),
        ("MultipleChoice", ""),
    ],
)
def test_the_program_for_a_task_predicts(tiny_model: Path, tmp_path: Path, head: str, labels: str):
    config = BertWithHeads.from_pretrained(tiny_model).bert.config
    description = ModelDescription(config=config, architecture=f"BertFor{head}", labels=tuple(labels) or None)
    model = BertWithHeads.outline(description)
    model.to_empty(device="cpu")
    initialize(model, 0.02, seed=0)
    model.save_pretrained(tmp_path)
    Tokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    program = _programs((tmp_path / "README.md").read_text())["bertkit"].replace("FOLDER", str(tmp_path))
    scope: dict[str, object] = {}
    exec(program.replace("model.predict", "answers = model.predict"), scope)
    assert len(scope["answers"]) > 0


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_class_is_loaded_by_one_that_transformers_has(kind: str):
    import transformers

    heads = ("Model", "ForPreTraining", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification")
    for head in (*heads, "ForQuestionAnswering", "ForMultipleChoice"):
        description = ModelDescription(config=ARCHITECTURES[kind].config_type(), architecture=f"Bert{head}")
        auto = re.search(r"import AutoTokenizer, (\w+)", how_to_load(description)["Transformers"])[1]
        assert hasattr(transformers, auto), auto


def test_the_hub_reads_the_front_matter():
    import huggingface_hub

    card = huggingface_hub.ModelCard(CARD.render(CLASSIFIER, 110_000_000, how_to_load(CLASSIFIER)))
    data = card.data
    assert (data.library_name, data.pipeline_tag, data.tags) == (
        "transformers",
        "text-classification",
        ["bertkit", "bert"],
    )
    measured = {(each.dataset_name, each.metric_type): each.metric_value for each in data.eval_results}
    assert measured == {("dev", "accuracy"): 0.91234567, ("dev", "f1"): 0.5, ("test", "accuracy"): 0.25}


def test_a_card_says_all_that_it_was_told():
    card = CARD.render(CLASSIFIER, 110_000_000, how_to_load(CLASSIFIER))
    for words in (
        "# Reviews: good | bad",
        "| examples | 1,200 |",
        "| learning rate | 2e-05 |",
        "| dev | 0.9123 | 0.5 |",
        "| test | 0.25 |  |",
        "| num_hidden_layers | 12 |",
        "| labels | good, bad |",
        "| parameters | 110,000,000 |",
        f"| torch | {torch.__version__} |",
    ):
        assert words in card, words


def test_a_card_without_a_story_has_no_empty_sections():
    card = ModelCard().render(CLASSIFIER, 1, how_to_load(CLASSIFIER))
    assert "## Data" not in card
    assert "## Results" not in card
    assert "model-index" not in card


def test_an_encoder_saved_for_embedding_gives_sentence_transformers_our_vectors(tiny_model: Path, tmp_path: Path):
    import sentence_transformers

    import bertkit

    BertModel.from_pretrained(tiny_model).save_pretrained(tmp_path)
    Tokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    assert (tmp_path / "modules.json").is_file()
    assert (tmp_path / "1_Pooling" / "config.json").is_file()
    assert "pipeline_tag: sentence-similarity" in (tmp_path / "README.md").read_text()
    texts = ["a good film", "the plot was so long"]
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
    ours = bertkit.load(tmp_path, device="cpu").embed(texts)
    torch.testing.assert_close(torch.from_numpy(ours), torch.from_numpy(theirs), rtol=1e-5, atol=1e-5)


def test_every_saved_model_has_a_card(tiny_model: Path, tmp_path: Path):
    BertWithHeads.from_pretrained(tiny_model).save_pretrained(tmp_path / "heads")
    model = BertWithHeads.from_pretrained(tiny_model)
    write_model_folder(tmp_path / "plain", model, model.bert.config, architecture="BertModel", card=CARD)
    assert "fill-mask" in (tmp_path / "heads" / "README.md").read_text()
    assert "# Reviews" in (tmp_path / "plain" / "README.md").read_text()
