"""Toxic text, told by any classifier of ours.

The probability from which a text counts is chosen on validation rows when the classifier is trained
(``evaluate.alarm_labels``, ``evaluate.alarm_rate``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tinyforge.artifacts.manifest import MANIFEST, verify
from tinyforge.artifacts.thresholds import ALARM, read_choice
from tinyforge.errors import FolderError, ModelError, SettingError
from tinyforge.records.examples import Example
from tinyforge.safety.rulings import Finding

_FEWEST_CHARACTERS = 40
_UNKNOWN_LIMIT = 512
_WHERE = "safeguards.toxicity_model"


class Toxicity:
    """A classifier whose labels of some names mean a refusal; a ``Rule``.

    Args:
        model: a ``classify`` model.
        labels: of them the probabilities are added up, or, where several may hold, the highest
            counts.
        threshold: probability above which a text is refused.
    """

    name = "toxicity"

    def __init__(self, model: Any, labels: Sequence[str], threshold: float) -> None:
        self._model, self.labels, self.threshold = model, tuple(labels), threshold
        self._one_at_a_time = threading.Lock()

    @classmethod
    def open(
        cls,
        place: str,
        load: Callable[[str], Any],
        *,
        labels: Sequence[str] = (),
        threshold: float | None = None,
    ) -> Toxicity:
        """The classifier of a folder, with what was chosen when it was trained.

        Raises:
            SettingError: no labels or no threshold are given or were chosen.
            ModelError: it is no classifier.
            FolderError: a file is not as the manifest has it.
        """
        if (Path(place) / MANIFEST).is_file() and (problems := verify(Path(place))):
            raise FolderError(
                "a file of the toxicity classifier is not as it was made", where=place,
                value=problems[0], fix="Export or train it again",
            )  # fmt: skip
        model = load(place)
        if getattr(getattr(model, "task", None), "name", "") != "classify":
            raise ModelError("the toxicity model gives no labels", where=_WHERE, value=place)
        chosen = read_choice(place, ALARM) or {}
        labels = tuple(labels) or tuple(chosen.get("labels", ()))
        unknown = [label for label in labels if label not in model.labels]
        if not labels or unknown:
            listed = ", ".join(model.labels[:20])
            raise SettingError(
                "this classifier has no such label" if unknown
                else "which labels of the classifier mean toxic is not known",
                where="safeguards.toxicity_labels", value=unknown[0] if unknown else None,
                fix=f"Name some of: {listed}",
            )  # fmt: skip
        value = threshold if threshold is not None else chosen.get("value")
        if value is None:
            raise SettingError(
                "no threshold was chosen when this classifier was trained", where=_WHERE,
                value=place, fix="Give safeguards.toxicity_threshold, or train it with "
                f"--set evaluate.alarm_labels={labels[0]}",
            )  # fmt: skip
        return cls(model, labels, float(value))

    def look(self, texts: Sequence[str]) -> list[Finding]:
        """Whether each text is toxic."""
        return [Finding(int(share > self.threshold)) for share in self.shares(texts)]

    def shares(self, texts: Sequence[str]) -> list[float]:
        """How likely each text is toxic; of a long one, its worst part."""
        with self._one_at_a_time:
            return alarm_shares(self._model, texts, self.labels)


def alarm_shares(model: Any, texts: Sequence[str], labels: Sequence[str]) -> list[float]:
    """The probability of some labels for each text; the highest of its parts, where it is longer
    than what the model reads at once, so that nothing hides behind a long beginning.

    Args:
        model: a ``classify`` model.
        labels: as ``Toxicity`` takes them.
    """
    parts: list[str] = []
    places: list[int] = []
    for place, text in enumerate(texts):
        for part in _parts(model, text):
            parts.append(part)
            places.append(place)
    shares = [0.0] * len(texts)
    if not parts:
        return shares
    together = max if getattr(model.task, "multi_label", False) else sum
    for place, found in zip(places, model.predict(parts), strict=True):
        share = float(together(found.scores[label] for label in labels))
        shares[place] = max(shares[place], share)
    return shares


def _parts(model: Any, text: str) -> Iterator[str]:
    """A text, or halves of it until each fits."""
    limits = (getattr(model.task, "max_length", None), getattr(model, "max_positions", None))
    limit = min((limit for limit in limits if limit), default=_UNKNOWN_LIMIT)
    waiting = [text]
    while waiting:
        part = waiting.pop()
        if not part.strip():
            continue
        tokens = len(model.task.encode([Example(input=part)])[0].input_ids)
        if tokens <= limit or len(part) < _FEWEST_CHARACTERS:
            yield part
            continue
        middle = len(part) // 2
        space = part.find(" ", middle, middle + len(part) // 4)
        cut = space if space > 0 else middle
        waiting += [part[cut:], part[:cut]]
