"""Tokens that a model's own generation settings force or forbid, as transformers applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every answer of a model, whatever the user asks for.

    Attributes:
        ends: tokens that end an answer.
        first, last: the token that an answer begins with, and the one that it ends with where it
            reaches its length; None: any.
        never, not_first: tokens that are not written, at all or as the first.
        least: tokens before which no end token is written.
        opened: tokens that stand before an answer that is empty as yet: 1 behind an encoder, and 0
            where that is not known (a decoder's prompt).
    """

    ends: tuple[int, ...]
    first: int | None = None
    last: int | None = None
    never: tuple[int, ...] = ()
    not_first: tuple[int, ...] = ()
    least: int = 0
    opened: int = 0

    @classmethod
    def read(cls, config: Mapping[str, Any], ends: Sequence[int], *, encoder: bool) -> Self:
        """From a ``generation_config.json``.

        ``bad_words_ids`` of several tokens, and settings that TinyForge's answers never have
        (penalties, for example), are not looked at.
        """
        words = [word for word in config.get("bad_words_ids") or () if len(word) == 1]
        banned = [word[0] for word in words if word[0] not in ends]
        # A start that is forced is so for whatever begins with one token: never a real prompt.
        forced = config.get("forced_bos_token_id") if encoder else None
        return cls(
            tuple(ends), forced, _one(config.get("forced_eos_token_id")),
            tuple(int(i) for i in [*(config.get("suppress_tokens") or ()), *banned]),
            tuple(int(i) for i in config.get("begin_suppress_tokens") or ()),
            int(config.get("min_length") or 0) if encoder else 0, int(encoder),
        )  # fmt: skip

    @property
    def plain(self) -> bool:
        """Whether every token may be written at every place."""
        nothing = (None, None, (), (), 0)
        return (self.first, self.last, self.never, self.not_first, self.least) == nothing

    def apply(self, logits: Floats, written: int, room: int) -> Floats:
        """The logits, or log-probabilities, with what may not be written at minus infinity.

        Args:
            logits: (..., vocabulary); left as they are.
            written: tokens of the answer so far.
            room: tokens that it may have.
        """
        found = logits.copy()
        if self.opened + written < self.least:
            found[..., self.ends] = -np.inf
        forced = self.first if not written else self.last if written == room - 1 else None
        if forced is not None:
            found[:] = -np.inf
            found[..., forced] = 0
        found[..., self.never] = -np.inf
        late = 1 if self.first is not None else 0
        if written == late:
            found[..., self.not_first] = -np.inf
        return found


def _one(value: Any) -> int | None:
    """The first where there are several."""
    chosen = value[0] if isinstance(value, list) and value else value
    return None if chosen is None or isinstance(chosen, list) else int(chosen)
