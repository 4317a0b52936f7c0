"""Public benchmarks: tasks of the lm-evaluation-harness, asked of our models, without a network."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError, SettingError, TinyForgeError
from tinyforge.recipes.judge import every_ten_seconds
from tinyforge.recipes.models import open_model

log = logging.getLogger("tinyforge")

PREFIX = "lm-eval:"
"""What a name of tasks begins with, in the place of a data file."""

_OFFLINE = {
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "DISABLE_MULTIPROC": "1",  # the harness resamples in a process for each core otherwise
}
_SWITCHES = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_DATASETS_OFFLINE"),
)
_HEEDED = {
    "data": frozenset[str](),
    "evaluate": frozenset({"max_rows", "bootstrap_samples"}),
    "generate": frozenset({"batch_size"}),
}


@dataclass(frozen=True)
class Metric:
    """A figure of the harness.

    Attributes:
        stderr: its standard error; None where the harness gives none.
        higher_is_better: None where the harness does not say.
    """

    value: float
    stderr: float | None
    higher_is_better: bool | None


@dataclass(frozen=True)
class Benchmark:
    """One task, or a group of them.

    Attributes:
        version: of the task, as the harness counts; figures of two versions are not comparable.
        shots: solved examples before each row.
        rows: how many were asked.
        metrics: by the harness's name, with its filter where that is not ``none``.
    """

    task: str
    version: str
    shots: int | None
    rows: int | None
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class Benchmarks:
    """What the harness found of one model.

    Attributes:
        model: its name.
        hash: of its weights.
        harness: version of the package ``lm-eval``.
        seconds: wall time of it all, the tasks' loading included.
    """

    model: str
    hash: str
    harness: str
    tasks: tuple[Benchmark, ...]
    seconds: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "model": self.model,
            "hash": self.hash,
            "lm_eval": self.harness,
            "tasks": {
                found.task: {
                    "version": found.version,
                    "shots": found.shots,
                    "rows": found.rows,
                    "metrics": {name: vars(metric) for name, metric in found.metrics.items()},
                }
                for found in self.tasks
            },
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """A few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.model} ({self.hash}) on tasks of lm-eval {self.harness}:"
        for found in self.tasks:
            facts = [f"version {found.version}"]
            facts += [] if found.shots is None else [f"{found.shots} shots"]
            facts += [] if found.rows is None else [f"{found.rows:,} rows"]
            yield f"{found.task} ({', '.join(facts)}):"
            for name, metric in found.metrics.items():
                error = "" if metric.stderr is None else f"   standard error {metric.stderr:.4f}"
                yield f"  {name:22} {metric.value:8.4f}{error}"
        yield from (f"  note: {note}" for note in self.notes)


def is_benchmark(data: Any) -> bool:
    """Whether ``data`` names tasks of the harness and no rows."""
    return isinstance(data, str) and data.startswith(PREFIX)


def run_benchmarks(model: str | Path, named: str, settings: Settings) -> Benchmarks:
    """A model's figures on tasks of the lm-evaluation-harness, as the harness counts them.

    The harness chooses the rows, writes the prompts and computes the metrics; the model is asked
    through ``inference.harness.HarnessModel``. Nothing is fetched: a task's data has to be in the
    cache of ``datasets``. ``evaluate.max_rows`` is the harness's ``limit``: each task's first rows.

    Args:
        named: ``lm-eval:`` and names of tasks or groups, or YAML files of tasks, with commas.

    Raises:
        SettingError: the package is not installed, or there is no such task.
        ModelError: the model cannot be read, or is a classifier.
        DataError: a task's data is not cached, or it wants what is not allowed or possible here.
    """
    names = [name.strip() for name in named.removeprefix(PREFIX).split(",") if name.strip()]
    if not names:
        raise SettingError("no task is named", value=named, fix="Say lm-eval:NAME or NAME,NAME")
    _check_settings(settings)
    started = time.monotonic()
    base, evaluator, manager = _harness()
    _check_known(names, manager)
    from tinyforge.inference.harness import HarnessModel

    opened: Any = open_model(model, settings)
    opened = getattr(opened, "base", opened)  # the harness has prompts of its own
    if not hasattr(opened, "model"):
        raise SettingError(
            "tasks of lm-eval are asked of PyTorch models, and this is an exported one",
            value=str(model), fix="Give the run folder that it was exported from",
        )  # fmt: skip
    kind = types.new_class("TinyForgeModel", (HarnessModel, base))
    asked: Any = kind(opened, every_ten_seconds())
    limit = settings.evaluate.max_rows
    with _offline():
        tasks = [task for name in names for task in _load(manager, name)]
        found = evaluator.simple_evaluate(
            model=asked, tasks=tasks, limit=limit, task_manager=manager, log_samples=False,
            bootstrap_iters=settings.evaluate.bootstrap_samples,
        )  # fmt: skip
    notes = []
    if limit is not None:
        notes.append(f"only the first {limit:,} rows of each task were asked")
    if asked.cut:
        notes.append(f"{asked.cut:,} texts were too long for the model and lost their beginning")
    return Benchmarks(
        model=str(model), hash=opened.hash, harness=metadata.version("lm-eval"),
        tasks=tuple(_read(found)), seconds=time.monotonic() - started, notes=tuple(notes),
    )  # fmt: skip


