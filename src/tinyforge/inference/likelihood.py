"""How likely a model finds answers that somebody else wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyforge.errors import DataError
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.detokenize import decode
from tinyforge.inference.generate import UNBOUNDED_LENGTH
from tinyforge.inference.modes import answering, on_device
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood
from tinyforge.tasks.decoder import answer_start


def likelihoods(
    model: Any, task: Any, examples: Sequence[Example], max_positions: int | None
) -> list[Likelihood]:
    """Teacher-forced likelihood of each example's answer, its end token included.

    A decoder's sequence that is longer than its context is measured in windows (see
    ``windows``), so that every token of the answer counts. What an encoder-decoder cannot read
    is cut from input and answer, and the answer's bytes are then those of what is left.

    Raises:
        DataError: an example has no answer.
    """
    for example in examples:
        if example.output is None:
            raise DataError("the example has no answer to measure", where=str(example.source))
    limit = max_positions or max(UNBOUNDED_LENGTH, task.max_length or 0)
    pieces: list[Encoded] = []
    owners: list[int] = []
    sizes: list[int] = []
    for index, (example, encoded) in enumerate(zip(examples, task.encode(examples), strict=True)):
        answer = example.output or ""
        if task.family == "decoder":
            found = windows(encoded, limit)
        else:
            cut = task.cut(encoded, limit, limit)
            answer = decode(task.tokenizer, cut.labels) if cut.cut_output else answer
            found = [cut]
        sizes.append(len(answer.encode("utf-8", "surrogatepass")))
        pieces += found
        owners += [index] * len(found)
    sums, counts = np.zeros(len(examples)), np.zeros(len(examples), dtype=np.int64)
    for batch, losses in _losses(model, task, pieces):
        for piece, loss in zip(batch, losses, strict=True):
            sums[owners[piece]] += loss
            counts[owners[piece]] += task.units([pieces[piece]])
    return [
        Likelihood(float(nll), int(count), size)
        for nll, count, size in zip(sums, counts, sizes, strict=True)
    ]


def _losses(model: Any, task: Any, items: Sequence[Encoded]) -> list[tuple[list[int], list[float]]]:
    lengths = [max(len(item.input_ids), len(item.labels)) for item in items]
    found = []
    device = next(model.parameters()).device
    with answering(model):
        for batch in by_length(lengths, rows=len(items), tokens=reading_budget(device.type)):
            tensors = on_device(task.collate([items[i] for i in batch]), device)
            found.append((batch, task.row_losses(model, tensors).double().tolist()))
    return found


def windows(encoded: Encoded, limit: int) -> list[Encoded]:
    """A decoder's sequence in pieces of at most ``limit`` tokens; labels of its last answer only.

    Where the answer fits into the last ``limit`` tokens these are the one piece. Otherwise
    windows that do not overlap, but for one token of context, begin half a window before the
    answer; so every token of the answer but a document's very first is predicted exactly once.
    """
    ids, labels = encoded.input_ids, encoded.labels.copy()
    first = answer_start(labels)
    labels[:first] = IGNORED
    if len(ids) <= limit:
        return [Encoded(ids, labels)]
    last = len(ids) - limit
    start = last if last < first else max(0, first - max(1, limit // 2))
    pieces = []
    for begin in range(start, len(ids) - 1, limit - 1):
        piece = labels[begin : begin + limit].copy()
        piece[0] = IGNORED
        pieces.append(Encoded(ids[begin : begin + limit], piece))
    return pieces
