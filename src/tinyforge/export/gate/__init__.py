"""The gate: an export is ready only after it was found to be the model that was tested.

What ``verify`` and the fresh process need (``golden``, ``fresh``, ``check``) loads neither torch
nor transformers; the rest compares with the source and needs both.
"""
