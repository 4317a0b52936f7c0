"""Nouns between stages: what flows from a file to an answer. Frozen, without behaviour."""
