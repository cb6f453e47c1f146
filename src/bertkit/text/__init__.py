"""Vocabularies, tokenisation and sentence splitting."""
