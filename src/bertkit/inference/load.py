"""From a model folder to a `Predictor`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from bertkit.foundation.devices import default_device, resolve_precision
from bertkit.foundation.precision import Precision
from bertkit.inference.hub import find_folder
from bertkit.inference.loaded_model import LoadedModel
from bertkit.inference.predictor import Predictor
from bertkit.inference.prepack import can_prepack, prepack
from bertkit.inference.sentence_settings import SentenceSettings
from bertkit.model.bert import BertModel
from bertkit.model.folder import ModelFolder
from bertkit.model.pretraining import PretrainingModel
from bertkit.tasks.folder import load_task_model
from bertkit.text.tokenizer import Tokenizer

_POOLER = "bert.pooler."
_MASKED_LM_TENSOR = "cls.predictions.transform.dense.weight"


class _Encoder(nn.Module):
    """The encoder under the name that it has in a folder."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert


def load(path: str | Path, *, precision: Precision = "float32", device: str | torch.device | None = None) -> Predictor:
    """Load a folder, or a hub name where there is a network, in Hugging Face's format.

    `precision` "bf16" holds the weights in bf16, which halves memory and, where the device multiplies it in hardware,
    time; "auto" takes it there. `device` None is the first CUDA device, else the processor. Raises `InputError`.
    """
    folder = ModelFolder.open(find_folder(path))
    place = default_device() if device is None else torch.device(device)
    low = resolve_precision(precision, place) == "bf16"
    tokenizer = Tokenizer.from_pretrained(folder.path)
    settings = SentenceSettings.read(folder.path)

    task, head, masked_lm = None, None, None
    module: nn.Module
    if folder.labels is not None or folder.regression:
        module, task = load_task_model(folder.path)
        bert, head, has_pooler = module.bert, module.head, True
    else:
        with torch.device("meta"):  # random weights that are overwritten take longer than the file
            if _MASKED_LM_TENSOR in folder.tensor_names():
                module = PretrainingModel(folder.config, next_sentence=False)
                bert, masked_lm = module.bert, module.masked_lm
            else:
                bert = BertModel(folder.config)
                module = _Encoder(bert)
        module.to_empty(device="cpu")
        lacking = folder.load_into(module, may_lack=(_POOLER,))
        has_pooler = not lacking
        if lacking:
            nn.init.zeros_(bert.pooler.dense.weight)
            nn.init.zeros_(bert.pooler.dense.bias)

    module.eval().requires_grad_(False).to(place)
    if low:
        module.to(torch.bfloat16)
        if can_prepack(place):
            prepack(module)
    return Predictor(
        LoadedModel(
            path=folder.path,
            architecture=folder.architecture,
            device=place,
            tokenizer=tokenizer,
            bert=bert,
            has_pooler=has_pooler,
            settings=settings,
            masked_lm=masked_lm,
            task=task,
            head=head,
        )
    )
