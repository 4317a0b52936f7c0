"""Prompted models among the baselines: on some of the rows, and only where that is quick.

A model that is merely asked can take longer than training a small one did. So it answers a random
part of the test rows, the same for all such baselines, and is left out where even that would take
too long. The verdict then compares on the rows that both answered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.data.some_rows import Rows
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.joined import JoinedReferences
from tinyforge.evaluate.run import GENERATING, evaluate
from tinyforge.inference.base import Predictor
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction

log = logging.getLogger("tinyforge")

TITLES = {
    "zero_shot": "the model before training, asked",
    "few_shot": "the model before training, shown similar rows",
}
"""Every prompted baseline's name and what people call it."""

FIRST_ROWS = 8
"""Answered before the time for all rows is guessed for the first time."""

_MOST_AT_ONCE = 64


class TooSlow(Exception):  # noqa: N818 - it is not a mistake
    """Answering all rows would take longer than allowed.

    Attributes:
        seconds: what it would take, as far as can be told.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"about {seconds:.0f} s")


class Timed:
    """A predictor that gives up once it is clear that it would take too long.

    The time for all rows is guessed from those answered so far. The first guess holds what is
    done only once, so that it has to be twice too long.

    Args:
        rows: how many there will be in all.
        limit: seconds for all of them.
    """

    def __init__(
        self,
        predictor: Predictor,
        rows: int,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._predictor, self._rows, self._limit, self._clock = predictor, rows, limit, clock
        self._done, self._spent = 0, 0.0
        self.fit_seconds = float(getattr(predictor, "fit_seconds", 0.0))
        self.parameters = getattr(predictor, "parameters", None)
        self.size_bytes = getattr(predictor, "size_bytes", None)

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction for each example, in order; raises TooSlow."""
        found: list[Prediction] = []
        while len(found) < len(examples):
            size = min(max(FIRST_ROWS, self._done), _MOST_AT_ONCE)
            part = examples[len(found) : len(found) + size]
            began = self._clock()
            found += self._predictor.predict_examples(part)
            first = not self._done
            self._spent += self._clock() - began
            self._done += len(part)
            guess = self._spent * self._rows / self._done
            if self._done < self._rows and guess > self._limit * (2 if first else 1):
                raise TooSlow(guess)
        return found


def some_rows(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many of the rows, chosen at random, in their order."""
    if len(rows) <= most:
        return rows
    chosen = np.random.default_rng([seed, len(rows)]).choice(len(rows), most, replace=False)
    return rows[np.sort(chosen)]


def _part(examples: Sequence[Example], rows: NDArray[np.int64], *, joined: bool) -> Rows:
    if not joined:
        return Rows(examples, rows)
    together = JoinedReferences(examples)
    places = {together.row(i): i for i in range(len(together))}
    return Rows(together, np.array([places[int(row)] for row in rows]))


def score_prompted(
    found: Mapping[str, Predictor],
    examples: Sequence[Example],
    ours: Evaluation,
    *,
    settings: EvaluateSettings,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Evaluation]:
    """Prompted baselines on a part of the rows that the model was judged on.

    A baseline that is too slow is left out, and a note in ``ours.notes`` says so.

    Args:
        found: name -> predictor, names as in ``TITLES``.
        examples: those that the model itself was given.
        ours: the model's evaluation.
        progress: called with each baseline's title before it starts.
    """
    rows = some_rows(ours.rows, settings.prompt_rows, seed)
    part = _part(examples, rows, joined=settings.join_references and ours.task in GENERATING)
    whole = settings.model_copy(update={"max_rows": len(rows), "join_references": False})
    scored = {}
    for name, predictor in found.items():
        title = TITLES.get(name, name)
        if progress is not None:
            progress(title)
        timed = Timed(predictor, len(rows), settings.prompt_seconds)
        try:
            scored[name] = evaluate(
                timed, part, task=ours.task, labels=ours.labels, settings=whole, seed=seed,
                name=title, primary=ours.primary,
            )  # fmt: skip
        except TooSlow as slow:
            note = (
                f"not judged: {title} ({len(rows):,} rows would take about {slow.seconds:.0f} s, "
                f"and evaluate.prompt_seconds is {settings.prompt_seconds:g})"
            )
            log.info(note)
            ours.notes.append(note)
            continue
        if len(rows) < len(ours.rows):
            scored[name].notes.append(
                f"judged on a random {len(rows):,} of the {len(ours.rows):,} rows "
                "(evaluate.prompt_rows)"
            )
    return scored
