"""What a safeguard says of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Action = Literal["pass", "changed", "refused"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a text.

    Attributes:
        action: ``pass``: it stays; ``changed``: another text stands in its place, masked or "I
            don't know"; ``refused``: it is not to be answered, or not to be shown.
        text: what to go on with: the text, the changed one, or the refusal.
        rule: which rule acted: ``personal_data``, ``block_list``, ``toxicity``, ``jailbreak``,
            ``abstain``; empty where none did.
        count: how many pieces it found.
    """

    action: Action
    text: str
    rule: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found in one text.

    Attributes:
        count: pieces found; 0: nothing.
        text: the text without them, of a rule that changes texts; None of one that refuses them.
    """

    count: int
    text: str | None = None


class Rule(Protocol):
    """One safeguard. Errors that it raises are taken for a refusal."""

    @property
    def name(self) -> str:
        """As ``Ruling.rule`` gives it."""
        ...

    def look(self, texts: Sequence[str]) -> list[Finding]:
        """What there is in each of the texts, in order."""
        ...


class Stopped(Exception):  # noqa: N818 - a stream that ends early, no mistake
    """A rule refused what a stream was about to show.

    Attributes:
        ruling: what to show in its place, and why.
    """

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(ruling.rule)
        self.ruling = ruling
