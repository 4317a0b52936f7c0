from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import ModelError
from tinyforge.models.load import family_of, load_for_inference, load_for_training


def train(folder: Path, task: str = "language-model", **options):
    return load_for_training(
        ModelSettings(name=str(folder), **options),
        task=task,
        labels=("a", "b") if task == "classify" else (),
        multi_label=False,
        texts=list,
        seed=0,
        lora=LoraSettings(),
    )


def both(folder: Path, match: str, task: str = "language-model") -> None:
    """Training and answering refuse alike."""
    with pytest.raises(ModelError, match=match):
        train(folder, task)
    with pytest.raises(ModelError, match=match):
        load_for_inference(folder)


def change(path: Path, **values) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickled_weights_are_refused_and_not_opened(build, tmp_path):
    folder = build("llama")
    (folder / "model.safetensors").unlink()
    torch.save(Bomb(tmp_path / "boom"), folder / "pytorch_model.bin")
    both(folder, r"pytorch_model\.bin.*can run code.*Convert")
    assert not (tmp_path / "boom").exists()


def test_pickles_beside_safetensors_are_not_opened(build, tmp_path):
    folder = build("llama")
    torch.save(Bomb(tmp_path / "boom"), folder / "pytorch_model.bin")
    train(folder)
    load_for_inference(folder)
    assert not (tmp_path / "boom").exists()


def test_a_distributed_checkpoint_is_refused(build):
    folder = build("llama")
    (folder / ".metadata").write_bytes(b"")
    both(folder, "pickle")


def test_weights_named_in_the_config_must_be_safetensors(build):
    folder = build("llama")
    change(folder / "config.json", transformers_weights="adapter_model.bin")
    both(folder, "not safetensors")


def test_attention_code_from_the_hub_is_refused(build):
    folder = build("llama")
    change(folder / "config.json", _attn_implementation="someone/kernel")
    both(folder, "code from the hub")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_models_own_code_needs_trust(build, file):
    folder = build("llama")
    (folder / "evil.py").write_text("raise RuntimeError('it ran')")
    change(folder / file, auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    both(folder, r"own Python code.*trust_remote_code=true")
    with pytest.raises(ModelError, match="own Python code"):
        family_of(ModelSettings(name=str(folder)))


def test_an_adapter_in_a_pickle_is_refused(build, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    base = str(build("llama"))
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"})
    )
    torch.save(Bomb(tmp_path / "boom"), folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="can run code"):
        load_for_inference(folder)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("keep", [0, 4, 100, -100])
def test_cut_weights_are_named(build, keep):
    folder = build("llama")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    both(folder, r"model\.safetensors: the weight file is cut or damaged")


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\0", "[" * 50_000])
def test_a_damaged_config_is_named(build, content):
    folder = build("llama")
    (folder / "config.json").write_text(content)
    both(folder, r"config\.json: the file")


def test_a_config_that_makes_no_sense(build):
    folder = build("llama")
    change(folder / "config.json", hidden_size="large")
    both(folder, "cannot be loaded")
    change(folder / "config.json", hidden_size=32, model_type="no-such-thing")
    both(folder, "does not know this model type")


@pytest.mark.parametrize("content", ["{", "{}"])
def test_a_damaged_tokenizer_is_named(build, content):
    folder = build("llama")
    (folder / "tokenizer.json").write_text(content)
    both(folder, "tokenizer")


def test_a_folder_without_a_tokenizer(build):
    folder = build("bert")
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(ModelError, match="no tokenizer files"):
        train(folder, "classify")


def test_a_folder_without_weights_or_config(build):
    folder = build("llama")
    (folder / "model.safetensors").unlink()
    both(folder, r"model\.safetensors is missing")
    (folder / "config.json").unlink()
    both(folder, r"no config\.json")
    both(folder.parent, "Did you mean|no model folder")


def test_an_unfinished_run_is_told(tmp_path):
    (tmp_path / "run" / "tinyforge" / "checkpoints").mkdir(parents=True)
    both(tmp_path / "run", "--resume")


def test_a_missing_shard_is_named(build):
    folder = build("llama")
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": []}
    parts["model-00002-of-00002.safetensors"] = names[5:]
    index = {"metadata": {}, "weight_map": {n: file for file, ns in parts.items() for n in ns}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for file, inside in parts.items():
        save_file({n: whole[n] for n in inside}, folder / file, {"format": "pt"})
    train(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    both(folder, "model-00002-of-00002")
    save_file(whole, folder.parent / "other.safetensors", {"format": "pt"})
    index["weight_map"] = dict.fromkeys(names, "../other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    both(folder, r"other\.safetensors.*is missing")


def test_weights_that_are_not_in_the_file(build):
    folder = build("llama")
    weights = load_file(folder / "model.safetensors")
    lost = weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    both(folder, r"not in its file: model\.layers\.1\.mlp\.up_proj\.weight")
    with pytest.raises(ModelError, match="up_proj"):
        train(folder, "classify")
    weights["model.layers.1.mlp.up_proj.weight"] = lost[:-1].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    both(folder, "do not fit together")
    with pytest.raises(ModelError, match="up_proj"):
        train(folder, "classify")


def test_weights_that_are_no_numbers(build):
    folder = build("llama")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    both(folder, r"model\.norm\.weight holds numbers that are not finite")


def test_a_tokenizer_of_another_model(build, tiny):
    folder = build("llama", vocab_size=100)
    both(folder, "do not belong together")


def test_a_model_of_pictures_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    both(tmp_path, "not a text model")
