from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GenerationConfig

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import FolderError
from tinyforge.models.load import load_for_inference, load_for_training
from tinyforge.models.save import generation_config, save_model

CASES = [
    ("bert", "classify"),
    ("distilbert", "classify"),
    ("roberta", "classify"),
    ("gpt2", "classify"),
    ("t5", "text2text"),
    ("gpt2", "instruct"),
    ("llama", "instruct"),
    ("gemma2", "language-model"),
    ("scratch:bert-tiny", "classify"),
    ("scratch:t5-tiny", "text2text"),
    ("scratch:gpt-tiny", "instruct"),
    ("scratch:gpt-tiny", "classify"),
]
SAMPLES = ["the quick brown fox", "  Two  spaces, and a naïve 日本 word!\n", ""]


def load(name, task, texts, tiny):
    return load_for_training(
        ModelSettings(name=name if ":" in name else str(tiny(name))),
        task=task,
        labels=("ham", "spam") if task == "classify" else (),
        multi_label=False,
        texts=texts,
        seed=0,
        lora=LoraSettings(),
    )


@pytest.mark.parametrize(("name", "task"), CASES)
def test_plain_from_pretrained_loads_the_same(tiny, texts, logits, tmp_path, name, task):
    loaded = load(name, task, texts, tiny)
    save_model(loaded.model, loaded.tokenizer, tmp_path, {"name": task, "labels": ["é"]})
    plain = getattr(transformers, type(loaded.model).__name__)
    model, info = plain.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert model.state_dict().keys() == loaded.model.state_dict().keys()
    assert torch.equal(logits(model, loaded.family), logits(loaded.model, loaded.family))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in SAMPLES:
        ids = loaded.tokenizer(text)["input_ids"]
        assert tokenizer(text)["input_ids"] == ids
        assert tokenizer.decode(ids) == loaded.tokenizer.decode(ids)
    for special in ("pad_token", "eos_token", "bos_token", "unk_token", "chat_template"):
        assert getattr(tokenizer, special) == getattr(loaded.tokenizer, special)
    assert len(tokenizer) == len(loaded.tokenizer)
    assert tokenizer.model_max_length == loaded.tokenizer.model_max_length
    ours = load_for_inference(tmp_path)
    assert ours.family == loaded.family
    assert torch.equal(logits(ours.model, loaded.family), logits(model, loaded.family))
    state = json.loads((tmp_path / "tinyforge" / "task.json").read_text(encoding="utf-8"))
    assert state == {"name": task, "labels": ["é"]}
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == ["model.safetensors"]
    assert not list(tmp_path.glob("*.bin"))


@pytest.mark.parametrize(("name", "task"), [c for c in CASES if c[1] != "classify"])
def test_generating_models_stop_at_their_end_token(tiny, texts, tmp_path, name, task):
    loaded = load(name, task, texts, tiny)
    save_model(loaded.model, loaded.tokenizer, tmp_path, {"max_new_tokens": 7})
    saved = GenerationConfig.from_pretrained(tmp_path)
    saved.validate(strict=True)
    assert saved.eos_token_id == loaded.tokenizer.eos_token_id
    assert saved.pad_token_id == loaded.tokenizer.pad_token_id
    assert saved.max_new_tokens == 7
    model = load_for_inference(tmp_path).model
    prompt = loaded.tokenizer("the quick", return_tensors="pt")
    with torch.no_grad():
        answer = model.generate(prompt["input_ids"], attention_mask=prompt["attention_mask"])
    start = 1 if loaded.family == "encoder-decoder" else prompt["input_ids"].shape[1]
    assert 0 < answer.shape[1] - start <= 7


def test_classifiers_have_no_generation_config(tiny, texts, tmp_path):
    loaded = load("llama", "classify", texts, tiny)
    save_model(loaded.model, loaded.tokenizer, tmp_path, {})
    assert not (tmp_path / "generation_config.json").exists()


def test_contradictory_generation_settings_of_the_base_are_left_out(tiny, texts, tmp_path):
    loaded = load("llama", "instruct", texts, tiny)
    old = loaded.model.generation_config
    old.do_sample, old.temperature, old.top_p, old.eos_token_id = False, 0.6, 0.9, [1, 2]
    save_model(loaded.model, loaded.tokenizer, tmp_path, {})
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert "temperature" not in saved
    assert saved["eos_token_id"] == [1, 2]
    assert loaded.model.generation_config is old


def test_ids_come_from_the_config_where_the_generation_config_has_none(tiny, texts):
    model = load("t5", "text2text", texts, tiny).model
    model.generation_config = GenerationConfig()
    made = generation_config(model)
    assert (made.eos_token_id, made.pad_token_id, made.decoder_start_token_id) == (1, 0, 0)


def test_saving_twice_gives_the_same_bytes(tiny, texts, tmp_path):
    loaded = load("t5", "text2text", texts, tiny)
    for name in ("a", "b"):
        save_model(loaded.model, loaded.tokenizer, tmp_path / name, {"b": 1, "a": 2})
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) >= 6
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_folder_that_cannot_be_written(tiny, texts, tmp_path):
    loaded = load("bert", "classify", texts, tiny)
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be saved"):
        save_model(loaded.model, loaded.tokenizer, tmp_path / "file", {})


def test_t5_with_an_output_head_of_its_own(build, texts, logits, tmp_path):
    """flan-T5's shape: gated feed-forward, and a head that is not tied to the embeddings."""
    folder = build("t5", feed_forward_proj="gated-gelu")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["shared.weight"].flip(0).contiguous() * 0.1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs")  # as in the published files
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    loaded = load_for_training(
        ModelSettings(name=str(folder)),
        task="text2text",
        labels=(),
        multi_label=False,
        texts=texts,
        seed=0,
        lora=LoraSettings(),
    )
    assert loaded.model.config.scale_decoder_outputs is False
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    assert (
        json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    )
    again = load_for_inference(tmp_path / "out").model
    assert torch.equal(again.lm_head.weight, weights["lm_head.weight"])
    assert torch.equal(again.shared.weight, weights["shared.weight"])
    assert again.encoder.embed_tokens.weight is again.decoder.embed_tokens.weight
    assert torch.equal(logits(again, "encoder-decoder"), logits(loaded.model, "encoder-decoder"))


def test_a_full_disk_is_one_clear_line(tiny, texts, tmp_path, monkeypatch):
    loaded = load("bert", "classify", texts, tiny)

    def fail(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(loaded.model, "save_pretrained", fail)
    with pytest.raises(FolderError, match=r"No space left.*Free space"):
        save_model(loaded.model, loaded.tokenizer, tmp_path, {})
