"""An answer's pieces without the white space around them all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from tinyforge.inference.answering import Pieces
from tinyforge.records.predictions import Piece

Tell = Callable[[Piece | BaseException], None]


class _Stripped:
    """Takes white space off around an answer whose pieces go through it."""

    def __init__(self) -> None:
        self._held, self._begun = "", False

    def __call__(self, piece: Piece) -> Piece | None:
        """The piece without it; None where nothing of it is left."""
        text = self._held + piece.text
        text = text if self._begun else text.lstrip()
        kept = text.rstrip()
        self._held = text[len(kept) :]
        self._begun = self._begun or bool(kept)
        found = replace(piece, text=kept)
        return found if kept or found.token_scores or found.finish_reason is not None else None


def stripped(pieces: Pieces) -> Pieces:
    """The pieces one after the other; closing it closes them."""
    strip = _Stripped()
    with closing(pieces):
        for piece in pieces:
            if (kept := strip(piece)) is not None:
                yield kept


def stripped_tell(tell: Tell) -> Tell:
    """The same for whoever is told of an answer (see ``OnnxModel.begin``)."""
    strip = _Stripped()

    def told(what: Piece | BaseException) -> None:
        kept = what if isinstance(what, BaseException) else strip(what)
        if kept is not None:
            tell(kept)

    return told
