"""Where a stop string ends an answer, seen from its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyforge.inference.detokenize import decode


class StopStrings:
    """Whether an answer's last tokens hold a stop string; it keeps nothing between answers."""

    def __init__(self, tokenizer: Any, stops: Sequence[str]) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        longest = max((len(stop.encode("utf-8", "surrogatepass")) for stop in stops), default=0)
        self._window = longest + 4  # a byte is a token at the least

    def __bool__(self) -> bool:
        return bool(self._stops)

    def end(self, ids: Sequence[int]) -> bool:
        """Whether the text of these new tokens holds one near its end."""
        if not self._stops:
            return False
        # The last tokens by themselves may read otherwise than after those before them: bytes that
        # make up no text do so as a whole.
        return self._hold(ids[-self._window :]) and self._hold(ids)

    def _hold(self, ids: Sequence[int]) -> bool:
        text = decode(self._tokenizer, ids)
        return any(stop in text for stop in self._stops)
