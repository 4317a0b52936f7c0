"""Whether the exported model answers as the source does, and which answers are kept as golden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.golden import FEWEST, MARGIN, Golden, ask, golden_of, plain
from tinyforge.export.gate.logits import TOGETHER, Said
from tinyforge.export.gate.tolerance import Floats
from tinyforge.records.predictions import Prediction

NAME = "answers"

ENOUGH = 6
"""Tokens of an answer that say enough, where what follows them is close."""


@dataclass(frozen=True)
class Chosen:
    """Rows whose answers are asked for and kept.

    Attributes:
        rows: their numbers in ``said.examples``.
        rooms: tokens of each answer, at most: where it comes near a tie, it is asked up to there.
        clear: whether no answer hangs by a thread, so that all have to be the source's.
    """

    rows: list[int]
    rooms: list[int | None]
    clear: bool


def choose(said: Said, exported: Floats, task: Any, precision: str, most: int, rows: int) -> Chosen:
    """Rows whose answer does not hang by a thread, and that both models answer alike.

    Args:
        exported: the exported model's logits, beside ``said.labels`` or those of the steps.
        most: of the first ``rows`` rows, which are real ones; all of the others may be taken.

    Returns:
        what was chosen; where too few are clear, the clearest ones are taken.
    """
    count = len(said.examples)
    if said.labels is not None:
        margins = _label_margins(said, exported, task)
        rooms: list[int | None] = [None] * count
        clear = [place for place in range(count) if margins[place] >= MARGIN[precision]]
    else:
        margins, lengths = _step_margins(said, exported, MARGIN[precision])
        rooms = [max(int(length), 1) for length in lengths]
        clear = [place for place in range(count) if lengths[place] >= min(ENOUGH, said.room or 1)]
    real = [place for place in clear if place < rows]
    step = max(1, -(-len(real) // most)) if most else 1
    chosen = [*real[::step][:most], *(place for place in clear if place >= rows)]
    chosen.sort(key=lambda place: (-(rooms[place] or 0), place))  # like lengths are asked together
    if len(chosen) >= FEWEST:
        return Chosen(chosen, [rooms[place] for place in chosen], True)
    ranked = [int(place) for place in np.argsort(-margins, kind="stable")]
    allowed = sorted([place for place in ranked if most or place >= rows][:FEWEST])
    return Chosen(allowed, [rooms[place] for place in allowed], False)


def check_answers(
    source: Any, exported: Any, said: Said, chosen: Chosen, precision: str
) -> tuple[Check, list[Golden]]:
    """Ask both models the chosen rows; the exported one together and one by one.

    Args:
        source, exported: have ``predict_examples`` and answer greedily.

    Returns:
        the check, and the exported model's answers as golden ones.
    """
    rows = [said.examples[place] for place in chosen.rows]
    unasked = [
        golden_of(row, Prediction(""), max_new_tokens=room, precision=precision)
        for row, room in zip(rows, chosen.rooms, strict=True)
    ]
    try:
        found = ask(exported, unasked)
        alone = [ask(exported, [each])[0] for each in unasked[:TOGETHER]]
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # whatever goes wrong is a reason to refuse it
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return failed(NAME, f"the exported model cannot answer: {text}"), []
    golden = [
        golden_of(row, answer, max_new_tokens=room, precision=precision)
        for row, answer, room in zip(rows, found, chosen.rooms, strict=True)
    ]
    for row, together, single in zip(rows, found, alone, strict=False):
        if together.output != single.output:
            return failed(
                NAME,
                f"the answer to {row.source} depends on the rows beside it: "
                f"{together.output!r} in a batch, {single.output!r} alone",
            ), golden
    if chosen.clear:
        wanted = ask(source, unasked)
        for row, ours, theirs in zip(rows, plain(wanted), plain(found), strict=True):
            for part in ("output", "labels", "finish_reason"):
                if ours[part] != theirs[part]:
                    return failed(
                        NAME,
                        f"{row.source} is answered otherwise: {part} {theirs[part]!r} instead of "
                        f"{ours[part]!r}",
                    ), golden
    alike = (
        "are the source's"
        if chosen.clear
        else "are kept; they are close, and need not be the source's"
    )
    return Check(
        NAME, True,
        f"the answers to {len(rows)} texts, together and one by one, {alike}",
        {"asked": len(rows), "clear": chosen.clear},
    ), golden  # fmt: skip


def _label_margins(said: Said, exported: Floats, task: Any) -> NDArray[np.float64]:
    """How far ahead, in probability, each row's answer is; -1 where the source gives another."""
    logits = exported.astype(np.float64)
    if getattr(task, "multi_label", False):
        sure = np.abs(_sigmoid(logits) - task.threshold).min(axis=1)
        ours = _sigmoid(np.asarray(said.labels, dtype=np.float64)) >= task.threshold
        same = (ours == (_sigmoid(logits) >= task.threshold)).all(axis=1)
        return np.where(same, sure, -1.0)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    ranked = np.sort(shares, axis=1)
    ahead = ranked[:, -1] - ranked[:, -2] if shares.shape[1] > 1 else ranked[:, -1]
    same = shares.argmax(axis=1) == np.asarray(said.labels).argmax(axis=1)
    return np.where(same, ahead, -1.0)


def _step_margins(
    said: Said, exported: Floats, least: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """How far ahead, in spreads, the closest token of each row's answer is, and how many tokens
    come before the first that is not ``least`` ahead: all that there may be where none is close.

    A token that is not the source's is -1 ahead.
    """
    margins = np.full(len(said.examples), -2.0)
    lengths = np.zeros(len(said.examples), dtype=np.int64)
    start = 0
    for steps in said.steps:
        logits = exported[start : start + len(steps.answer)].astype(np.float64)
        start += len(steps.answer)
        if not steps.whole:
            continue
        top = np.partition(logits, -2, axis=1)[:, -2:]
        ahead = (top[:, 1] - top[:, 0]) / max(float(logits.std(axis=1).mean()), 1e-30)
        ahead[logits.argmax(axis=1) != steps.answer] = -1.0
        close = np.flatnonzero(ahead < least)
        margins[steps.row] = float(ahead.min())
        lengths[steps.row] = close[0] if len(close) else said.room or 0
    return margins, lengths


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(values, -60, 60)))
