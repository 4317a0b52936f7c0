"""Versions: private copies, going over to new ones with no request lost, and going back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_fakes import Echo, application, listening, until

from tinyforge.artifacts.manifest import write_manifest
from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, ModelError
from tinyforge.server import models
from tinyforge.server.models import Served, names_of
from tinyforge.server.queue import Queue
from tinyforge.server.versions import Store, Versions, parts_of


def folder_with(place: Path, text: str, *, listed: bool = True) -> Path:
    """A folder with one file, and its manifest."""
    place.mkdir(exist_ok=True)
    (place / "model.onnx").write_text(text)
    if listed:
        write_manifest(place)
    return place


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "store").mkdir()
    with contextlib.closing(Store(tmp_path / "store")) as found:
        yield found


def test_a_copy_is_named_by_its_content_and_stays_as_it_was(store: Store, tmp_path: Path) -> None:
    place = folder_with(tmp_path / "m", "one")
    first = store.take_in(str(place), verify=True)
    assert store.take_in(str(place), verify=True) == first
    folder_with(place, "two")
    second = store.take_in(str(place), verify=True)
    assert second != first
    assert (Path(first) / "model.onnx").read_text() == "one"
    folder_with(place, "one")
    assert store.take_in(str(place), verify=True) == first
    store.keep_only([second])
    assert [each.name for each in store.folder.iterdir()] == [Path(second).name]


@pytest.mark.parametrize("change", ["changed", "missing", "extra"])
def test_a_folder_that_is_not_as_its_manifest_says_is_not_taken_in(
    store: Store, tmp_path: Path, change: str
) -> None:
    place = folder_with(tmp_path / "m", "one")
    if change == "changed":
        (place / "model.onnx").write_text("eno")
    elif change == "missing":
        (place / "model.onnx").unlink()
    else:
        (place / "more.onnx").write_text("more")
    with pytest.raises(FolderError, match=change):
        store.take_in(str(place), verify=True)
    assert not list(store.folder.iterdir())
    assert store.take_in(str(place), verify=False)


def test_what_is_no_part_of_a_model_is_not_copied(store: Store, tmp_path: Path) -> None:
    place = folder_with(tmp_path / "m", "one", listed=False)
    for name in (".git", "checkpoint-500", "1_Pooling"):
        folder_with(place / name, name, listed=False)
    copy = Path(store.take_in(str(place), verify=True))
    assert sorted(each.name for each in copy.iterdir()) == ["1_Pooling", "model.onnx"]


def test_a_base_and_an_adapter_are_copied_each_and_a_hub_id_is_left(
    store: Store, tmp_path: Path
) -> None:
    base, adapter = folder_with(tmp_path / "b", "base"), folder_with(tmp_path / "a", "adapter")
    taken = store.take_in(f"{base}+{adapter}", verify=True)
    parts = parts_of(taken)
    assert [(Path(part) / "model.onnx").read_text() for part in parts] == ["base", "adapter"]
    assert store.take_in(f"org/base+{adapter}", verify=True) == f"org/base+{parts[1]}"
    store.keep_only([taken])
    assert len(list(store.folder.iterdir())) == 2


def test_a_link_that_is_pointed_elsewhere_is_a_new_version(store: Store, tmp_path: Path) -> None:
    one, two = folder_with(tmp_path / "v1", "one"), folder_with(tmp_path / "v2", "two")
    link = tmp_path / "current"
    link.symlink_to(one)
    first = store.take_in(str(link), verify=True)
    link.unlink()
    link.symlink_to(two)
    assert store.take_in(str(link), verify=True) != first


def test_names_are_the_last_part_of_a_place(tmp_path: Path) -> None:
    base, adapter = folder_with(tmp_path / "base", "b"), folder_with(tmp_path / "polite", "a")
    assert names_of([str(base), f"{base}+{adapter}", f"x={adapter}", "org/m"]) == {
        "base": str(base), "polite": f"{base}+{adapter}", "x": str(adapter), "org/m": "org/m",
    }  # fmt: skip


def test_going_over_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = folder_with(tmp_path / "m", "one")
    served: list[str] = []

    async def switch(places: Mapping[str, str]) -> None:
        text = (Path(places["m"]) / "model.onnx").read_text()
        if text == "bad":
            raise ModelError("cannot be loaded")
        served.append(text)

    async def story(versions: Versions) -> None:
        versions.begin()
        assert not await versions.roll_back(switch)
        folder_with(place, "two")
        assert await versions.reload(switch)
        folder_with(place, "bad")
        assert not await versions.reload(switch)
        assert await versions.roll_back(switch)
        assert await versions.roll_back(switch)
        (place / "model.onnx").write_text("damaged")
        assert not await versions.reload(switch)

    with contextlib.closing(Versions({"m": str(place)}, ServeSettings())) as versions:
        asyncio.run(story(versions))
        kept = list(Path(versions.current["m"]).parent.iterdir())
        assert len(kept) == 2
    assert served == ["two", "one", "two"]
    assert not kept[0].exists()
    assert "no version before" in caplog.text
    assert "goes on serving" in caplog.text
    assert "nothing is loaded anew" in caplog.text


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Models that a place stands for."""
    found: dict[str, Any] = {}

    def open_model(name: str, place: str, settings: ServeSettings) -> Served:
        model = found[place]
        if isinstance(model, Exception):
            raise model
        queue = Queue(model, waiting=settings.max_waiting, rows=settings.batch_rows)
        return Served(name, place, model, queue, model.hash, 0)

    monkeypatch.setattr(models, "open_model", open_model)
    return found


