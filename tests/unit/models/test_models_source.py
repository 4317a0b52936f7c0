from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, errors

from tinyforge.config.model import ModelSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.models import hub, source
from tinyforge.models.load import family_of
from tinyforge.models.source import locate


def cache(model: Path, root: Path, repo_id: str, *, ref: str | None = "main") -> Path:
    """Puts a model folder into a Hugging Face cache, as the hub client does."""
    repo = root / ("models--" + repo_id.replace("/", "--"))
    snapshot = repo / "snapshots" / "abc123"
    shutil.copytree(model, snapshot)
    if ref:
        (repo / "refs").mkdir()
        (repo / "refs" / ref).write_text("abc123")
    return snapshot


def test_a_local_folder_is_itself(tiny):
    assert locate(str(tiny("bert")), task="classify").folder == tiny("bert")


def test_a_mistyped_folder_is_answered_with_its_neighbour(build):
    folder = build("bert", "my-model")
    with pytest.raises(ModelError, match=r"Did you mean '.*my-model'"):
        locate(str(folder.parent / "my-modle"), task="classify")


def test_a_mistyped_relative_folder_too(build, monkeypatch):
    folder = build("bert", "my-model")
    monkeypatch.chdir(folder.parent)
    for typo in ("my-modle", "./my-modle"):
        with pytest.raises(ModelError, match="Did you mean 'my-model'"):
            locate(typo, task="classify")


def test_a_file_is_not_a_folder(tiny):
    with pytest.raises(ModelError, match="Give its folder"):
        locate(str(tiny("bert") / "model.safetensors"), task="classify")


def test_scratch_presets_and_typos():
    assert locate("scratch:t5-tiny", task="text2text").preset == "t5-tiny"
    with pytest.raises(ModelError, match="Did you mean 'scratch:t5-tiny'"):
        locate("scratch:t5-tny", task="text2text")
    with pytest.raises(ModelError, match="scratch:bert-tiny"):
        locate("scratch", task="classify")


@pytest.mark.parametrize("ref", ["main", None])
def test_a_cached_hub_model_needs_no_network(tiny, no_hub, ref):
    snapshot = cache(tiny("t5"), no_hub, "google/flan-t5-small", ref=ref)
    found = locate("google/flan-t5-small", task="text2text")
    assert (found.folder, found.name) == (snapshot, "google/flan-t5-small")


def test_old_and_new_names_of_a_hub_model_share_the_cache(tiny, no_hub):
    snapshot = cache(tiny("t5"), no_hub, "google-t5/t5-small")
    assert locate("t5-small", task="text2text").folder == snapshot
    other = cache(tiny("bert"), no_hub, "bert-base-uncased")
    assert locate("google-bert/bert-base-uncased", task="classify").folder == other


def test_a_revision_is_looked_for_by_name_and_by_commit(tiny, no_hub):
    snapshot = cache(tiny("bert"), no_hub, "a/b", ref="v1")
    assert locate("a/b", task="classify", revision="v1").folder == snapshot
    assert locate("a/b", task="classify", revision="abc123").folder == snapshot
    with pytest.raises(ModelError):
        locate("a/b", task="classify", revision="v2")


def test_half_a_cached_model_is_not_used(tiny, no_hub):
    snapshot = cache(tiny("bert"), no_hub, "a/b")
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not whole: .*model\.safetensors"):
        locate("a/b", task="classify")


def test_without_network_the_error_says_what_to_do_instead():
    with pytest.raises(ModelError) as caught:
        locate("distilbert-base-uncased", task="classify")
    text = str(caught.value)
    assert "distilbert-base-uncased" in text
    for way in ("local model folder", "scratch:bert-tiny", "pip install 'tinyforge[offline]'"):
        assert way in text
    with pytest.raises(ModelError, match="scratch:t5-small"):
        locate("t5-small", task="text2text")


