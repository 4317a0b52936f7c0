"""``tinyforge serve`` as a user starts and stops it, over a real model."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from task_models import bert_tokenizer, classifier, language_model, t5_tokenizer


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server's process and its address."""
    command = [sys.executable, "-m", "tinyforge.cli.main", "serve", *words, "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            lines = []
            for line in process.stderr or ():
                lines.append(line)
                if line.startswith("serving at "):
                    yield process, line.split()[-1]
                    return
            raise AssertionError("".join(lines))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random classifier and a random T5."""
    labels, writer = (tmp_path_factory.mktemp(name) for name in ("labels", "writer"))
    classifier("bert", 3).save_pretrained(labels)
    bert_tokenizer().save_pretrained(labels)
    language_model("t5-tied").save_pretrained(writer)
    t5_tokenizer().save_pretrained(writer)
    return labels, writer


def test_a_served_model_answers_reloads_and_stops(models: tuple[Path, Path]) -> None:
    labels, writer = models
    with serving(f"labels={labels}", f"writer={writer}") as (process, address):
        with httpx.Client(base_url=address, timeout=60) as client:
            first = client.post("/predict", json={"input": "the cat"}).json()
            assert first["model"] == "labels"
            assert 0 < first["confidence"] <= 1
            body = {"model": "writer", "prompt": "reverse: a", "max_tokens": 5, "stream": True}
            text = client.post("/v1/completions", json=body).text
            assert text.endswith("data: [DONE]\n\n")
            process.send_signal(signal.SIGHUP)
            again = client.post("/predict", json={"input": "the cat"}).json()
            assert again == first
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_server_for_others_needs_keys(models: tuple[Path, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinyforge.cli.main", "serve", str(models[0])]
    refused = subprocess.run([*command, "--host", "0.0.0.0"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--api-key-file" in refused.stderr
    assert refused.stderr.count("\n") == 1
    made = subprocess.run(
        [*command, "--new-key", "anna", "--api-key-file", str(tmp_path / "keys")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    with serving(str(models[0]), "--api-key-file", str(tmp_path / "keys")) as (_, address):
        assert httpx.get(f"{address}/v1/models").status_code == 401
        key = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{address}/v1/models", headers=key).status_code == 200


def test_a_changed_file_is_refused_before_it_is_loaded(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    import shutil

    from tinyforge.artifacts.manifest import write_manifest

    copy = tmp_path / "copy"
    shutil.copytree(models[0], copy)
    write_manifest(copy)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    command = [sys.executable, "-m", "tinyforge.cli.main", "serve", str(copy), "--port", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "model.safetensors" in refused.stderr
