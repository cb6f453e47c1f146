"""Programs that load a model folder, for its card."""

from __future__ import annotations

from bertkit.model.description import ModelDescription
from bertkit.model.formats.table import FORMATS

_EMBED = 'model.embed(["one text", "another"])  # float32 (2, hidden)'
_CALLS = {
    "BertForPreTraining": 'model.fill_mask("The capital of France is {mask}.")',
    "BertForMaskedLM": 'model.fill_mask("The capital of France is {mask}.")',
    "BertForSequenceClassification": 'model.predict(["one text", "another"])',
    "BertForTokenClassification": 'model.predict(["A text to be tagged."])',
    "BertForQuestionAnswering": 'model.predict([("A question?", "A text that may answer it.")])',
    "BertForMultipleChoice": 'model.predict([("A question?", ["one answer", "another"])])',
}
_SENTENCES = "sentence-transformers (the mean of the last layer's tokens, unless `modules.json` says otherwise)"


def how_to_load(description: ModelDescription) -> dict[str, str]:
    """A program for each library; FOLDER stands for where the folder is."""
    form = FORMATS[description.config.model_type]
    auto = form.class_name(description.architecture).replace(form.class_prefix, "Auto", 1)
    auto = auto if auto == "AutoModel" else auto.replace("Auto", "AutoModel", 1)
    mask = "<mask>" if description.config.model_type == "roberta" else "[MASK]"
    call = _CALLS.get(description.architecture, _EMBED).format(mask=mask)
    return {
        "bertkit": f'import bertkit\n\nmodel = bertkit.load("FOLDER")\n{call}',
        "Transformers": (
            f"from transformers import AutoTokenizer, {auto}\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\nmodel = {auto}.from_pretrained("FOLDER")'
        ),
        _SENTENCES: (
            "from sentence_transformers import SentenceTransformer\n\n"
            'model = SentenceTransformer("FOLDER")\nmodel.encode(["one text", "another"])'
        ),
    }


def how_to_load_checkpoint() -> dict[str, str]:
    """Programs that load a TensorFlow checkpoint."""
    return {
        "bertkit": f'import bertkit\n\nmodel = bertkit.load("FOLDER")\n{_EMBED}',
        "TensorFlow": 'import tensorflow as tf\n\nreader = tf.train.load_checkpoint("FOLDER/bert_model.ckpt")',
    }
