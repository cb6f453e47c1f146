"""The model of a task, and its folder: `task.json` beside what every model folder has."""
# S sequences, T tokens, R rows of output (S or T), C outputs.

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bertkit.core.batch import PackedBatch
from bertkit.core.checksums import write_sums
from bertkit.core.files import atomic_folder, write_json
from bertkit.model.config import BertConfig
from bertkit.model.encoder import Encoder
from bertkit.model.initialization import empty_weights
from bertkit.pretrained.card import ModelCard
from bertkit.pretrained.folder import TASK_FILE, ModelFolder, write_model_folder
from bertkit.tasks.contract import Task
from bertkit.tasks.task_folder import load_task
from bertkit.text.tokenizer import Tokenizer


class TaskModel(nn.Module):
    """The head on the pooled output of [CLS], or on every token (Devlin et al. 2019, section 3.2)."""

    def __init__(self, bert: Encoder, head: nn.Module, *, reads_tokens: bool = False) -> None:
        super().__init__()
        self.bert = bert
        self.head = head
        self.reads_tokens = reads_tokens

    def forward(self, batch: PackedBatch) -> Tensor:
        """Logits (R, C)."""
        if self.reads_tokens:
            return self.head(self.bert(batch).last_hidden_state)  # type: ignore[no-any-return]
        no_tokens = batch.cu_seqlens.new_empty(0)
        return self.head(self.bert(batch, output_positions=no_tokens).pooler_output)  # type: ignore[no-any-return]


def save_task_model(
    folder: Path, model: TaskModel, task: Task[Any], tokenizer: Tokenizer, card: ModelCard | None = None
) -> None:
    """Write all that prediction needs, whole or not at all; Hugging Face's class of the task reads it too."""
    with atomic_folder(folder) as temporary:
        write_model_folder(
            temporary,
            model,
            model.bert.config,
            architecture=task.architecture,
            labels=task.classes,
            problem_type=task.problem_type,
            card=card,
        )
        config = model.bert.config
        tokenizer.save_pretrained(temporary, max_length=config.max_length, token_types=config.type_vocab_size > 0)
        write_json(temporary / TASK_FILE, task.description())
        write_sums(temporary, [TASK_FILE])


def new_task_model(task: Task[Any], config: BertConfig) -> TaskModel:
    """The encoder with the task's head, not initialised."""
    bert = Encoder(config, add_pooling_layer=not task.reads_tokens)
    return TaskModel(bert, task.head(config), reads_tokens=task.reads_tokens)


def load_task_model(folder: ModelFolder) -> tuple[TaskModel, Task[Any]]:
    """Load a fine-tuned model, in evaluation mode, with its task."""
    task = load_task(folder)
    with empty_weights("cpu"):
        model = new_task_model(task, folder.config)
    folder.load_into(model).show()
    return model.eval(), task
