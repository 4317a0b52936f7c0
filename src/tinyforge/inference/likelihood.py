"""How likely a model finds answers that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinyforge.errors import DataError
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.detokenize import decode
from tinyforge.inference.limits import UNBOUNDED_LENGTH
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood
from tinyforge.tasks.decoder import answer_start

Losses = Callable[[Sequence[Encoded]], Iterable[tuple[list[int], Sequence[float]]]]
"""Items to batches of them: their places, and for each its summed negative log-likelihood."""


def likelihoods(
    model: Any,
    task: Any,
    examples: Sequence[Example],
    max_positions: int | None,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> list[Likelihood]:
    """``measured`` with a PyTorch model."""

    def losses(items: Sequence[Encoded]) -> list[tuple[list[int], list[float]]]:
        return _losses(model, task, items)

    return measured(losses, task, examples, max_positions, window=window, stride=stride)


def measured(
    losses: Losses,
    task: Any,
    examples: Sequence[Example],
    max_positions: int | None,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> list[Likelihood]:
    """Teacher-forced likelihood of each example's answer, its end token included.

    A decoder's sequence that is longer than its context is measured in overlapping windows (see
    ``windows``), so that every token of the answer counts once, and most of them after half a
    window of text or more. What an encoder-decoder cannot read is cut from input and answer, and
    the answer's bytes are then those of what is left.

    Args:
        window: tokens that a decoder reads at once; default: all that it can.
        stride: tokens by which the window moves on; default: half the window.

    Raises:
        DataError: an example has no answer.
    """
    for example in examples:
        if example.output is None:
            raise DataError("the example has no answer to measure", where=str(example.source))
    limit = max_positions or max(UNBOUNDED_LENGTH, task.max_length or 0)
    width = max(2, min(window or limit, limit))
    step = min(stride or max(1, width // 2), width - 1)
    pieces: list[Encoded] = []
    owners: list[int] = []
    answers: list[str] = []
    for index, (example, encoded) in enumerate(zip(examples, task.encode(examples), strict=True)):
        answer = example.output or ""
        if task.family == "decoder":
            found = windows(encoded, width, step)
        else:
            cut = task.cut(encoded, limit, limit)
            answer = decode(task.tokenizer, cut.labels) if cut.cut_output else answer
            found = [cut]
        answers.append(answer)
        pieces += found
        owners += [index] * len(found)
    sums, counts = np.zeros(len(examples)), np.zeros(len(examples), dtype=np.int64)
    for batch, values in losses(pieces):
        for piece, loss in zip(batch, values, strict=True):
            sums[owners[piece]] += loss
            counts[owners[piece]] += task.units([pieces[piece]])
    return [
        Likelihood(float(nll), int(n), len(text.encode("utf-8", "surrogatepass")), len(text))
        for nll, n, text in zip(sums, counts, answers, strict=True)
    ]


def _losses(model: Any, task: Any, items: Sequence[Encoded]) -> list[tuple[list[int], list[float]]]:
    from tinyforge.inference.modes import answering, on_device

    lengths = [max(len(item.input_ids), len(item.labels)) for item in items]
    found = []
    device = next(model.parameters()).device
    with answering(model):
        for batch in by_length(lengths, rows=len(items), tokens=reading_budget(device.type)):
            tensors = on_device(task.collate([items[i] for i in batch]), device)
            found.append((batch, task.row_losses(model, tensors).double().tolist()))
    return found


def windows(encoded: Encoded, width: int, stride: int) -> list[Encoded]:
    """A decoder's sequence in pieces of at most ``width`` tokens; labels of its last answer only.

    Where the answer fits into the last ``width`` tokens these are the one piece. Otherwise the
    first window begins half a window before the answer, and each next one ``stride`` tokens
    later, the last one with the sequence's end. A window counts only the tokens that the one
    before did not reach. So every token of the answer but a document's very first is predicted
    exactly once, and, but for those of the first window, after at least ``width - stride``
    tokens.

    Args:
        stride: from 1 to ``width - 1``.
    """
    ids, labels = encoded.input_ids, encoded.labels.copy()
    first = answer_start(labels)
    labels[:first] = IGNORED
    if len(ids) <= width:
        return [Encoded(ids, labels)]
    last = len(ids) - width
    begin = last if last < first else max(0, first - max(1, width // 2))
    reached = begin + 1
    pieces = []
    while True:
        end = min(begin + width, len(ids))
        piece = labels[begin:end].copy()
        piece[: reached - begin] = IGNORED
        pieces.append(Encoded(ids[begin:end], piece))
        if end == len(ids):
            return pieces
        begin, reached = min(begin + stride, last), end
