"""A corpus as prepared shards of token ids: made, deduplicated, recorded and opened again; without torch.

Other rooms import:

- `options`: `PrepareOptions`, `CorpusOptions`, `DuplicateOptions`
- `prepare`: `prepare`, `write_corpus`, `describe`, `corpus_fingerprint`; `parts`: `prepare_part`, `merge_parts`
- `train_tokenizer`: `train_tokenizer`
- `prepared`: `PreparedCorpus`, `prepared_tokenizer`, `token_counts`; `word_vectors`: `word_vectors`
- `output_folder`: `prepare_folder`, `WORK`; `shards`: `token_dtype`
- `manifest`: `Manifest`, `Duplicates`, `FileRecord` and what reads and checks a manifest
- `dedup`: `ShardSet`, `find_duplicates`; `hashing`: `write_shard_hashes`
- `overlap`: `text_overlap`, `benchmark_files`, `FileOverlap`
"""
