"""The local pages: which runs they show, whom they answer, and what they open."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_fakes import Echo, Models

from tinyforge.cli.main import main
from tinyforge.config.serve import ServeSettings
from tinyforge.errors import ModelError
from tinyforge.server.app import make_app
from tinyforge.server.keys import Keys
from tinyforge.server.ui.pages import MOST_MODELS, Pages


def make_run(folder: Path, verdict: str = "better") -> None:
    """A run folder as far as the pages look at it."""
    meta = folder / "tinyforge"
    meta.mkdir(parents=True)
    result = {
        "task": "classify", "model": "<b>mine</b>", "verdict": verdict,
        "primary_metric": "accuracy", "metrics": {"accuracy": 0.913},
    }  # fmt: skip
    (meta / "run.json").write_text(json.dumps({"state": "finished"}))
    (meta / "report.json").write_text(json.dumps({"result": result}))
    (meta / "report.html").write_text("<title>the report</title>")
    (folder / "config.json").write_text("{}")
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": ""}
             for name in ("config.json", "tinyforge/run.json")}  # fmt: skip
    manifest = {"format": 1, "algorithm": "sha256", "files": files}
    (meta / "manifest.json").write_text(json.dumps(manifest))


class Servers:
    """Opens fake servers and remembers which are open."""

    def __init__(self) -> None:
        self.open: list[str] = []

    def __call__(
        self, name: str, folder: Path, settings: ServeSettings
    ) -> tuple[Any, Callable[[], None]]:
        if name == "broken":
            raise ModelError("the weights are <gone>", where=name)
        self.open.append(name)
        pool = Models({name: Echo("classify")}, settings)
        return make_app(pool, settings, Keys()), lambda: self.open.remove(name)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("one", "deep/two", "three", "broken"):
        make_run(tmp_path / name)
    return tmp_path


def ask(
    pages: Pages, *requests: tuple[str, str, Any], host: str = "127.0.0.1:8001"
) -> list[httpx.Response]:
    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=pages)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return [await client.request(m, path, json=body) for m, path, body in requests]

    return asyncio.run(all_of_them())


def boxes(pages: Pages) -> dict[str, str]:
    """Run to the address of its box."""
    (listed,) = ask(pages, ("GET", "/", None))
    rows = re.findall(r'class="key">([^<]+)</th>.*?href="(runs/\w+/try/)"', listed.text, re.DOTALL)
    return {name: f"/{address}" for name, address in rows}


def test_the_list_shows_each_run_and_escapes_what_it_holds(runs: Path) -> None:
    pages = Pages(runs, ServeSettings(), open_server=Servers())
    (listed,) = ask(pages, ("GET", "/", None))
    assert listed.status_code == 200
    assert "deep/two" in listed.text
    assert "0.913" in listed.text
    assert "better" in listed.text
    assert "&lt;b&gt;mine&lt;/b&gt;" in listed.text
    assert "<b>mine" not in listed.text
    assert set(boxes(pages)) == {"one", "deep/two", "three", "broken"}


def test_a_report_is_shown_and_nothing_else_of_the_disk(runs: Path) -> None:
    pages = Pages(runs, ServeSettings(), open_server=Servers())
    box = boxes(pages)["one"]
    report = box.replace("try/", "report")
    found, *others = ask(
        pages, ("GET", report, None), ("GET", "/runs/0123456789/report", None),
        ("GET", "/runs/..%2f..%2fetc/report", None), ("GET", f"{report}/../../x", None),
    )  # fmt: skip
    assert "the report" in found.text
    assert [other.status_code for other in others] == [404, 404, 404]


def test_the_box_is_the_server_of_that_run(runs: Path) -> None:
    servers = Servers()
    pages = Pages(runs, ServeSettings(), open_server=servers)
    box = boxes(pages)["deep/two"]
    assert servers.open == []
    page, models, answer = ask(
        pages, ("GET", box, None), ("GET", f"{box}v1/models", None),
        ("POST", f"{box}predict", {"input": "how are you"}),
    )  # fmt: skip
    assert "<script src=" in page.text
    assert models.json()["data"][0]["id"] == "two"
    assert answer.json()["output"] == "yes"
    assert servers.open == ["two"]


def test_few_models_are_open_at_a_time(runs: Path) -> None:
    servers = Servers()
    pages = Pages(runs, ServeSettings(), open_server=servers)
    found = boxes(pages)
    for name in ("one", "three", "one", "deep/two"):
        ask(pages, ("GET", found[name], None))
    assert servers.open == ["one", "two"]
    assert len(servers.open) == MOST_MODELS
    pages.close()
    assert servers.open == []


def test_a_model_that_cannot_be_opened_is_said_so(runs: Path) -> None:
    pages = Pages(runs, ServeSettings(), open_server=Servers())
    (answer,) = ask(pages, ("GET", boxes(pages)["broken"], None))
    assert answer.status_code == 500
    assert "the weights are &lt;gone&gt;" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8001"])
def test_pages_of_elsewhere_are_turned_away(runs: Path, host: str) -> None:
    pages = Pages(runs, ServeSettings(), open_server=Servers())
    box = boxes(pages)["one"]
    asked = [("GET", "/", None), ("GET", box.replace("try/", "report"), None)]
    assert [a.status_code for a in ask(pages, *asked, host=host)] == [400, 400]
    (answer,) = ask(pages, ("GET", box, None), host=host)
    assert answer.status_code == 421


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    (listed,) = ask(Pages(tmp_path, ServeSettings()), ("GET", "/", None))
    assert "No runs yet" in listed.text


def test_a_folder_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["ui", str(tmp_path / "none"), "--port", "0"]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_command_listens_on_this_machine_alone_and_stops(runs: Path) -> None:
    program = [sys.executable, "-m", "tinyforge.cli.main", "ui", str(runs), "--port", "0"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"pages at (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, line
        transport = httpx.HTTPTransport(retries=20)
        with httpx.Client(transport=transport, trust_env=False) as client:
            assert "deep/two" in client.get(found[1], timeout=20).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
