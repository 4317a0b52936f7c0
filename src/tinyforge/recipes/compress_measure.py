"""Models and their exports side by side: size, speed and quality on the same rows."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyforge.config.compress import CompressSettings
from tinyforge.errors import TinyForgeError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import GENERATING, evaluate
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.compress_rows import Material, evenly
from tinyforge.recipes.cost import disk_bytes
from tinyforge.recipes.judge import every_ten_seconds
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.tasks.tokens import token_ids

log = logging.getLogger("tinyforge")

BATCH_ROWS = 64
SINGLES = 16
WARM_UP = 2
ROWS = {"text2text": 200, "instruct": 200, "language-model": 200}
"""Rows that a variant is judged on where the user sets no number; of labels all."""

PROMPT_CHARACTERS, WRITTEN = 200, 64
"""Raw text: how much of a row is the prompt when speed is measured, and tokens written."""


@dataclass(frozen=True)
class Variant:
    """One thing that a user could take home.

    Attributes:
        name: short, and its own.
        origin: the model that it was made from: ``full`` or a cut one's name.
        runtime: ``PyTorch`` or ``ONNX``.
        precision: of most weights.
        folder: where it lies while it is measured.
        command: what makes it.
        scheme: how it was quantized; empty where it was not.
        parameters: numbers in the model.
    """

    name: str
    origin: str
    runtime: str
    precision: str
    folder: Path
    command: str
    scheme: str = ""
    parameters: int = 0

    @property
    def disk_bytes(self) -> int:
        """Everything that is needed to answer."""
        if self.runtime == "PyTorch":
            return disk_bytes(self.folder) or 0
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


@dataclass
class Measured:
    """A variant with what was measured of it.

    Attributes:
        rates: of each round: rows (labels) or tokens (written answers) a second.
        latencies: of each round: median seconds for one row asked alone.
    """

    variant: Variant
    evaluation: Evaluation
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """A model to export and measure.

    Attributes:
        name: of its PyTorch variant.
        folder: where it lies.
        command: what makes it; empty: it is there.
        export: what exports it, without the precision.
    """

    name: str
    folder: Path
    command: str
    export: str


def make_variants(
    sources: Sequence[Source], material: Material, *, work: Path, notes: list[str]
) -> list[Variant]:
    """Every model itself, and its exports in the precisions of ``pareto.precisions``.

    What cannot be made is left out, and ``notes`` says why: a page without one point is worth
    more than none.
    """
    found: list[Variant] = []
    for source in sources:
        model = TorchModel.load(source.folder)
        plain = Variant(
            source.name, source.name, "PyTorch", "fp32", source.folder, source.command,
            parameters=model.parameters,
        )  # fmt: skip
        found.append(plain)
        try:
            found += _exports(source, model, material, work / source.name.replace(" ", "-"), notes)
        except Exception as error:  # whatever an exporter raises, the model itself is there
            notes.append(f"{source.name} could not be exported: {_line(error)}")
            log.warning(notes[-1])
        del model
        gc.collect()
    return found


def _exports(
    source: Source, model: TorchModel, material: Material, work: Path, notes: list[str]
) -> Iterator[Variant]:
    wanted = material.settings.pareto.precisions
    if not wanted:
        return
    from tinyforge.compress.quantize import quantize, schemes
    from tinyforge.export.graphs import write_graphs

    log.info(f"exporting {source.name}")
    plain = work / "fp32"
    plain.mkdir(parents=True)
    record = write_graphs(model, plain)
    train, rows = material.dataset.train, material.settings.pareto.calibration_rows
    calibration = material.dataset.store.select(evenly(train, rows).tolist())
    for precision in wanted:
        folder, scheme = plain, ""
        if precision != "fp32":
            folder = work / precision
            try:
                chosen = schemes(precision, record)[0]
                quantize(plain, folder, chosen, calibration=calibration)
            except Exception as error:  # as above
                notes.append(f"{source.name} in {precision} could not be made: {_line(error)}")
                log.warning(notes[-1])
                continue
            scheme = chosen.name
        yield Variant(
            f"{source.name}, {precision}", source.name, "ONNX", precision, folder,
            f"{source.export} --precision {precision}", scheme, model.parameters,
        )  # fmt: skip


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, TinyForgeError) else f"{type(error).__name__}: {text}"


def measure(
    variants: Sequence[Variant], material: Material, tokenizer: Any, notes: list[str]
) -> list[Measured]:
    """Quality once, on the test rows; speed in several rounds, each with all variants in turn.

    So that a moment in which the machine does something else does not fall on one variant alone.

    Args:
        tokenizer: the whole model's, by which written tokens are counted for all variants.
    """
    found: list[Measured] = []
    for variant in variants:
        log.info(f"judging {variant.name}")
        try:
            found.append(Measured(variant, judge_variant(variant, material)))
        except Exception as error:  # as in ``make_variants``
            if not found:
                raise
            notes.append(f"{variant.name} could not be judged: {_line(error)}")
            log.warning(notes[-1])
    rounds = material.settings.pareto.rounds
    for number in range(rounds):
        log.info(f"measuring speed, round {number + 1} of {rounds}")
        for each in found:
            rate, latency = time_variant(each.variant, material, tokenizer)
            each.rates.append(rate)
            each.latencies.append(latency)
    return found


def judge_variant(variant: Variant, material: Material) -> Evaluation:
    """A variant's scores on the test rows."""
    model = open_variant(variant, material.settings)
    try:
        return judge_model(model, material, variant.name)
    finally:
        _close(model)


