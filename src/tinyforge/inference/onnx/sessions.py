"""Graphs opened in ONNX Runtime, on as many threads as there are cores and no more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tinyforge.errors import MissingPackageError, ModelError

Feeds = Mapping[str, NDArray[Any]]
Listener = Callable[[Path, Feeds], None]

_listeners: list[Listener] = []
_changing = threading.Lock()

_FATAL = 4
"""What ONNX Runtime itself writes to standard error; lesser failures come as exceptions."""

_ENTRIES = {
    # Threads wait actively between two operators of a run, which are microseconds apart, and sleep
    # as soon as no run is going on: idle models take no time from anybody.
    "session.intra_op.allow_spinning": "1",
    "session.force_spinning_stop": "1",
    # Numbers below 1e-38 are zero: they say nothing, and cost a hundred times as much to compute.
    "session.set_denormal_as_zero": "1",
}


class Session:
    """One graph, ready to run; may be used by several threads at once.

    Attributes:
        native: the ``onnxruntime.InferenceSession``, for IO binding.
        path: the graph's file.
        inputs, outputs: their names, in the graph's order.
        optional: names of inputs that have a value where none is given.
        threads: cores that a run uses.
    """

    def __init__(self, native: Any, path: Path, threads: int) -> None:
        self.native, self.path, self.threads = native, path, threads
        self.inputs = tuple(str(each.name) for each in native.get_inputs())
        self.outputs = tuple(str(each.name) for each in native.get_outputs())
        given = native.get_overridable_initializers()
        self.optional = frozenset(str(each.name) for each in given)

    def width(self, output: str) -> int:
        """The size of an output's last axis; 0 where the graph leaves it open."""
        shapes = {each.name: each.shape for each in self.native.get_outputs()}
        last = shapes[output][-1]
        return last if isinstance(last, int) else 0

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """The graph's outputs by name.

        Args:
            feeds: input name to array, contiguous.
            outputs: which to give; default: all.

        Raises:
            ModelError: the graph refuses its inputs, or fails.
            MemoryError: there is not enough memory.
        """
        for listener in tuple(_listeners):
            listener(self.path, feeds)
        names = self.outputs if outputs is None else outputs
        try:
            found = self.native.run(list(names), feeds)
        except Exception as error:  # ONNX Runtime has a family of errors without a common class
            raise failure(error, self.path) from error
        return dict(zip(names, found, strict=True))


def open_session(path: Path, *, threads: int | None = None) -> Session:
    """Open a graph on the CPU.

    Operators run one after the other, each on all threads: the calling one and ``threads - 1``
    others, which belong to this session. Weights beside the graph are mapped, not copied.

    Args:
        path: an .onnx file that ``safety.check_export`` let pass.
        threads: cores to use; default: all that this process may use.

    Raises:
        ModelError: it cannot be opened.
        MissingPackageError: onnxruntime is not installed.
    """
    runtime = _runtime()
    count = threads or allowed_cores()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    for name, value in _ENTRIES.items():
        options.add_session_config_entry(name, value)
    # ONNX Runtime makes the opening thread, too, take tiny numbers for zero. In the caller's, all
    # of Python's arithmetic would do so from then on (5e-324 == 0).
    with ThreadPoolExecutor(max_workers=1) as apart:
        opened = apart.submit(
            runtime.InferenceSession, str(path), options, providers=["CPUExecutionProvider"]
        )
    try:
        native = opened.result()
    except Exception as error:
        raise failure(error, path) from error
    return Session(native, path, count)


@contextmanager
def listening(callback: Listener) -> Iterator[None]:
    """While it lasts, every run of every session first calls ``callback(path, feeds)``.

    The arrays belong to the caller of the run: copy what is to be kept. Runs of other threads are
    heard as well, in their threads.
    """
    with _changing:
        _listeners.append(callback)
    try:
        yield
    finally:
        with _changing:
            _listeners.remove(callback)


def failure(error: Exception, path: Path) -> Exception:
    """What ONNX Runtime raised, as one of our errors."""
    text = " ".join(str(error).split())
    if "allocate memory" in text or "bad allocation" in text or "bad_alloc" in text:
        return MemoryError(text)
    return ModelError(
        "ONNX Runtime cannot run this graph", where=str(path), value=text[:200],
        fix="Export the model again, or update onnxruntime",
    )  # fmt: skip


@cache
def allowed_cores() -> int:
    """Cores that this process may use: by its affinity, by its share of the machine, and by
    OMP_NUM_THREADS, as PyTorch has it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        cores = min(cores or 1, int(wanted))
    quota, _, period = _cpu_limit().partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        return max(1, min(cores or 1, -(-int(quota) // int(period))))
    return cores or 1


def _cpu_limit() -> str:
    """What a container may use: microseconds of processor time, and in how many."""
    try:
        return Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@cache
def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            "onnxruntime", needed_for="An exported model", extra="onnx"
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime
