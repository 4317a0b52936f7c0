"""A request's trace reaches a collector from ``tinyforge serve``, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from served_processes import serving, write_version
from server_fakes import until

pytest.importorskip("onnx", reason="needs tinyforge[onnx]")
pytest.importorskip("opentelemetry.sdk.trace", reason="needs tinyforge[traces]")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"

STAND_IN = '''
"""Sends what a test looks for to where the real exporter sends its protocol buffers."""
import os
import urllib.request

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class OTLPSpanExporter(SpanExporter):
    def export(self, spans):
        parts = []
        for span in spans:
            parts += [span.name, span.resource.attributes["service.name"], span.to_json()]
            parts.append(span.context.trace_id.to_bytes(16, "big").decode("latin-1"))
        asked = urllib.request.Request(
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces",
            "\\n".join(parts).encode("latin-1"),
            {"Content-Type": "application/x-protobuf"},
        )
        urllib.request.urlopen(asked, timeout=10).close()
        return SpanExportResult.SUCCESS
'''
"""In the place of the exporter's package where that is not installed."""


@dataclass(frozen=True)
class Post:
    """What the collector was sent."""

    path: str
    kind: str
    body: bytes


@contextlib.contextmanager
def collecting() -> Iterator[tuple[str, list[Post]]]:
    """A collector of OTLP over HTTP: its address, and what it has been sent."""
    found: list[Post] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.append(Post(self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not on the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", found
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def exporter(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that has an exporter: the real one, or the stand-in."""
    with contextlib.suppress(ModuleNotFoundError):
        if find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None:
            return {}
    package = tmp_path / "packages/opentelemetry/exporter/otlp/proto/http"
    package.mkdir(parents=True)
    (package / "trace_exporter.py").write_text(STAND_IN, encoding="utf-8")
    before = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(tmp_path / "packages"), before]))}


def test_a_requests_span_reaches_the_collector(tmp_path: Path, exporter: dict[str, str]) -> None:
    folder = write_version(tmp_path / "m", 1)
    with collecting() as (address, posts):
        words = (str(folder), "--set", "traces=true", "--set", "log_format=json")
        with serving(*words, OTEL_EXPORTER_OTLP_ENDPOINT=address, **exporter) as server:
            asked = {"input": "unmistakable cat"}
            headers = {"traceparent": PARENT, "X-Request-ID": "the-request"}
            answer = httpx.post(
                f"{server.address}/predict", json=asked, headers=headers, timeout=30
            )
            assert answer.status_code == 200
            until(lambda: any(f'"trace":"{TRACE}"' in line for line in server.lines))
            server.process.send_signal(signal.SIGTERM)  # what is not sent yet is sent in the end
            assert server.process.wait(30) == 0
    assert [(post.path, post.kind) for post in posts] == [("/v1/traces", "application/x-protobuf")]
    body = posts[0].body
    for told in (b"POST /predict", b"tinyforge", b"the-request", bytes.fromhex(TRACE)):
        assert told in body, told
    assert b"unmistakable" not in body
