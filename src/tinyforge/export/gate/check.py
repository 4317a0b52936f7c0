"""One question that the gate asks, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tinyforge.errors import Interrupted, MissingPackageError


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found.

    Attributes:
        name: ``files``, ``reading``, ``weights``, ``logits``, ``answers``, ``fresh`` or ``metric``.
        passed: whether the export may go on.
        sentence: what was found, in words; where it did not pass, why not.
        figures: the numbers behind it; plain JSON.
    """

    name: str
    passed: bool
    sentence: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name, "passed": self.passed, "sentence": self.sentence,
            "figures": dict(self.figures),
        }  # fmt: skip


NOT_THE_EXPORT = (MissingPackageError, Interrupted, MemoryError)
"""A machine that lacks something, or a signal that stops the work, is no fault of an export."""


def failed(name: str, sentence: str, **figures: Any) -> Check:
    """A check that did not pass."""
    return Check(name, False, sentence, figures)
