"""What a prompted model says of its task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AskedTask:
    """What a prompted model does, for those who ask it: ``classify``, ``text2text``, ``instruct``.

    Attributes:
        family: of the model that is asked.
    """

    name: str
    family: str
    labels: tuple[str, ...] = ()
    multi_label: bool = False
