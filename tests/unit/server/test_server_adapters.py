"""Several adapters over one base: each answers as it was trained, and the base is there once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import task_models
import torch
from server_fakes import application, listening

from tinyforge.config.model import LoraSettings
from tinyforge.errors import ModelError
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.lora import add_adapters
from tinyforge.models.save import save_model
from tinyforge.recipes.load import load
from tinyforge.server.adapters import open_place
from tinyforge.server.versions import Store
from tinyforge.tasks import guess_task

WORDS = ["the cat", "a dog and the mat", "how are you"]


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    config = plain.config
    config.architectures = [type(plain).__name__]
    save_model(model, tokenizer, folder, guess_task(config, tokenizer).state())
    return folder


def adapted(base: Path, folder: Path, seed: int) -> Path:
    """A run whose adapter was moved away from nothing."""
    if "labels" in base.name:
        kind, auto = "encoder", "AutoModelForSequenceClassification"
    else:
        kind, auto = "decoder", "AutoModelForCausalLM"
    import transformers

    model = getattr(transformers, auto).from_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model.name_or_path = str(base.resolve())
    lora = LoraSettings(enabled=True, r=4, alpha=8)
    made = add_adapters(model, lora, kind, seed=seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return save(made, tokenizer, folder)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two writing bases, adapters on the first, and a classifier with one."""
    root = tmp_path_factory.mktemp("adapters")
    tokenizer = task_models.gpt_tokenizer(start=True)
    base = task_models.language_model("llama")
    save(base, tokenizer, root / "base")
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    save(base, tokenizer, root / "other")
    save(task_models.classifier("bert", 3), task_models.bert_tokenizer(), root / "labels")
    for name, seed in (("one", 1), ("two", 2)):
        adapted(root / "base", root / name, seed)
    adapted(root / "labels", root / "three", 3)
    return root


def storages(*models: Any) -> int:
    """Bytes of all tensors, each counted once."""
    found = {}
    for model in models:
        for tensor in (*model.model.parameters(), *model.model.buffers()):
            kept = tensor.untyped_storage()
            found[kept.data_ptr()] = kept.nbytes()
    return sum(found.values())


def test_each_answers_as_its_merged_model_does(places: Path) -> None:
    base = open_place(f"{places / 'base'}")
    one = open_place(f"{places / 'base'}+{places / 'one'}")
    two = open_place(f"{places / 'base'}+{places / 'two' / 'adapter'}")
    options = {"max_new_tokens": 8}
    for mine, whole in ((one, "one"), (two, "two"), (base, "base")):
        wanted = load(places / whole).predict(WORDS, **options)
        got = mine.predict(WORDS, **options)
        assert [p.output for p in got] == [p.output for p in wanted]
    assert len({one.hash, two.hash, base.hash}) == 3


def test_the_base_is_in_memory_once(places: Path) -> None:
    models = [
        open_place(f"{places / 'base'}{more}")
        for more in ("", f"+{places / 'one'}", f"+{places / 'two'}")
    ]
    alone = storages(models[0])
    adapters = sum(
        p.numel() * 4 for m in models[1:] for n, p in m.model.named_parameters() if "lora_" in n
    )
    assert storages(*models) == alone + adapters
    before = [p.output for p in models[1].predict(WORDS, max_new_tokens=8)]
    models[2].predict(WORDS, max_new_tokens=8)
    assert [p.output for p in models[1].predict(WORDS, max_new_tokens=8)] == before


def test_a_classifiers_head_comes_with_the_adapter(places: Path) -> None:
    mine = open_place(f"{places / 'labels'}+{places / 'three'}")
    base = open_place(str(places / "labels"))
    whole = TorchModel.load(places / "three")
    for got, wanted in zip(mine.predict(WORDS), whole.predict(WORDS), strict=True):
        assert got.output == wanted.output
        assert got.confidence == pytest.approx(wanted.confidence, abs=1e-4)
    assert mine.hash != base.hash
    assert storages(mine, base) < 1.7 * storages(base)


@pytest.mark.parametrize("alone", [False, True])
def test_another_base_is_refused(places: Path, tmp_path: Path, alone: bool) -> None:
    adapter = places / "one"
    if alone:  # nothing but its own words tells what it belongs to
        adapter = tmp_path / "adapter"
        shutil.copytree(places / "one" / "adapter", adapter)
    with pytest.raises(ModelError, match="which is not this base"):
        open_place(f"{places / 'other'}+{adapter}")
    copy = tmp_path / "moved"
    shutil.copytree(places / "base", copy)
    moved = open_place(f"{copy}+{adapter}")
    wanted = load(places / "one").predict(WORDS[0], max_new_tokens=8).output
    if not alone:  # without the run around it, the task is guessed
        assert moved.predict(WORDS[0], max_new_tokens=8).output == wanted


def test_a_copy_for_serving_answers_the_same(places: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    place = store.take_in(f"{places / 'base'}+{places / 'two' / 'adapter'}", verify=True)
    assert str(places) not in place
    wanted = load(places / "two").predict(WORDS[0], max_new_tokens=8).output
    assert open_place(place).predict(WORDS[0], max_new_tokens=8).output == wanted


def test_what_is_no_adapter_is_refused(places: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no adapter here"):
        open_place(f"{places / 'base'}+{places / 'other'}")
    with pytest.raises(ModelError):
        open_place(f"{places / 'base'}+{tmp_path / 'nothing'}")


@pytest.fixture(scope="module")
def client(places: Path) -> Iterator[httpx.Client]:
    models = {
        name: open_place(f"{places / 'base'}+{places / name}") for name in ("one", "two")
    }  # fmt: skip
    with (
        listening(application(models)) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as found,
    ):
        yield found


def test_they_are_served_by_name_each_with_its_version(client: httpx.Client, places: Path) -> None:
    cards = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    assert cards["one"]["version"] != cards["two"]["version"]
    for name in ("one", "two"):
        body = {"model": name, "prompt": "the cat", "max_tokens": 8}
        found = client.post("/v1/completions", json=body).json()
        assert found["system_fingerprint"] == cards[name]["version"]
        wanted = load(places / name).predict("the cat", max_new_tokens=8)
        assert found["choices"][0]["text"] == wanted.output
        vectors = client.post("/v1/embeddings", json={"model": name, "input": ["a", "b"]}).json()
        assert len(vectors["data"]) == 2
