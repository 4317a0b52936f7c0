"""An answer told to a function while it is written, without a thread of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinyforge.errors import ModelError
from tinyforge.inference.json_answers import Guide
from tinyforge.inference.sampling import Chances
from tinyforge.inference.transcript import Transcript
from tinyforge.records.predictions import Piece

Tell = Callable[[Piece | BaseException], None]


class Follower:
    """Takes an answer down in the engine's thread; a ``Watch``.

    Args:
        tell: called with each piece, the last of which has a ``finish_reason``; or with what went
            wrong, after which nothing comes. What it raises ends the answer.

    Attributes:
        muted: whoever asked has cancelled, and is told nothing any more.
    """

    def __init__(self, transcript: Transcript, tell: Tell) -> None:
        self._transcript, self._tell = transcript, tell
        self.muted = False

    def token(self, token: int, chances: Chances | None) -> None:
        """One more token was written."""
        piece = self._transcript.push(token, chances)
        if piece is not None and not self.muted:
            self._tell(piece)

    def over(
        self,
        reason: str,
        failure: BaseException | None,
        guide: Guide | None,
        logs: Sequence[float],
    ) -> None:
        """Nothing more will come."""
        if self.muted:
            return
        self.muted = True
        if failure is not None:
            self._tell(failure)
        elif reason == "cancelled":
            self._tell(ModelError("this model was closed", fix="Load it again"))
        else:
            self._tell(self._transcript.finish(guide, logs))
