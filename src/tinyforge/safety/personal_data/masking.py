"""Replace personal data in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from tinyforge.safety.personal_data.fakes import fake
from tinyforge.safety.personal_data.finding import KINDS, find
from tinyforge.safety.personal_data.names import find_names
from tinyforge.safety.personal_data.spans import Span, without_overlaps

_ROUNDS = 3  # two numbers that run into each other show only once one of them is gone


def mask(
    text: str,
    kinds: Collection[str] = KINDS,
    *,
    label: str | None = "<{kind}>",
    names_model: str | None = None,
) -> tuple[str, dict[str, int]]:
    """A text without personal data; what is outside the found spans stays as it was.

    Args:
        kinds: those to look for, out of ``KINDS``.
        label: what stands for the data, with ``{kind}`` in it; None: invented data of the same
            kind (see ``fakes.py``).
        names_model: a spaCy model by which names of people are looked for too.

    Returns:
        The text, and how many pieces of each kind were replaced.
    """
    counts: Counter[str] = Counter()
    found = find_names(text, names_model) if names_model is not None else []
    for _ in range(_ROUNDS):
        spans = without_overlaps(text, [*find(text, kinds), *found])
        if not spans:
            break
        text, replaced = replace_spans(text, spans, label)
        counts.update(replaced)
        found = []
    return text, dict(counts)


def replace_spans(
    text: str, spans: Sequence[Span], label: str | None = "<{kind}>"
) -> tuple[str, dict[str, int]]:
    """A text with the given spans, in order and apart, replaced; and how many of each kind."""
    if not spans:
        return text, {}
    pieces = []
    end = 0
    for span in spans:
        pieces.append(text[end : span.start])
        if label is None:
            pieces.append(fake(span.text, span.kind))
        else:
            pieces.append(label.replace("{kind}", span.kind))
        end = span.end
    pieces.append(text[end:])
    return "".join(pieces), dict(Counter(span.kind for span in spans))
