"""An example as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""A label that carries no loss (the value PyTorch and Hugging Face use)."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one example, not padded.

    Attributes:
        input_ids: int32, shape (n,).
        labels: int32. Encoder-decoder: the target's ids, shape (m,), end token included.
            Decoder: shape (n,), the same as ``input_ids`` where a token is learnt and -100 where
            not (not shifted; models shift them). Classification: the label's index, shape (1,),
            or the indices of all labels of a multi-label example, shape (k,), k may be 0.
        cut_input: tokens of the input that a length limit removed.
        cut_output: tokens of the answer that a length limit removed.
        rejected: preference pairs: the same prompt with the worse answer; else None.
        reference: preference pairs: by how many nats the model before training finds the chosen
            answer likelier than the rejected one; None while that is not measured.
    """

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    cut_input: int = 0
    cut_output: int = 0
    rejected: Encoded | None = None
    reference: float | None = None
