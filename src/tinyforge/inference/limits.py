"""How much is read and written where nobody says."""

from __future__ import annotations

MAX_NEW_TOKENS = 64
"""Tokens written at most, where neither the user nor the model's training says more."""

UNBOUNDED_LENGTH = 2_048
"""Tokens read at most by a model without a bound of its own (T5): memory grows with the square."""
