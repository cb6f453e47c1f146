"""Text to token ids and back: tokenizers, vocabularies, sentences, and the special tokens around ids; without torch.

Other rooms import:

- `tokenizer`: `Tokenizer`; `wordpiece`: `Reference`; `tokenizer_files`: `WORDPIECE_FILES`
- `sequences`: `EncodedExample`, `SequenceLayout`, `longest_first_by_token`, `window_starts`, `maximum_context`
- `pieces`: `Pieces`; `bulk_encoder`: `ChunkEncoder`; `vocabulary`: `WordEntries`
- `plain_text`: `split_sentences`, `split_words`, `checked_utf8`
"""
