"""One candidate through the whole gate: the checks in their order, the cheap ones first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinyforge.artifacts.export_folder import ExportRecord, read_record
from tinyforge.compress.quantize import compare as compare_numbers
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.config.export import ExportSettings
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.verdict import compare
from tinyforge.evaluate.wording import change_text, value_text
from tinyforge.export.gate.answers import check_answers, choose
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.drop import Change, allowance, check_metric
from tinyforge.export.gate.files import check_files
from tinyforge.export.gate.fresh import check_fresh
from tinyforge.export.gate.golden import Golden, write_golden
from tinyforge.export.gate.logits import (
    Computes,
    OnnxNumbers,
    Said,
    TorchNumbers,
    ask_source,
    check_logits,
)
from tinyforge.export.gate.questions import asked, made_up, spread_out
from tinyforge.export.gate.reading import check_reading
from tinyforge.export.gate.weights import NAME as WEIGHTS
from tinyforge.export.gate.weights import check_weights
from tinyforge.inference.torch_model import TorchModel
from tinyforge.metrics import METRICS
from tinyforge.recipes.export_rows import Judging, gone
from tinyforge.recipes.models import labels_of
from tinyforge.records.examples import Example

log = logging.getLogger("tinyforge")

_NOTHING = 1e-4
"""A row's quality that moved by less did not change: raw text is measured in fractions of bits."""


@dataclass
class Gate:
    """What every candidate is held against.

    Attributes:
        source: the model that is exported.
        judging: rows to judge on.
    """

    source: TorchModel
    judging: Judging
    settings: ExportSettings

    @cached_property
    def rows(self) -> list[Example]:
        """Real rows on which everything is compared, with their answers."""
        return spread_out(self.judging.exam.rows, self.settings.compared_rows)

    @cached_property
    def said(self) -> Said:
        """What the source says of these rows, and of made-up texts behind them."""
        questions = [*asked(self.rows, self.source.task.name), *made_up()]
        return ask_source(self.source, questions, self.settings.compared_tokens)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The source on the rows that it is judged on; asked once.

        Raises:
            DataError: they should be the rows of the run's verdict, and are others.
        """
        log.info(f"judging the source on {self.judging.where}")
        found = self.judging.exam.score(self.source, "the source", self.labels)
        if self.judging.expected not in ("", found.sample.fingerprint):
            raise gone(self.source, {}, None)
        return found

    @cached_property
    def greedy(self) -> TorchModel:
        """The source as it answers golden texts."""
        source = self.source
        return TorchModel.from_loaded(
            source.model, source.tokenizer, source.task, name=source.name, path=source.path,
            settings=GenerateSettings(),
        )  # fmt: skip

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that count."""
        return tuple(sorted({*labels_of(self.source.task), *self.judging.exam.found}))


@dataclass
class Passage:
    """How far a candidate got.

    Attributes:
        checks: in order; the last one may have failed.
        golden: the answers that are kept in the folder.
    """

    checks: list[Check] = field(default_factory=list)
    golden: list[Golden] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every check did."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def problem(self) -> Check | None:
        """The check that did not pass."""
        return next((check for check in self.checks if not check.passed), None)

    def add(self, check: Check) -> bool:
        """Keep a check; whether it passed."""
        self.checks.append(check)
        return check.passed


def pass_graphs(
    gate: Gate, folder: Path, *, whole: bool = True, base: Path | None = None
) -> Passage:
    """Take exported graphs through the gate.

    Args:
        whole: False stops after the logits: what lower precisions are made from has to compute
            what the source computes, and need not be judged for itself.
        base: the folder in float32 that a lower precision was made from.
    """
    from tinyforge.inference.onnx.model import OnnxModel

    passage = Passage()
    if not passage.add(check_files(folder)):
        return passage
    record = read_record(folder)
    if (record.precision == "fp32") != (base is None):  # another one has other tolerances
        passage.add(failed("files", f"the record names another precision: {record.precision}"))
        return passage
    try:
        model = OnnxModel.load(folder)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # a damaged export may raise anything
        text = " ".join(str(error).split()) or type(error).__name__
        passage.add(failed("files", f"the exported model cannot be loaded: {text}"))
        return passage
    try:
        _look(gate, folder, record, model, passage, whole=whole, base=base)
    finally:
        model.close()
    return passage


def _look(
    gate: Gate,
    folder: Path,
    record: ExportRecord,
    model: Any,
    passage: Passage,
    *,
    whole: bool,
    base: Path | None,
) -> None:
    if not passage.add(check_reading(gate.source, model, gate.rows, folder, record)):
        return
    if record.precision == "fp32" and not passage.add(check_weights(gate.source, folder, record)):
        return
    own, model.settings = model.settings, GenerateSettings()  # golden texts are answered greedily
    numbers = OnnxNumbers(model, folder, record)
    if not _compute(gate, folder, numbers, model, record.precision, passage, whole=whole):
        return
    if base is not None and not passage.add(check_rounding(base, folder)):
        return
    if not passage.add(check_fresh(folder, passage.golden)):
        return
    model.settings = own
    passage.add(metric_check(gate, model, record.precision))


