"""Models read from and written to folders: the encoder alone, and the encoder with all heads that a folder has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from bertkit.core.arguments import checked
from bertkit.core.errors import InputError
from bertkit.model.architectures import (
    architecture_of,
    choice_head,
    masked_lm_head,
    sequence_head,
    span_head,
    token_head,
)
from bertkit.model.config import MODERN_PRESETS, PRESETS, BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.heads import MaskedLMHead, NextSentenceHead
from bertkit.model.initialization import empty_weights
from bertkit.pretrained.card import ModelCard
from bertkit.pretrained.config_json import ModelDescription
from bertkit.pretrained.folder import LoadReport, ModelFolder, write_model_folder
from bertkit.pretrained.formats.name_table import MULTIPLE_CHOICE, SEQUENCE_CLASSIFICATION, WITH_POOLER_OF_THEIR_OWN
from bertkit.pretrained.sentence_settings import SentenceSettings

_WITH_POOLER = ("BertModel", "BertForPreTraining", "BertForNextSentencePrediction", *WITH_POOLER_OF_THEIR_OWN)


class BertModel(Encoder):
    """The encoder alone, from a folder and to a folder."""

    @classmethod
    def from_pretrained(cls, path: str | Path) -> BertModel:
        """Read the encoder of a folder, or of a hub name where there is a network, in evaluation mode.

        Without a pooler in the folder the encoder has none. Raises `InputError`.
        """
        folder = ModelFolder.open(path)
        with empty_weights("cpu"):
            model = cls(folder.config, add_pooling_layer=folder.has_pooler)
        folder.load_into(nn.ModuleDict({"bert": model})).show()
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that Hugging Face's `AutoModel` reads, and sentence-transformers once it has a tokenizer."""
        write_model_folder(
            Path(folder),
            nn.ModuleDict({"bert": self}),
            self.config,
            architecture="BertModel",
            sentences=SentenceSettings(),
        )


class BertWithHeads(nn.Module):
    """The encoder `bert`, the heads of pre-training that there are, and `head`, that of a task."""

    def __init__(
        self,
        description: ModelDescription,
        bert: Encoder,
        *,
        masked_lm: MaskedLMHead | None = None,
        next_sentence: NextSentenceHead | None = None,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.description = description
        self.bert = bert
        self.masked_lm = masked_lm
        self.next_sentence = next_sentence
        self.head = head

    @classmethod
    def outline(cls, description: ModelDescription) -> BertWithHeads:
        """The parts that Hugging Face's class has, without memory for their weights."""
        architecture, config = description.architecture, description.config
        with_pooler = architecture in (_WITH_POOLER if config.has_pooler else WITH_POOLER_OF_THEIR_OWN)
        return cls._of_parts(
            description,
            pooler=with_pooler,
            masked_lm=architecture in ("BertForPreTraining", "BertForMaskedLM"),
            next_sentence=architecture in ("BertForPreTraining", "BertForNextSentencePrediction"),
            device="meta",
        )

    @classmethod
    def outline_of_folder(cls, folder: ModelFolder, device: str = "meta") -> BertWithHeads:
        """The parts that a folder has, their weights without values and on the meta device without memory."""
        return cls._of_parts(
            folder.description,
            pooler=folder.has_pooler,
            masked_lm=folder.holds("masked_lm.bias"),
            next_sentence=folder.holds("next_sentence.dense.weight"),
            device=device,
        )

    @classmethod
    def _of_parts(
        cls, description: ModelDescription, *, pooler: bool, masked_lm: bool, next_sentence: bool, device: str
    ) -> BertWithHeads:
        config = description.config
        with empty_weights(device):
            return cls(
                description,
                Encoder(config, add_pooling_layer=pooler),
                masked_lm=masked_lm_head(config) if masked_lm else None,
                next_sentence=NextSentenceHead(config.hidden_size) if next_sentence else None,
                head=new_head(description.architecture, config, description.num_labels),
            )

    @classmethod
    def from_folder(cls, folder: ModelFolder) -> tuple[BertWithHeads, LoadReport]:
        """Every part that a folder has, in evaluation mode, and what was taken and left."""
        model = cls.outline_of_folder(folder, device="cpu")
        report = folder.load_into(model)
        return model.eval(), report

    @classmethod
    def from_pretrained(cls, path: str | Path) -> BertWithHeads:
        """Read a folder, or a hub name where there is a network. Raises `InputError`."""
        model, report = cls.from_folder(ModelFolder.open(path))
        report.show()
        return model

    def save_pretrained(
        self, folder: str | Path, *, card: ModelCard | None = None, sentences: SentenceSettings | None = None
    ) -> None:
        """Write a folder that Hugging Face's class `architecture` reads, and sentence-transformers with `sentences`."""
        description = self.description
        write_model_folder(
            Path(folder),
            self,
            self.bert.config,
            architecture=description.architecture,
            labels=description.labels,
            problem_type=description.problem_type,
            card=card,
            sentences=sentences,
        )

    @property
    def architecture(self) -> str:
        """The Hugging Face class that has these parts."""
        return self.description.architecture


_HEADS: dict[str, Callable[[BertConfig, int], nn.Module]] = {
    SEQUENCE_CLASSIFICATION: sequence_head,
    MULTIPLE_CHOICE: lambda config, _: choice_head(config),
    "BertForTokenClassification": token_head,
    "BertForQuestionAnswering": lambda config, _: span_head(config),
}


def new_head(architecture: str, config: BertConfig, num_labels: int) -> nn.Module | None:
    """The head of a task that Hugging Face's class has, None for those that have none."""
    if architecture in _HEADS:
        return _HEADS[architecture](config, num_labels)
    own = architecture_of(config).own_heads.get(architecture)
    return None if own is None else own(config)


_MODERN = "modern-"


@checked
def describe_model(name: str) -> BertWithHeads:
    """Find a preset (with the heads of pre-training), a `config.json`, a folder or a hub name. Raises `InputError`."""
    path = Path(name)
    if path.is_file():
        return BertWithHeads.outline(ModelDescription.read(path))
    if path.is_dir():
        return BertWithHeads.outline_of_folder(ModelFolder.open(path))
    if name in PRESETS:
        return BertWithHeads.outline(ModelDescription(config=PRESETS[name], architecture="BertForPreTraining"))
    modern = MODERN_PRESETS.get(name.removeprefix(_MODERN)) if name.startswith(_MODERN) else None
    if modern is not None:
        return BertWithHeads.outline(ModelDescription(config=modern, architecture="BertForMaskedLM"))
    if "/" not in name:
        raise InputError(
            f"{name} is no preset ({', '.join(PRESETS)}, with {_MODERN} before it or not), no model folder and no "
            "config.json"
        )
    return BertWithHeads.outline_of_folder(ModelFolder.open(name))
