"""What a writing model forgot of plain language while it learnt the user's rows.

The same plain sentences are measured before and after training, in bits per byte, which no
tokenizer can flatter. A model that gets worse at them has paid for its new skill with general
language (catastrophic forgetting: McCloskey and Cohen 1989; for fine-tuned language models: Luo
et al. 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyforge.evaluate.findings.probes import PROBES
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example

_MUCH = 0.05
"""A rise of bits per byte that is surely more than this share of them counts as forgetting."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """One sentence and its bits per byte."""

    text: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Plain sentences before and after training.

    Attributes:
        probes: how many sentences.
        before, after: bits per byte of all of them together; lower is better.
        change: after less before, with the 95 % interval (paired, Student's t over sentences).
        forgot: whether the rise is beyond doubt and larger than 5 %.
        worst: the sentences that lost most.
    """

    probes: int
    before: float
    after: float
    change: float
    low: float
    high: float
    forgot: bool
    worst: tuple[Probe, ...]
    sentence: str


def probe(model: Any) -> Floats | None:
    """Bits per byte of every probe: shape (probes,); None where the model writes no raw text.

    Args:
        model: a ``TorchModel``. Whatever its task is, the sentences are given as raw text.
    """
    if getattr(model.task, "family", "") != "decoder" or model.task.name == "classify":
        return None
    from tinyforge.inference.likelihood import likelihoods
    from tinyforge.models.sizes import max_positions
    from tinyforge.tasks.language_model import LanguageModel

    task = LanguageModel(model.tokenizer, model.model.config)
    rows = [Example(output=text) for text in PROBES]
    found = likelihoods(model.model, task, rows, max_positions(model.model))
    return np.array([row.nll / row.bytes / math.log(2) for row in found])


def find_forgetting(before: Floats | None, after: Floats | None) -> Forgetting | None:
    """Compare two measurements by ``probe``; None where one is missing."""
    if before is None or after is None or len(before) != len(after):
        return None
    from scipy.special import stdtrit

    change = after - before
    sizes = np.array([len(text.encode()) for text in PROBES], dtype=np.float64)[: len(change)]
    shares = sizes / sizes.sum()
    mean = float(shares @ change)
    # The spread of a weighted mean over sentences (the ratio estimator's usual linearisation).
    error = math.sqrt(
        float(((shares * (change - mean)) ** 2).sum()) * len(change) / (len(change) - 1)
    )
    half = float(stdtrit(len(change) - 1, 0.975)) * error
    was, now = float(shares @ before), float(shares @ after)
    forgot = mean - half > _MUCH * was
    order = np.argsort(-change, kind="stable")[:_SHOWN]
    return Forgetting(
        probes=len(change),
        before=was,
        after=now,
        change=mean,
        low=mean - half,
        high=mean + half,
        forgot=forgot,
        worst=tuple(Probe(PROBES[i], float(before[i]), float(after[i])) for i in order),
        sentence=_sentence(was, now, mean - half, mean + half, forgot),
    )


def _sentence(was: float, now: float, low: float, high: float, forgot: bool) -> str:
    text = f"On {len(PROBES)} plain sentences, bits per byte went from {was:.2f} to {now:.2f}"
    if forgot:
        return (
            f"{text}: the model forgot some of its general language (95 % interval of the rise "
            f"{low:+.2f} to {high:+.2f}). A smaller learning rate, fewer epochs or --lora keep "
            "more of it."
        )
    if high < 0:
        return f"{text}: training made it better at plain language too."
    return f"{text}: no worthwhile loss of general language."
