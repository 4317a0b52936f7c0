"""What the server counts, in OpenMetrics' form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Measured:
    """Counters of one server, apart from those of any other in the process."""

    def __init__(self, pool: Any) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tinyforge_requests", "Requests answered.", ["route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "tinyforge_request_seconds", "From the request's headers to its answer's end.",
            ["route"], buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.first = Histogram(
            "tinyforge_first_piece_seconds", "From the request to the first piece of its stream.",
            ["model"], buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.read = Counter(
            "tinyforge_prompt_tokens", "Tokens read.", ["model"], registry=self._registry
        )
        self.written = Counter(
            "tinyforge_completion_tokens", "Tokens written.", ["model"], registry=self._registry
        )
        self.refused = Counter(
            "tinyforge_refusals", "Requests refused.", ["reason"], registry=self._registry
        )
        self._registry.register(_Queues(pool))

    def text(self) -> bytes:
        """Everything, as a scraper reads it."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text


class _Queues:
    """Reads the queues when asked."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Waiting and running requests, and the mean batch, by model."""
        waiting = GaugeMetricFamily("tinyforge_waiting", "Requests waiting.", labels=["model"])
        running = GaugeMetricFamily("tinyforge_running", "Being answered.", labels=["model"])
        batch = GaugeMetricFamily(
            "tinyforge_batch_texts", "Texts answered together, mean of late.", labels=["model"]
        )
        for served in self._pool.all():
            queue = served.queue
            sizes = list(queue.batches)
            waiting.add_metric([served.name], queue.waiting)
            running.add_metric([served.name], queue.running)
            batch.add_metric([served.name], sum(sizes) / len(sizes) if sizes else 0.0)
        yield from (waiting, running, batch)
