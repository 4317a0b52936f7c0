"""What the server counts, in OpenMetrics' form; over all worker processes where there are several.

Several processes count in files that each maps into its memory (``prometheus_client``'s way for
this), so that whichever is asked tells the sum. A worker that takes a dead one's place goes on
with its counters.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client knows where processes count together."""


class Measured:
    """Counters of one server, apart from those of any other in the process.

    Attributes:
        requests: answered, by route and status.
        seconds: from a request's headers to its answer's end, by route.
        first: seconds from a request to the first piece of its stream, by model.
        read, written: tokens, by model.
        refused: requests, by the code of the refusal.
        reloads: of all models, by how they went.

    Args:
        pool: whose queues and models are looked at.
        state: of the application; its ``safeguards`` and ``connections`` are looked at.
    """

    def __init__(self, pool: Any, state: Any = None) -> None:
        self._pool, self._state = pool, state
        self._registry = CollectorRegistry()
        self._counted: dict[tuple[str, str], int] = {}
        self._versions: set[tuple[str, str]] = set()
        self.requests = self._counter("requests", "Requests answered.", "route", "status")
        self.seconds = self._histogram(
            "request_seconds", "From the request's headers to its answer's end.", SECONDS, "route"
        )
        self.first = self._histogram(
            "first_piece_seconds", "From the request to the first piece of its stream.", SECONDS,
            "model",
        )  # fmt: skip
        self.read = self._counter("prompt_tokens", "Tokens read.", "model")
        self.written = self._counter("completion_tokens", "Tokens written.", "model")
        self.refused = self._counter("refusals", "Requests refused.", "reason")
        self.reloads = self._counter("reloads", "Models loaded anew while serving.", "result")
        self.restarts = self._counter("worker_restarts", "Workers in the place of dead ones.")
        self._rulings = self._counter("safeguards", "What safeguards did.", "rule", "action")
        self._batches = self._histogram("batch_texts", "Texts read together.", TEXTS, "model")
        self._waiting = self._gauge("waiting", "Requests waiting.", "model")
        self._running = self._gauge("running", "Requests being answered.", "model")
        self._writing = self._gauge("writing", "Answers being written side by side.", "model")
        self._connections = self._gauge("connections", "Open connections.")
        self._memory = self._gauge("resident_memory_bytes", "Memory of the worker processes.")
        self._files = self._gauge("open_files", "File descriptors of the worker processes.")
        self._workers = self._gauge("workers", "Processes that answer.")
        self._serving = self._gauge(
            "model_version", "Workers that serve this version of a model.", "model", "version"
        )
        self._drift: dict[str, Gauge] = {}
        self._workers.set(1)

    def text(self) -> bytes:
        """Everything, as a scraper reads it."""
        self.refresh()
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
        return text

    def refresh(self) -> None:
        """Look at what is not counted as it happens: queues, versions, memory, drift."""
        served = self._pool.all()
        for each in served:
            self._look_at(each)
        now = {(each.name, each.version) for each in served}
        for name, version in self._versions | now:
            self._serving.labels(name, version).set(float((name, version) in now))
        self._versions |= now
        self._memory.set(resident_bytes())
        self._files.set(open_files())
        self._connections.set(len(getattr(self._state, "connections", ())))
        safeguards = getattr(self._state, "safeguards", None)
        if safeguards is not None:
            self._count_rulings(safeguards.counts())

    def _look_at(self, served: Any) -> None:
        queue, name = served.queue, served.name
        self._waiting.labels(name).set(queue.waiting)
        self._running.labels(name).set(queue.running)
        engine = getattr(served.model, "engine", None) if served.writes else None
        if engine is not None:
            self._writing.labels(name).set(engine.stats().running)
        batches = self._batches.labels(name)
        while queue.batches:
            batches.observe(queue.batches.popleft())
        if served.drift is not None:
            for figure, labels, value in served.drift.figures():
                self._show_drift(figure, {"model": name, **labels}, value)

    def _show_drift(self, figure: str, labels: Mapping[str, str], value: float) -> None:
        if figure not in self._drift:
            # Each worker sees a part of what is asked; the worst of them is shown.
            self._drift[figure] = self._gauge(
                figure, "What is asked and answered against the training data.",
                *labels, mode="livemax",
            )  # fmt: skip
        self._drift[figure].labels(**labels).set(value)

    def _count_rulings(self, counts: Mapping[tuple[str, str], int]) -> None:
        for (rule, action), count in counts.items():
            before = self._counted.get((rule, action), 0)
            # Safeguards that were made anew begin at nothing.
            more = count - before if count >= before else count
            self._rulings.labels(rule, action).inc(more)
            self._counted[rule, action] = count

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"tinyforge_{name}", about, labels, registry=self._registry)

    def _histogram(
        self, name: str, about: str, buckets: Iterable[float], *labels: str
    ) -> Histogram:
        return Histogram(
            f"tinyforge_{name}", about, labels, buckets=tuple(buckets), registry=self._registry
        )

    def _gauge(self, name: str, about: str, *labels: str, mode: Any = "livesum") -> Gauge:
        return Gauge(
            f"tinyforge_{name}", about, labels, registry=self._registry, multiprocess_mode=mode
        )


def count_together(worker: int) -> None:
    """This process counts as a worker of this number, in the folder that the environment names.

    Called before anything is counted.
    """
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        process_identifier=lambda: worker
    )


def forget_worker(worker: int, folder: Path) -> None:
    """A worker is dead: what it was doing counts no more, and what it did still counts."""
    mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]


def resident_bytes() -> int:
    """Memory that this process has in use; its peak where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        import resource  # not everywhere

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    """File descriptors that this process has open; 0 where the system does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