def test_a_network_that_hangs_costs_no_more_than_the_limit(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("huggingface_hub.model_info", lambda *a, **k: release.wait(60))
    start = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached"):
        locate("a/b", task="classify")
    release.set()
    assert time.monotonic() - start < 9


def test_what_the_hub_answers_is_told_apart(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def fail(kind):
        def ask(*_, **__):
            error = kind.__new__(kind)  # its constructor wants an HTTP client's response
            Exception.__init__(error, "no")
            raise error

        monkeypatch.setattr("huggingface_hub.model_info", ask)

    fail(errors.RepositoryNotFoundError)
    with pytest.raises(ModelError, match="no such model"):
        locate("a/b", task="classify")
    fail(errors.GatedRepoError)
    with pytest.raises(ModelError, match="terms"):
        locate("a/b", task="classify")
    fail(errors.RevisionNotFoundError)
    with pytest.raises(ModelError, match="no such revision"):
        locate("a/b", task="classify", revision="x")


def test_a_hub_model_without_safetensors_is_not_downloaded(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    files = [SimpleNamespace(rfilename="pytorch_model.bin", size=1)]
    info = SimpleNamespace(siblings=files, sha="x")
    monkeypatch.setattr("huggingface_hub.model_info", lambda *a, **k: info)
    with pytest.raises(ModelError, match="no safetensors"):
        locate("a/b", task="classify")


def test_only_what_is_needed_is_downloaded(monkeypatch, tiny):
    asked = {}
    names = [
        *("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "README.md"),
        *("pytorch_model.bin", "tokenizer.json", "modeling_x.py", "onnx/model.onnx"),
    ]
    files = [SimpleNamespace(rfilename=n, size=1_000_000) for n in names]

    def download(repo_id, *, revision, allow_patterns):
        asked[repo_id] = sorted(allow_patterns)
        return str(tiny("bert"))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    info = SimpleNamespace(siblings=files, sha="x")
    monkeypatch.setattr("huggingface_hub.model_info", lambda *a, **k: info)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    locate("a/b", task="classify")
    assert asked["a/b"] == ["config.json", "model.safetensors", "tokenizer.json"]
    locate("a/b", task="classify", trust_remote_code=True)
    assert "modeling_x.py" in asked["a/b"]


def test_auto_takes_what_is_cached_first(tiny, no_hub):
    snapshot = cache(tiny("t5"), no_hub, "google/flan-t5-small")
    found = locate("auto", task="text2text")
    assert found.folder == snapshot
    assert "google/flan-t5-small" in found.note


def test_auto_takes_the_offline_package_for_classification(monkeypatch, tiny):
    monkeypatch.setattr(source, "packaged_minilm", lambda: tiny("bert"))
    found = locate("auto", task="classify")
    assert (found.name, found.folder) == (source.MINILM, tiny("bert"))
    assert locate(source.MINILM, task="classify").folder == tiny("bert")


@pytest.mark.parametrize("task", sorted(source.FROM_NOTHING))
def test_auto_says_plainly_that_it_starts_from_nothing(monkeypatch, task):
    monkeypatch.setattr(source, "packaged_minilm", lambda: None)
    found = locate("auto", task=task)
    assert found.preset == source.FROM_NOTHING[task]
    assert "trained from nothing" in found.note
    assert ("tinyforge[offline]" in found.note) == (task == "classify")


def test_the_offline_package_is_found_but_not_imported(monkeypatch, tmp_path):
    model = tmp_path / source.MINILM_PACKAGE / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, source.MINILM_PACKAGE, raising=False)  # another test's
    assert source.packaged_minilm() == model


def test_a_revision_is_for_hub_models_only(tiny):
    for name in (str(tiny("bert")), "scratch:bert-tiny"):
        with pytest.raises(SettingError, match=r"model\.revision"):
            locate(name, task="classify", revision="v1")


def test_no_name_at_all():
    with pytest.raises(ModelError, match="no name"):
        locate(" ", task="classify")


def test_the_folder_around_a_snapshot_is_answered_with_the_snapshot(tiny, no_hub):
    snapshot = cache(tiny("llama"), no_hub, "a/b")
    with pytest.raises(ModelError, match=f"Did you mean '{snapshot}'"):
        family_of(ModelSettings(name=str(snapshot.parents[1])))
