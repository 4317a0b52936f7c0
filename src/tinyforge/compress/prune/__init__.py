"""Weights taken out of a model, so that what is left is a smaller plain Hugging Face model.

- ``shrink``: feed-forward units, attention heads and whole layers that matter least on some rows.
- ``vocabulary``: tokens that the user's texts do not use, from model and tokenizer.
- ``distil``: the loss by which the smaller model learns from the whole one.
"""