def echo(version: str, **more: Any) -> Echo:
    model = Echo(**more)
    model.hash = version
    return model


def test_no_request_is_lost_between_two_versions(opened: dict[str, Any]) -> None:
    old, new = echo("old000000000", seconds=0.01), echo("new000000000", seconds=0.01)
    opened["place"] = new
    app = application({"m": old})
    found: list[tuple[str, str]] = []
    stop = threading.Event()
    with listening(app) as (host, port):

        def ask() -> None:
            with httpx.Client(base_url=f"http://{host}:{port}") as client:
                while not stop.is_set():
                    answer = client.post("/predict", json={"input": "a b"})
                    assert answer.status_code == 200, answer.text
                    found.append((answer.json()["version"], answer.json()["output"]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        until(lambda: len(found) > 20)
        asyncio.run_coroutine_threadsafe(app.state.pool.switch({"m": "place"}), app.loop).result()
        count = len(found)
        until(lambda: len(found) > count + 20)
        until(lambda: old.closed)
        stop.set()
        for each in threads:
            each.join()
    assert all(output == "b a" for _, output in found)
    versions = [version for version, _ in found]
    assert set(versions) == {"old000000000", "new000000000"}
    assert len(found) == sum(old.calls) + sum(new.calls)


def test_a_model_that_cannot_be_loaded_leaves_all_as_they_are(opened: dict[str, Any]) -> None:
    opened["good"], opened["bad"] = echo("new000000000"), ValueError("odd file")
    app = application({"a": echo("old000000000"), "b": echo("old000000001")})

    async def story() -> None:
        with pytest.raises(ModelError, match="odd file"):
            await app.state.pool.switch({"a": "good", "b": "bad"})

    asyncio.run(story())
    assert [each.version for each in app.state.pool.all()] == ["old000000000", "old000000001"]
    assert opened["good"].closed


def test_an_answer_that_is_being_written_is_ended_by_its_own_version(
    opened: dict[str, Any],
) -> None:
    old = echo("old000000000", seconds=0.05)
    opened["place"] = echo("new000000000")
    app = application({"m": old})
    with listening(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        body = {"model": "m", "prompt": " ".join("abcdefgh"), "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()
            first = next(lines)
            asyncio.run_coroutine_threadsafe(
                app.state.pool.switch({"m": "place"}), app.loop
            ).result()
            assert client.get("/v1/models").json()["data"][0]["version"] == "new000000000"
            assert not old.closed
            text = "".join([first, *lines])
        assert "new000000000" not in text
        assert text.endswith("data: [DONE]")
        until(lambda: old.closed)
