"""Corpora, prepared shards, instances, masks and batches."""
