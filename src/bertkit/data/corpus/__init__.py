"""A corpus as prepared shards of token ids."""