def judge_model(model: Any, material: Material, name: str) -> Evaluation:
    """Any predictor's scores on the test rows."""
    dataset, chosen = material.dataset, material.settings.evaluate
    most = chosen.max_rows or ROWS.get(dataset.task)
    return evaluate(
        model, material.test, task=dataset.task, multi_label=dataset.multi_label,
        labels=tuple(getattr(model.task, "labels", ())),
        settings=chosen.model_copy(update={"max_rows": most}), seed=material.settings.train.seed,
        name=name, progress=every_ten_seconds(),
    )  # fmt: skip


def open_variant(variant: Variant, settings: CompressSettings) -> Any:
    """The model of a variant."""
    if variant.runtime == "PyTorch":
        return TorchModel.load(variant.folder, settings=settings.generate)
    from tinyforge.inference.onnx.model import OnnxModel

    return OnnxModel.load(variant.folder, settings=settings.generate)


def _close(model: Any) -> None:
    if hasattr(model, "close"):
        model.close()
    gc.collect()


def time_variant(
    variant: Variant,
    material: Material,
    tokenizer: Any,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Rate and latency in one round.

    Labels: rows a second, asked together. Written answers: tokens a second of one answer after
    the other. And the median seconds of a row asked alone.
    """
    task = material.dataset.task
    numbers = evenly(material.dataset.test, 4 * BATCH_ROWS)
    rows = [_asked(example, task) for example in material.dataset.store.select(numbers.tolist())]
    options = {"max_new_tokens": WRITTEN} if task == "language-model" else {}
    model = open_variant(variant, material.settings)
    try:
        for row in rows[:WARM_UP]:
            model.predict_examples([row], **options)
        limit = material.settings.pareto.seconds
        singles, written = _singles(model, rows, options, limit, clock)
        latency = float(np.median(singles))
        if task in (*GENERATING, "language-model"):
            ids = token_ids(tokenizer, [answer.output for answer in written], special=False)
            tokens = sum(map(len, ids))
            tokens += sum(answer.finish_reason == "stop" for answer in written)  # the end tokens
            return tokens / max(sum(singles), 1e-9), latency
        return _batched(model, rows, limit, clock), latency
    finally:
        _close(model)


def _asked(example: Example, task: str) -> Example:
    """What is asked when speed is measured: raw text is cut to a prompt."""
    if task != "language-model":
        return example
    text = (example.output or "")[:PROMPT_CHARACTERS]
    return replace(example, input=text, output=None)


def _singles(
    model: Any,
    rows: Sequence[Example],
    options: dict[str, Any],
    limit: float,
    clock: Callable[[], float],
) -> tuple[list[float], list[Prediction]]:
    """Seconds and answers of rows asked one by one."""
    seconds: list[float] = []
    written: list[Prediction] = []
    for row in rows:
        started = clock()
        written += model.predict_examples([row], **options)
        seconds.append(clock() - started)
        if sum(seconds) > limit and len(seconds) >= min(SINGLES, len(rows)):
            break
    return seconds, written


def _batched(
    model: Any, rows: Sequence[Example], limit: float, clock: Callable[[], float]
) -> float:
    """Rows a second, asked in batches."""
    model.predict_examples(rows[:BATCH_ROWS])  # a warm-up of this size
    done, began = 0, clock()
    while True:
        for start in range(0, len(rows), BATCH_ROWS):
            done += len(model.predict_examples(rows[start : start + BATCH_ROWS]))
            if clock() - began > limit:
                return done / max(clock() - began, 1e-9)