def check_rounding(base: Path, folder: Path) -> Check:
    """Whether every rounded number stands for the one that it was made from.

    Raises:
        MissingPackageError: the package onnx is not installed.
    """
    try:
        found = compare_numbers(base, folder)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # a graph that nobody has seen may raise anything
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return failed(WEIGHTS, f"its numbers cannot be held against the source's: {text}")
    if found.problem:
        return failed(WEIGHTS, f"the numbers in the graphs are not the source's: {found.problem}")
    return Check(
        WEIGHTS, True,
        f"of the {found.numbers:,} numbers in the graphs {100 * found.same / found.numbers:.2g} % "
        "are the source's bit for bit, and the others what rounding makes of them",
        {"same": found.same, "numbers": found.numbers},
    )  # fmt: skip


def pass_torch(
    gate: Gate,
    folder: Path,
    model: TorchModel,
    precision: str,
    *,
    checks: Sequence[Check],
    afresh: bool,
) -> Passage:
    """Take what PyTorch reads, of the formats safetensors and GGUF, through the gate.

    Args:
        checks: of what its files hold, made already.
        afresh: whether a fresh process can load the folder.
    """
    passage = Passage()
    if not all(passage.add(check) for check in checks):
        return passage
    own, model.settings = model.settings, GenerateSettings()
    if not _compute(gate, folder, TorchNumbers(model), model, precision, passage, whole=True):
        return passage
    if afresh and not passage.add(check_fresh(folder, passage.golden, needs_torch=True)):
        return passage
    model.settings = own
    passage.add(metric_check(gate, model, precision))
    return passage


def _compute(
    gate: Gate,
    folder: Path,
    numbers: Computes,
    model: Any,
    precision: str,
    passage: Passage,
    *,
    whole: bool,
) -> bool:
    """Logits and answers; whether the candidate goes on."""
    check, logits = check_logits(numbers, gate.said, precision)
    if not passage.add(check) or not whole or logits is None:
        return False
    most, rows = gate.settings.golden_rows, len(gate.rows)
    chosen = choose(gate.said, logits, gate.source.task, precision, most, rows)
    check, passage.golden = check_answers(gate.greedy, model, gate.said, chosen, precision)
    if passage.golden:
        write_golden(folder, passage.golden)
    return passage.add(check)


def metric_check(gate: Gate, model: Any, precision: str) -> Check:
    """The headline metric of an exported model beside the source's, on the same rows."""
    source = gate.evaluation
    try:
        found = gate.judging.exam.score(model, "the export", gate.labels)
        change = change_of(source, found, exact=precision == "fp32")
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # whatever goes wrong while it answers is a reason to refuse it
        text = " ".join(str(error).split()) or type(error).__name__
        return failed("metric", f"the exported model cannot be judged: {text}")
    return check_metric(
        change, gate.settings.max_drop, texts_of(change, gate.settings.max_drop),
        strict=gate.settings.strict,
    )  # fmt: skip


def change_of(source: Evaluation, exported: Evaluation, *, exact: bool) -> Change:
    """Two judgements on the same rows as one change of the headline metric.

    Raises:
        ValueError: they are of other rows, or have no headline.
    """
    if source.headline is None or exported.headline is None:
        raise ValueError(f"{source.primary.name} was not measured")
    if source.sample != exported.sample:
        raise ValueError("the two models did not answer the same rows")
    found = compare(exported, source, "source", always=True)
    moved = np.abs(exported.quality - source.quality) > _NOTHING
    return Change(
        metric=METRICS[source.primary.name], source=found.theirs, exported=found.ours,
        difference=found.difference, low=found.low, high=found.high, rows=found.rows,
        groups=found.groups, changed=int(moved.sum()), exact=exact,
    )  # fmt: skip


def texts_of(change: Change, max_drop: float) -> dict[str, str]:
    """The numbers of a change as a person reads them."""
    metric = change.metric
    unit = " points" if metric.proportion or metric.scale == "points" else ""
    allowed = change_text(metric.name, allowance(metric, max_drop, change.source)).lstrip("+")
    return {
        "source": value_text(metric.name, change.source),
        "exported": value_text(metric.name, change.exported),
        "difference": change_text(metric.name, change.difference) + unit,
        "low": change_text(metric.name, change.low),
        "high": change_text(metric.name, change.high),
        "allowed": allowed + unit,
    }
