"""Preference pairs by likelihood: which of its two answers a model finds likelier, unasked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyforge.evaluate.scoring import Part, Scoring
from tinyforge.metrics import TASK_METRICS, primary_for_preferences
from tinyforge.metrics.tally import Floats, Means
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction


class PairScorer:
    """How often the chosen answer is the likelier one, summed over its tokens and by its bytes.

    The sum is what DPO learns. It favours short answers, which is why the share by length stands
    beside it, and why a note says how often the chosen answer is the shorter one.
    """

    def __init__(self) -> None:
        self._means = Means(TASK_METRICS["preference"])
        self._rows = self._shorter = 0

    def add(self, part: Part) -> Floats:
        """1 where the chosen answer is the likelier one."""
        pairs = list(zip(part.likelihoods, part.rejected, strict=True))
        summed = np.array([float(a.nll < b.nll) for a, b in pairs])
        by_byte = [float(a.nll / max(a.bytes, 1) < b.nll / max(b.bytes, 1)) for a, b in pairs]
        names = self._means.names
        self._means.add({names[0]: summed, names[1]: np.array(by_byte)})
        self._rows += len(pairs)
        self._shorter += sum(a.bytes < b.bytes for a, b in pairs)
        return summed

    def close(self) -> Scoring:
        """Both shares."""
        share = self._shorter / max(self._rows, 1)
        notes = [f"the chosen answer is the shorter one in {share:.1%} of the pairs"]
        return Scoring(primary_for_preferences(), self._means.close(), notes=notes)


def preferred(
    examples: Sequence[Example],
    chosen: Sequence[Likelihood],
    rejected: Sequence[Likelihood],
    model: str,
) -> list[Prediction]:
    """The likelier answer of each pair, with its share of both answers' likelihood."""
    found = []
    for example, a, b in zip(examples, chosen, rejected, strict=True):
        answer = example.output if a.nll < b.nll else example.rejected
        share = 1 / (1 + np.exp(-min(abs(a.nll - b.nll), 700.0)))
        found.append(Prediction(answer or "", float(share), model=model, finish_reason="stop"))
    return found
