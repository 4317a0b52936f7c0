"""``tinyforge serve`` as a user starts and stops it, over a real model."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from served_processes import COMMAND, serving
from task_models import bert_tokenizer, classifier, language_model, t5_tokenizer


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
    with serving(f"labels={labels}", f"writer={writer}") as server:
        with httpx.Client(base_url=server.address, timeout=60) as client:
            first = client.post("/predict", json={"input": "the cat"}).json()
            assert first["model"] == "labels"
            assert 0 < first["confidence"] <= 1
            body = {"model": "writer", "prompt": "reverse: a", "max_tokens": 5, "stream": True}
            text = client.post("/v1/completions", json=body).text
            assert text.endswith("data: [DONE]\n\n")
            server.process.send_signal(signal.SIGHUP)
            again = client.post("/predict", json={"input": "the cat"}).json()
            assert again == first
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0


def test_a_server_for_others_needs_keys(models: tuple[Path, Path], tmp_path: Path) -> None:
    command = [*COMMAND, str(models[0])]
    refused = subprocess.run([*command, "--host", "0.0.0.0"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--api-key-file" in refused.stderr
    assert refused.stderr.count("\n") == 1
    made = subprocess.run(
        [*command, "--new-key", "anna", "--api-key-file", str(tmp_path / "keys")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    with serving(str(models[0]), "--api-key-file", str(tmp_path / "keys")) as server:
        address = server.address
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
    command = [*COMMAND, str(copy), "--port", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 2
    assert "model.safetensors" in refused.stderr
