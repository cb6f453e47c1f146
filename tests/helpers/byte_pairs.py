"""A tokenizer in the layout of ModernBERT's."""

from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bertkit.core.files import write_json

LINES = [
    "The old wind runs over green stones, and the river falls.",
    "  two spaces   three    four\ttab\nline ",
    "cafe\u0301 caf\u00e9 \u212b \ufb01n na\u00efve \u4e2d\u6587 \U0001f642",
    "It's [MASK] or [SEP] and [unused0], don't they?",
    "",
    " ",
    "x" * 300,
]


def save_byte_pairs(folder: Path) -> None:
    """A vocabulary of bytes with a few merges, entries for runs of spaces, and BERT's special tokens behind it."""
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    library.train_from_iterator(LINES * 3, trainer)
    library.add_tokens([AddedToken(" " * count, normalized=True) for count in (4, 3, 2)])
    library.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", AddedToken("[MASK]", lstrip=True)])
    library.add_tokens([AddedToken("[unused0]", normalized=False)])
    ends = [(name, library.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    library.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    library.save(str(folder / "tokenizer.json"))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    write_json(folder / "tokenizer_config.json", config | {f"{name}_token": token for name, token in names.items()})
