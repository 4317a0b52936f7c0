"""An encoder that reads sources, and gives keys and values to the decoder behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.inference.onnx.sessions import Session
from tinyforge.tasks.tokens import pad

Array = NDArray[Any]


class Encoder:
    """Reads sources.

    Args:
        names: of the keys and values that the decoder takes.
        padding: the id that fills up short rows; it is masked.
    """

    def __init__(self, session: Session, names: Sequence[str], padding: int) -> None:
        self._session, self._names, self._padding = session, tuple(names), padding

    def read(self, sources: Sequence[NDArray[Any]]) -> tuple[list[Array], NDArray[np.int64]]:
        """Sources of like length together.

        Returns:
            keys and values in the order of ``names``, each (rows, heads, longest, head size) with
            the tokens at the left; and how many tokens each row has.
        """
        ids, mask = pad(sources, self._padding)
        found = self._session.run({"input_ids": ids, "attention_mask": mask}, self._names)
        lengths = np.array([len(source) for source in sources], dtype=np.int64)
        return [found[name] for name in self._names], lengths
