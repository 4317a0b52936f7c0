"""OpenTelemetry traces of requests, where its packages are installed and traces are wanted.

Names of attributes are those of OpenTelemetry's semantic conventions for HTTP servers. Nothing of
a request's content, its path or its key goes into a span.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tinyforge import __version__
from tinyforge.errors import MissingPackageError


class Tracing:
    """Makes a span for each request.

    Args:
        tracer: an OpenTelemetry tracer.
    """

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    @contextlib.contextmanager
    def request(self, scope: Any, request_id: str) -> Iterator[Any]:
        """A span around a request; the caller's trace goes on in it (``traceparent``)."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        headers = {name.decode("latin-1"): value.decode("latin-1")
                   for name, value in scope["headers"]}  # fmt: skip
        with self._tracer.start_as_current_span(
            str(scope["method"]), context=extract(headers), kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"], "url.scheme": scope["scheme"],
                "tinyforge.request_id": request_id,
            },
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            yield span


def first_piece(span: Any) -> None:
    """The first byte of an answer's body has gone out."""
    if span is not None:
        span.add_event("first piece")


def ended(span: Any, method: str, route: str, status: int) -> None:
    """Say what the request came to."""
    if span is None:
        return
    from opentelemetry.trace import StatusCode

    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(StatusCode.ERROR)


def trace_id(span: Any) -> str | None:
    """The trace's id, for the log."""
    if span is None:
        return None
    return format(span.get_span_context().trace_id, "032x")


def start_tracing() -> Tracing:
    """Tracing with the provider that this process has; else with one that sends to a collector.

    The environment says where it is (``OTEL_EXPORTER_OTLP_ENDPOINT``) and what the service is
    called (``OTEL_SERVICE_NAME``).

    Raises:
        MissingPackageError: OpenTelemetry, or its exporter, is not installed.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        raise _missing("opentelemetry-sdk") from error
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_provider())
    return Tracing(trace.get_tracer("tinyforge", __version__))


def _provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing("opentelemetry-exporter-otlp-proto-http") from error
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in os.environ or "OTEL_RESOURCE_ATTRIBUTES" in os.environ
    about = {} if named else {"service.name": "tinyforge"}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(package, needed_for="serve.traces", extra="traces")