def _harness() -> tuple[Any, Any, Any]:
    """The harness's class of models, its evaluator and its tasks."""
    try:
        base = importlib.import_module("lm_eval.api.model").LM
        evaluator = importlib.import_module("lm_eval.evaluator")
        manager = importlib.import_module("lm_eval.tasks").TaskManager()
    except ImportError as error:
        package = (error.name or "lm_eval").partition(".")[0].replace("_", "-")
        raise SettingError(
            f"the tasks of the lm-evaluation-harness need the package {package!r}, which is not "
            "installed", fix=f"Run: pip install {package}",
        ) from error  # fmt: skip
    return base, evaluator, manager


def _check_settings(settings: Settings) -> None:
    """Raise SettingError for a setting that the harness would not heed."""
    for stage, heeded in _HEEDED.items():
        chosen = getattr(settings, stage)
        for name in sorted(chosen.model_fields_set - heeded):
            raise SettingError(
                "has no effect on tasks of lm-eval", where=f"{stage}.{name}",
                value=getattr(chosen, name),
                fix="Leave it out; evaluate.max_rows bounds the rows of each task",
            )  # fmt: skip


def _check_known(names: Sequence[str], manager: Any) -> None:
    for name in names:
        if name in manager.all_tasks or (name.endswith((".yaml", ".yml")) and Path(name).is_file()):
            continue
        near = difflib.get_close_matches(name, manager.all_tasks, n=1)
        raise SettingError(
            "lm-eval has no such task", value=name,
            fix=f"Did you mean {near[0]!r}?" if near else "List them with: lm-eval ls tasks",
        )  # fmt: skip


def _load(manager: Any, name: str) -> list[Any]:
    """A task, the tasks of a tag, or a group, with their rows."""
    try:
        loaded = manager.load([name])
    except TinyForgeError:
        raise
    except ImportError as error:
        raise DataError(
            f"the task needs the package {error.name!r}, which is not installed",
            where=name, fix=f"Run: pip install {error.name}",
        ) from error  # fmt: skip
    except Exception as error:  # the harness and datasets raise nearly every kind
        if not _is_absence(error):
            text = str(error).strip().partition("\n")[0]
            raise DataError(
                f"lm-eval cannot load the task: {text or type(error).__name__}", where=name
            ) from error
        raise DataError(
            "the task's data is not cached on this machine, and nothing is fetched here",
            where=name,
            fix="Fetch it once with a network: python -c \"from lm_eval.tasks import TaskManager; "
            f"TaskManager().load('{name}')\"",
        ) from error  # fmt: skip
    for task in loaded["tasks"].values():
        runs_code = getattr(task, "UNSAFE_CODE", False)
        if runs_code or getattr(task, "MULTIMODAL", False):
            why = "runs code that models write" if runs_code else "needs more than text"
            raise DataError(f"the task {why}, which is not done here", where=name)
    groups = loaded.get("groups") or {}
    return [groups[name]] if name in groups else list(loaded["tasks"].values())


def _is_absence(error: BaseException) -> bool:
    """Whether rows could not be had, which ``datasets`` says in several ways."""
    if isinstance(error, ConnectionError | FileNotFoundError):
        return True
    text = str(error).lower()
    return "offline" in text or "couldn't find cache" in text or "couldn't reach" in text


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is fetched inside, and what the harness prints goes to the standard error.

    The libraries read the environment once, on import, so their switches are set as well.
    """
    modules = [(importlib.import_module(name), switch) for name, switch in _SWITCHES]
    before = {name: os.environ.get(name) for name in _OFFLINE}
    switches = [getattr(module, switch) for module, switch in modules]
    os.environ.update(_OFFLINE)
    for module, switch in modules:
        setattr(module, switch, True)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for (module, switch), value in zip(modules, switches, strict=True):
            setattr(module, switch, value)
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old


def _read(found: Mapping[str, Any]) -> Iterator[Benchmark]:
    """The harness's results: ``acc,none`` beside ``acc_stderr,none``, by task."""
    better = found.get("higher_is_better", {})
    for task, values in found["results"].items():
        metrics = {}
        for key, value in values.items():
            name, comma, chosen = key.partition(",")
            if not comma or name.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = values.get(f"{name}_stderr,{chosen}")
            metrics[name if chosen == "none" else key] = Metric(
                float(value), float(error) if isinstance(error, int | float) else None,
                better.get(task, {}).get(name),
            )  # fmt: skip
        rows = found.get("n-samples", {}).get(task, {}).get("effective")
        version = str(found.get("versions", {}).get(task, "none"))
        shots = found.get("n-shot", {}).get(task)
        yield Benchmark(task, version, shots, rows, metrics)
