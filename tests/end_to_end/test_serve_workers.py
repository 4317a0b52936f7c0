"""Worker processes: looked after, sharing counts and limits, going over to versions together."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from served_processes import COMMAND, Serving, serving, write_version
from server_fakes import until

pytest.importorskip("onnx", reason="needs tinyforge[onnx]")


def versions_of(server: Serving, count: int = 24) -> Counter[str]:
    """Which versions answer, over so many connections."""
    found: Counter[str] = Counter()
    for _ in range(count):
        answer = httpx.post(f"{server.address}/predict", json={"input": "the cat"}, timeout=30)
        found[answer.json()["version"]] += 1
    return found


def metrics_of(server: Serving) -> dict[str, float]:
    text = httpx.get(f"{server.address}/metrics", timeout=30).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#"]
    return {name: float(value) for name, value in lines}


@pytest.mark.slow
def test_workers_live_through_a_kill_a_reload_and_going_back(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "m", 1)
    with serving(str(folder), "--workers", "2") as server:
        (old,) = versions_of(server)
        counted = metrics_of(server)
        assert counted["tinyforge_workers"] == 2
        name = 'tinyforge_requests_total{route="/predict",status="200"}'
        assert counted[name] == 24

        victim = server.workers()[0]
        victim.kill()
        until(lambda: len(server.workers()) == 2 and victim not in server.workers(), 60)
        until(lambda: metrics_of(server).get("tinyforge_workers") == 2, 60)
        after = metrics_of(server)
        assert after["tinyforge_worker_restarts_total"] == 1
        assert after[name] == 24  # what the dead one did still counts

        write_version(folder, 2)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: set(versions_of(server, 4)) != {old}, 60)
        until(lambda: old not in versions_of(server, 8), 60)
        (new,) = versions_of(server)
        server.process.send_signal(signal.SIGUSR1)
        until(lambda: set(versions_of(server, 8)) == {old}, 60)
        victim = server.workers()[0]
        victim.kill()  # the next one serves what the others serve, not what lies in the folder
        until(lambda: len(server.workers()) == 2 and victim not in server.workers(), 60)
        until(lambda: metrics_of(server).get("tinyforge_workers") == 2, 60)
        assert set(versions_of(server)) == {old}
        assert new != old

        workers = server.workers()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert not any(each.is_running() for each in workers)


def test_a_limit_holds_over_all_workers(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "m", 1)
    words = ("--workers", "2", "--set", "requests_per_minute=5", "--set", "log_requests=false")
    with serving(str(folder), *words) as server:
        url = f"{server.address}/v1/models"
        codes = Counter(httpx.get(url, timeout=30).status_code for _ in range(20))
        assert codes == {200: 5, 429: 15}


@pytest.mark.slow
def test_a_dead_supervisor_leaves_no_worker_behind(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "m", 1)
    with serving(str(folder), "--workers", "2") as server:
        workers = server.workers()
        assert len(workers) == 2
        server.process.kill()
        until(lambda: not any(each.is_running() for each in workers), 30)


def test_a_model_that_no_worker_can_load_is_said_once(tmp_path: Path) -> None:
    import subprocess

    folder = write_version(tmp_path / "m", 1)
    (folder / "tinyforge/manifest.json").unlink()
    (folder / "model.onnx").write_bytes(b"nothing")
    done = subprocess.run(
        [*COMMAND, str(folder), "--workers", "2", "--port", "0"], capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
def test_a_bad_new_version_changes_nothing_and_costs_no_request(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "m", 1)
    with serving(str(folder), "--workers", "2") as server:
        (old,) = versions_of(server, 4)
        stop, codes = threading.Event(), Counter[int]()

        def ask() -> None:
            with httpx.Client(base_url=server.address, timeout=30) as client:
                while not stop.is_set():
                    answer = client.post("/predict", json={"input": "the cat"})
                    codes[answer.status_code] += 1

        thread = threading.Thread(target=ask)
        thread.start()
        (folder / "model.onnx").write_bytes(b"nothing")
        (folder / "tinyforge/manifest.json").unlink()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("goes on serving" in line for line in server.lines), 60)
        time.sleep(0.5)
        stop.set()
        thread.join()
        assert set(codes) == {200}
        assert set(versions_of(server)) == {old}
