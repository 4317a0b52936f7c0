"""Lines, counters and traces: what they tell, and what they keep to themselves."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_fakes import Echo, application, listening, until

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import MissingPackageError
from tinyforge.server import logs, tracing
from tinyforge.server.keys import VARIABLE, Key, Keys, _digest, all_keys
from tinyforge.server.measured import open_files, resident_bytes

SECRETS = ("unmistakable", "right-key", "wrong-key", "a-place")


def test_each_request_is_an_object_that_tells_no_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(ServeSettings(log_format="json"), worker=3)
    app = application(keys=Keys((Key("me", _digest("right-key")),)))
    with listening(app) as (host, port):
        url = f"http://{host}:{port}"
        good = {"Authorization": "Bearer right-key", "X-Request-ID": "from-the-proxy"}
        httpx.post(f"{url}/predict", json={"input": "unmistakable words"}, headers=good)
        httpx.post(f"{url}/predict", json={"input": "break"}, headers=good)
        httpx.get(f"{url}/a-place?x=unmistakable", headers={"Authorization": "Bearer wrong-key"})
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]
    asked = [line for line in lines if "route" in line]
    assert [(line["route"], line["status"], line["key"]) for line in asked] == [
        ("/predict", 200, "me"), ("/predict", 500, "me"), ("other", 401, ""),
    ]  # fmt: skip
    assert asked[0]["request"] == "from-the-proxy"
    assert asked[0]["milliseconds"] >= asked[0]["first_milliseconds"] >= 0
    assert {line["worker"] for line in lines} == {3}
    assert not [secret for secret in SECRETS if secret in text]


def test_lines_for_people_are_short_and_can_be_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("tinyforge"), "handlers", [])
    logs.configure(ServeSettings())
    with listening(application()) as (host, port):
        httpx.get(f"http://{host}:{port}/health")
    logs.configure(ServeSettings(log_requests=False))
    with listening(application()) as (host, port):
        httpx.get(f"http://{host}:{port}/ready")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("200 GET /health ")


def test_an_errors_traceback_is_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(ServeSettings(log_format="json"))
    logs.REQUEST.set("abc")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("tinyforge").exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["level"], found["message"], found["request"]) == ("error", "it failed", "abc")
    assert "ValueError: odd" in found["error"]


def test_refusals_of_every_place_are_counted() -> None:
    app = application({"echo": Echo(seconds=0.3)}, max_waiting=1, batch_rows=1)
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        client.get("/nothing")
        client.post("/predict", json={"input": 5})
        client.post("/predict", content=b"x" * 1_100_000)
        client.get("/v1/models", headers={"Host": "evil.example"})
        text = client.get("/metrics").text
    for reason in ("404", "body_too_large", "wrong_host"):
        assert f'tinyforge_refusals_total{{reason="{reason}"}} 1.0' in text, reason
    assert 'tinyforge_model_version{model="echo",version="abcdef012345"} 1.0' in text
    assert "tinyforge_workers 1.0" in text


def test_what_a_server_takes_is_among_the_metrics() -> None:
    app = application()
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        client.post("/predict", json={"input": ["a", "b", "c"]})
        text = client.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    assert float(found['tinyforge_batch_texts_sum{model="echo"}']) == 3
    assert float(found["tinyforge_resident_memory_bytes"]) == pytest.approx(resident_bytes(), rel=1)
    assert 0 < open_files() < 10_000
    assert float(found["tinyforge_connections"]) == 1


COUNTING = """
import os, sys
from types import SimpleNamespace
from tinyforge.server.measured import Measured, count_together, forget_worker
number, folder = int(sys.argv[1]), sys.argv[2]
count_together(number)
queue = SimpleNamespace(waiting=number, running=1, batches=[])
served = SimpleNamespace(
    name="m", version="v", queue=queue, model=None, writes=False, drift=None
)
measured = Measured(SimpleNamespace(all=lambda: [served]))
measured.requests.labels("/predict", "200").inc(number)
measured.seconds.labels("/predict").observe(number)
if number == 9:
    forget_worker(2, __import__("pathlib").Path(folder))
print(measured.text().decode())
"""


def test_several_processes_count_together(tmp_path: Path) -> None:
    """Also after one of them is dead: what it did counts, what it was doing does not."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run(
            [sys.executable, "-c", COUNTING, str(number), str(tmp_path)], env=environment,
            capture_output=True, text=True, check=True,
        ).stdout
        for number in (1, 2, 2, 9)
    ]  # fmt: skip
    assert 'tinyforge_requests_total{route="/predict",status="200"} 5.0' in texts[2]
    assert 'tinyforge_waiting{model="m"} 3.0' in texts[2]
    assert "tinyforge_workers 2.0" in texts[2]
    assert 'tinyforge_requests_total{route="/predict",status="200"} 14.0' in texts[3]
    assert 'tinyforge_request_seconds_count{route="/predict"} 4.0' in texts[3]
    assert "tinyforge_workers 2.0" in texts[3]  # 1 and 9; 2 is forgotten
    assert texts[3].rstrip().endswith("# EOF")


def test_requests_are_traced_where_opentelemetry_is_there() -> None:
    pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    app = application(traces=True)
    with listening(app) as (host, port):
        url = f"http://{host}:{port}"
        httpx.post(
            f"{url}/predict", json={"input": "unmistakable"}, headers={"traceparent": parent}
        )
        httpx.post(f"{url}/predict", json={"input": "break"})
        until(lambda: len(exporter.get_finished_spans()) == 2)
    good, bad = exporter.get_finished_spans()
    assert good.name == "POST /predict"
    assert format(good.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert good.attributes is not None
    assert good.attributes["http.response.status_code"] == 200
    assert [event.name for event in good.events] == ["first piece"]
    assert not bad.status.is_ok
    assert "unmistakable" not in good.to_json()


def test_without_opentelemetry_traces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingPackageError, match="opentelemetry-sdk"):
        tracing.start_tracing()


def test_keys_may_stand_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"anna sha256:{_digest('key-of-anna')}\n")
    monkeypatch.setenv(VARIABLE, f"bob sha256:{_digest('key-of-bob')}\n")
    both = all_keys(str(tmp_path / "keys"))
    assert (both.owner("key-of-anna"), both.owner("key-of-bob")) == ("anna", "bob")
    only: Any = all_keys(None)
    assert (only.owner("key-of-anna"), only.owner("key-of-bob")) == (None, "bob")
    monkeypatch.delenv(VARIABLE)
    assert not all_keys(None).needed
