"""An example: one thing to learn or to judge, whatever file and columns it came from."""

from __future__ import annotations

from dataclasses import dataclass

from tinyforge.records.rows import Source

IN_MEMORY = Source("<memory>", 0)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. ``role`` is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn.

    What is filled depends on the task:

    - classify: ``input`` and ``output`` (a label) or ``labels`` (several, maybe none).
    - text2text: ``input`` and ``output``.
    - instruct: ``messages``, the last one the assistant's answer; ``input`` and ``output`` repeat
      the last question and that answer for display and scoring. Without an answer
      (``output is None``) the last message is the user's.
    - language-model: ``output`` is the text; ``input`` is empty.
    - preference: as instruct, with the chosen answer; ``rejected`` is the worse one.

    Attributes:
        references: all right answers, ``output`` first, where a row has several; else empty.
            Training uses the first.
        labels: the label set of a multi-label example; None where the task is not multi-label.
        group: rows of one group never stand on two sides of a split.
        time: the sort key where the split goes by time.
        rejected: the answer that was liked less (preference); else None.
    """

    input: str = ""
    output: str | None = None
    labels: tuple[str, ...] | None = None
    messages: tuple[Message, ...] = ()
    group: str | None = None
    time: str | None = None
    source: Source = IN_MEMORY
    references: tuple[str, ...] = ()
    rejected: str | None = None
