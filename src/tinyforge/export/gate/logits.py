"""Whether the exported model computes what the source computes, on real rows, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.graphs import DecoderGraphs
from tinyforge.export.gate.reference import Steps, follow_torch, room_for, write_steps
from tinyforge.export.gate.tolerance import Floats, Gap, agreement, excess, measure
from tinyforge.inference.logits import label_logits
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

NAME = "logits"

TOGETHER = 8
"""Rows that are read as one padded batch, and single rows of a classifier."""

WHOLE = ("in batches", "token by token")
"""The ways that give a number for each of the source's."""


@dataclass(frozen=True)
class Said:
    """What the source says of some rows.

    Attributes:
        examples: the rows, as they are asked.
        labels: logits of a classifier, float32, shape (rows, labels); None for other models.
        steps: answers of a generating model with the logits of every step.
        room: tokens of an answer, at most; None for a classifier.
    """

    examples: list[Example]
    labels: Floats | None
    steps: list[Steps]
    room: int | None


def ask_source(source: TorchModel, examples: Sequence[Example], tokens: int) -> Said:
    """The source's logits, to be compared with those of every candidate.

    Args:
        tokens: of an answer, at most.
    """
    rows = list(examples)
    if source.task.name == "classify":
        return Said(rows, label_logits(source.model, source.task, rows), [], None)
    room = room_for(source, tokens)
    return Said(rows, None, write_steps(source, rows, room), room)


class Computes(Protocol):
    """Ways to ask an exported model for its numbers; each gives logits beside the source's."""

    def ways(self, said: Said) -> list[tuple[str, Callable[[], Floats], Floats]]:
        """Name of a way, what it gives, and what the source says to the same."""
        ...


class OnnxNumbers:
    """The numbers of exported graphs.

    Args:
        model: an ``OnnxModel``.
    """

    def __init__(self, model: Any, folder: Path, record: ExportRecord) -> None:
        self._model, self._folder, self._record = model, folder, record

    def ways(self, said: Said) -> list[tuple[str, Callable[[], Floats], Floats]]:
        """A classifier's rows in padded batches and alone; answers in one go, step by step, and
        their beginnings as a padded batch."""
        if said.labels is not None:
            few = said.examples[:TOGETHER]
            return [
                ("in batches", lambda: self._model.logits(said.examples), said.labels),
                ("alone", lambda: np.concatenate([self._model.logits([row]) for row in few]),
                 said.labels[: len(few)]),
            ]  # fmt: skip
        graphs = DecoderGraphs(self._folder, self._record)
        wanted = np.concatenate([steps.logits for steps in said.steps])
        several = said.steps[:TOGETHER]
        first = np.stack([steps.logits[0] for steps in several])
        return [
            ("read in one go", lambda: np.concatenate([graphs.whole(s) for s in said.steps]),
             wanted),
            ("token by token", lambda: np.concatenate([graphs.follow(s) for s in said.steps]),
             wanted),
            ("read as a padded batch", lambda: graphs.together(several), first),
        ]  # fmt: skip


class TorchNumbers:
    """The numbers of a model that PyTorch reads: a Hugging Face folder, or a GGUF file."""

    def __init__(self, model: TorchModel) -> None:
        self._model = model

    def ways(self, said: Said) -> list[tuple[str, Callable[[], Floats], Floats]]:
        """A classifier's rows; answers token by token."""
        model = self._model
        if said.labels is not None:
            return [
                ("in batches", lambda: label_logits(model.model, model.task, said.examples),
                 said.labels)
            ]  # fmt: skip
        wanted = np.concatenate([steps.logits for steps in said.steps])
        return [
            ("token by token",
             lambda: np.concatenate([follow_torch(model, s) for s in said.steps]), wanted)
        ]  # fmt: skip


def check_logits(numbers: Computes, said: Said, precision: str) -> tuple[Check, Floats | None]:
    """Compare an exported model's logits with the source's, in every way it will be asked.

    Args:
        precision: whose tolerance holds.

    Returns:
        the check, and what the exported model says where the source says ``said.labels`` or the
        logits of all its steps; None where it could not be asked.
    """
    if said.labels is None and not said.steps:
        return failed(NAME, "no row has a token that a model could go on from"), None
    gaps: dict[str, Gap] = {}
    kept: Floats | None = None
    for way, ask, wanted in numbers.ways(said):
        try:
            found = ask()
        except NOT_THE_EXPORT:
            raise
        except Exception as error:  # whatever a broken graph raises is a reason to refuse it
            said_so = f"the exported model cannot be asked {way}: {_line(error)}"
            return failed(NAME, said_so), None
        if found.shape != wanted.shape:
            return failed(
                NAME,
                f"the exported model gives {found.shape[-1]} logits where the source gives "
                f"{wanted.shape[-1]}",
            ), None
        if way in WHOLE:
            kept = found
        gaps[way] = measure(wanted, found)
        problem = excess(gaps[way], precision)
        if problem:
            return failed(NAME, f"{way}, {problem}", **_figures(gaps, precision)), kept
    widest = max(gaps.values(), key=lambda gap: gap.noise)
    rows, places = len(said.examples), next(iter(gaps.values())).places
    counted = f"{rows:,} rows" if said.labels is not None else f"{places:,} tokens of {rows:,} rows"
    same = min(gap.same for gap in gaps.values())
    what = "label" if said.labels is not None else "token"
    check = Check(
        NAME, True,
        f"on {counted}, {' and '.join(gaps)}, {agreement(widest, precision)}; the likeliest {what} "
        f"is the same at {_percent(same)} places",
        _figures(gaps, precision),
    )  # fmt: skip
    return check, kept


def _figures(gaps: dict[str, Gap], precision: str) -> dict[str, Any]:
    return {"precision": precision, "ways": {way: asdict(gap) for way, gap in gaps.items()}}


def _percent(value: float) -> str:
    return "all" if value == 1 else f"{100 * value:.1f} % of the"


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"
