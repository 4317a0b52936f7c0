"""What answers: a trained model, an exported one, a baseline. Evaluation takes any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction


class Predictor(Protocol):
    """Anything that answers examples."""

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction for each example, in order. ``example.output`` is not looked at."""
        ...
