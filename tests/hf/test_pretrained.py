"""Folders and state dictionaries go to Transformers' classes and back."""

import copy
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

import bertkit.hf
from bertkit.core.errors import InputError
from bertkit.hf import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, BertPreTrainedModel

NAMES = [name for name in bertkit.hf.__all__ if name not in ("BertConfig", "BertPreTrainedModel")]


def _config(name: str, config: BertConfig) -> BertConfig:
    config.num_labels = 2 if name == "BertForQuestionAnswering" else 3
    return config


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_goes_to_transformers_and_back(config, tmp_path: Path, name: str):
    ours = getattr(bertkit.hf, name)(_config(name, config)).eval()
    ours.save_pretrained(tmp_path / "ours")
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    again, info = getattr(bertkit.hf, name).from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(info.values())
    for model in (theirs, again):
        state = model.state_dict()
        assert list(state) == list(ours.state_dict())
        assert all(torch.equal(tensor, state[key]) for key, tensor in ours.state_dict().items())
    assert again.config.architectures == [name] and again.config.num_labels == ours.config.num_labels
    assert not again.training


@pytest.mark.parametrize("name", NAMES)
def test_state_dictionaries_and_parameters_have_the_names_and_the_order_of_transformers(config, name: str):
    ours = getattr(bertkit.hf, name)(_config(name, config))
    theirs = getattr(transformers, name)(transformers.BertConfig.from_dict(config.to_dict()))
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert [key for key, _ in ours.named_parameters()] == [key for key, _ in theirs.named_parameters()]
    assert ours.num_parameters() == theirs.num_parameters()


def test_training_resumes_from_the_state_of_an_optimiser_of_transformers(config, batch):
    theirs = transformers.BertForSequenceClassification(transformers.BertConfig.from_dict(config.to_dict()))
    ours = BertForSequenceClassification(config)
    ours.load_state_dict(theirs.state_dict())
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-2) for model in (theirs, ours)]
    arguments = batch | {"labels": torch.tensor([0, 1, 2])}
    for step in range(4):
        if step == 2:
            optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
        for model, optimizer in zip((theirs, ours), optimizers, strict=True):
            model.double()
            model(**arguments).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for key, parameter in theirs.named_parameters():
        if key.endswith("key.bias"):
            continue  # its gradient is rounding alone, which Adam makes as large as any other
        torch.testing.assert_close(ours.get_parameter(key), parameter, rtol=1e-8, atol=1e-10)


def test_a_configuration_of_transformers_is_taken_as_it_is(config):
    theirs = transformers.BertConfig.from_dict(config.to_dict(), num_labels=5)
    model = BertForSequenceClassification(theirs)
    assert model.config is theirs and model.classifier.out_features == 5


def test_bertkits_own_configuration_is_taken():
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = BertModel(bertkit.BertConfig(**sizes, intermediate_size=8))
    assert model.config.hidden_size == 8 and model.config.num_labels == 2


def test_the_encoder_of_any_folder_goes_under_a_new_head(config, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = BertForMaskedLM(config)
    source.save_pretrained(tmp_path)
    labels = {0: "bad", 1: "fair", 2: "good", 3: "best"}
    model, info = BertForSequenceClassification.from_pretrained(
        tmp_path, id2label=labels, output_loading_info=True, hidden_dropout_prob=0.5
    )
    assert model.config.id2label == labels and model.config.label2id["best"] == 3 and model.num_labels == 4
    assert model.architecture.hidden_dropout_prob == 0.5
    assert info["missing_keys"] == {
        *("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")
    }
    assert "newly made" in capsys.readouterr().err
    assert 0 < float(model.classifier.weight.detach().std()) < 0.4
    assert torch.equal(model.get_input_embeddings().weight, source.get_input_embeddings().weight)
    assert BertModel.from_pretrained(tmp_path, add_pooling_layer=False).pooler is None


def test_tensors_of_another_shape_are_refused_or_drawn(config, tmp_path: Path):
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"classifier.weight has shape \(3, 16\) but the model \(7, 16\)"):
        BertForSequenceClassification.from_pretrained(tmp_path, num_labels=7)
    model, info = BertForSequenceClassification.from_pretrained(
        tmp_path, num_labels=7, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert model.classifier.weight.shape == (7, 16) and len(info["mismatched_keys"]) == 2
    assert not info["missing_keys"]


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float64])
def test_a_model_comes_in_the_type_that_is_asked_for(config, tmp_path: Path, dtype):
    BertModel(config).save_pretrained(tmp_path)
    wanted = torch.bfloat16 if dtype == "bfloat16" else dtype
    model = BertModel.from_pretrained(tmp_path, dtype=dtype)
    assert model.dtype == wanted
    model.save_pretrained(tmp_path / "again")
    assert BertModel.from_pretrained(tmp_path / "again").dtype == torch.float32
    assert BertModel.from_pretrained(tmp_path / "again", dtype="auto").dtype == wanted


@pytest.mark.parametrize("size", [61, 40])
def test_the_vocabulary_can_change_its_size(config, batch, size: int):
    model = BertForMaskedLM(config)
    before = model.get_input_embeddings().weight.detach().clone()
    embeddings = model.resize_token_embeddings(size)
    assert model.resize_token_embeddings() is embeddings is model.get_input_embeddings()
    assert model.config.vocab_size == size and embeddings.num_embeddings == size
    common = min(size, 50)
    assert torch.equal(embeddings.weight[:common], before[:common])
    assert model.get_output_embeddings().weight is embeddings.weight
    batch["input_ids"] = batch["input_ids"].clamp(max=size - 1)
    assert model(**batch).logits.shape[-1] == size
    assert list(model.state_dict()) == list(BertForMaskedLM(config).state_dict())
    assert model.resize_token_embeddings(pad_to_multiple_of=64).num_embeddings == 64


class _Scorer(BertPreTrainedModel):
    """A user's own head, as written for Transformers."""

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.score = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(self, **inputs):
        return self.score(self.bert(**inputs)[1])


def test_a_users_own_head_is_saved_and_loaded(config, batch, tmp_path: Path):
    model = _Scorer(config).eval()
    model.save_pretrained(tmp_path)
    again, info = _Scorer.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(again(**batch), model(**batch))


def test_the_seed_decides_the_weights_and_the_row_of_padding_is_zero(config):
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        models.append(BertModel(config))
    first, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["pooler.dense.weight"], other["pooler.dense.weight"])
    assert models[0].get_input_embeddings().weight[0].count_nonzero() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_decoder": True}, "is_decoder"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"hidden_act": "relu"}, "hidden_act"),
    ],
)
def test_what_the_encoder_is_not_is_refused(config, change: dict[str, object], message: str):
    config.update(change)
    with pytest.raises(InputError, match=message):
        BertModel(config)


def test_bad_folders_are_refused_in_a_line(config, tmp_path: Path):
    with pytest.raises(InputError, match="device_map"):
        BertModel.from_pretrained(tmp_path, device_map="auto")
    with pytest.raises(InputError, match=r"config\.json"):
        BertModel.from_pretrained(tmp_path)
    model = BertModel(config)
    nn.init.constant_(model.pooler.dense.bias, float("nan"))
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="NaN"):
        BertModel.from_pretrained(tmp_path)
    transformers.DistilBertModel(transformers.DistilBertConfig(dim=8, n_layers=1, n_heads=1)).save_pretrained(
        tmp_path / "distilbert"
    )
    with pytest.raises(InputError, match="distilbert"):
        BertModel.from_pretrained(tmp_path / "distilbert")
