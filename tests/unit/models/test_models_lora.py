from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.models.load import load_for_inference, load_for_training
from tinyforge.models.lora import is_adapted, linear_layers, merge, trainable_parameters
from tinyforge.models.save import save_model

CASES = [
    ("bert", "classify", 6 * 2 + 1, {"classifier"}),
    ("distilbert", "classify", 6 * 2, {"classifier", "pre_classifier"}),
    ("roberta", "classify", 6 * 2, {"classifier"}),
    ("gpt2", "classify", 4 * 2, {"score"}),
    ("llama", "classify", 7 * 2, {"score"}),
    ("t5", "text2text", 6 * 2 + 10 * 2, set()),
    ("gpt2", "language-model", 4 * 2, set()),
    ("llama", "instruct", 7 * 2, set()),
    ("gemma2", "language-model", 7 * 2, set()),
]


def load(folder, task, *, r=4, seed=0, **options):
    return load_for_training(
        ModelSettings(name=str(folder)),
        task=task,
        labels=("a", "b") if task == "classify" else (),
        multi_label=False,
        texts=list,
        seed=seed,
        lora=LoraSettings(enabled=True, r=r, **options),
    )


def train_a_little(model) -> None:
    """Moves every trained number, as training would."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)


@pytest.mark.parametrize(("kind", "task", "layers", "head"), CASES)
def test_targets_are_found_from_the_model(tiny, kind, task, layers, head):
    model = load(tiny(kind), task).model
    base = model.get_base_model()
    assert len(model.peft_config["default"].target_modules) > 0
    adapted = [n for n, m in base.named_modules() if hasattr(m, "lora_A")]
    assert len(adapted) == layers
    assert not any(n.startswith(("lm_head", *head)) for n in adapted)
    trained = {n for n, p in base.named_parameters() if p.requires_grad}
    whole = {n.split(".")[0] for n in trained if "lora_" not in n}
    assert whole == head
    assert trainable_parameters(model) == sum(
        p.numel() for p in model.parameters() if p.requires_grad
    )
    assert 0 < trainable_parameters(model) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("kind", "task", "layers", "head"), CASES)
def test_merged_models_are_plain_and_equal(tiny, logits, tmp_path, kind, task, layers, head):
    loaded = load(tiny(kind), task)
    model, family = loaded.model, loaded.family
    start = logits(model, family)
    train_a_little(model)
    adapted = logits(model, family)
    assert not torch.allclose(start, adapted, atol=1e-3)
    plain = load_plain(tiny(kind), task)
    merged = merge(model)
    assert type(merged) is type(plain)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert all(p.requires_grad for p in merged.parameters())
    assert not is_adapted(merged)
    torch.testing.assert_close(logits(merged, family), adapted, atol=1e-4, rtol=1e-4)
    assert torch.equal(logits(model, family), adapted)  # left as it was
    save_model(model, loaded.tokenizer, tmp_path / "run", {})
    again = load_for_inference(tmp_path / "run").model
    assert torch.equal(logits(again, family), logits(merged, family))
    alone = load_for_inference(tmp_path / "run" / "adapter")
    assert type(alone.model) is type(plain)
    torch.testing.assert_close(logits(alone.model, family), adapted, atol=1e-4, rtol=1e-4)
    assert alone.model.config.id2label == merged.config.id2label


def load_plain(folder, task):
    return load_for_training(
        ModelSettings(name=str(folder)),
        task=task,
        labels=("a", "b") if task == "classify" else (),
        multi_label=False,
        texts=list,
        seed=0,
        lora=LoraSettings(),
    ).model


def test_adapters_change_nothing_at_the_start(tiny, logits):
    adapted, plain = load(tiny("gpt2"), "instruct"), load_plain(tiny("gpt2"), "instruct")
    assert torch.equal(logits(adapted.model, "decoder"), logits(plain, "decoder"))


def test_adapters_depend_on_the_seed_alone(tiny):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load(tiny("llama"), "instruct", seed=3).model.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = load(tiny("llama"), "instruct", seed=3).model.state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_conv1d_counts_as_linear(tiny):
    model = load(tiny("gpt2"), "instruct").model
    assert model.peft_config["default"].fan_in_fan_out
    assert not load(tiny("llama"), "instruct").model.peft_config["default"].fan_in_fan_out


def test_chosen_targets(tiny):
    model = load(tiny("t5"), "text2text", target_modules=("q", "v")).model
    adapted = {n for n, m in model.named_modules() if hasattr(m, "lora_A")}
    assert {n.rsplit(".", 1)[-1] for n in adapted} == {"q", "v"}
    assert len(adapted) == 2 * 2 + 2 * 4
    one = linear_layers(load_plain(tiny("t5"), "text2text"))[0]
    model = load(tiny("t5"), "text2text", target_modules=(one,)).model
    assert sum(hasattr(m, "lora_A") for m in model.modules()) == 1


def test_a_mistyped_target_is_answered(tiny):
    with pytest.raises(SettingError, match=r"lora\.target_modules.*Did you mean 'q_proj'"):
        load(tiny("llama"), "instruct", target_modules=("q_prj",))
    with pytest.raises(SettingError, match="no such linear layer"):
        load(tiny("llama"), "instruct", target_modules=("lm_head",))


def test_scratch_models_take_no_adapters():
    with pytest.raises(SettingError, match="not pretrained"):
        load("scratch:gpt-tiny", "instruct")


def test_an_adapter_says_what_it_belongs_to(tiny, tmp_path):
    loaded = load(tiny("llama"), "instruct")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "run", {})
    opened = load_for_inference(tmp_path / "run" / "adapter")
    assert opened.notes == [f"adapter on {tiny('llama')}, merged"]
    with pytest.raises(ModelError, match=r"Give the merged model: .*run"):
        load(tmp_path / "run" / "adapter", "instruct")


def test_an_adapter_of_another_model_is_refused(tiny, tmp_path):
    loaded = load(tiny("llama"), "instruct")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "run", {})
    config = tmp_path / "run" / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(tiny("llama")), str(tiny("gpt2"))))
    with pytest.raises(ModelError, match="base"):
        load_for_inference(tmp_path / "run" / "adapter")


@pytest.mark.parametrize("fault", ["lost", "unknown"])
def test_an_adapter_with_other_weights_is_refused(tiny, tmp_path, fault):
    loaded = load(tiny("bert"), "classify")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "run", {})
    file = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(n for n in sorted(weights) if "lora_B" in n)
    moved = weights.pop(name)
    if fault == "unknown":
        weights[name] = moved
        weights[name.replace("layer.0", "layer.9")] = moved.clone()
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"differ in 1 weights"):
        load_for_inference(tmp_path / "run" / "adapter")


def test_the_base_of_an_adapter_must_be_whole(build, tmp_path):
    folder = build("bert")
    loaded = load(folder, "classify")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "run", {})
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.0.attention.self.query.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"not in its file: bert\.encoder"):
        load_for_inference(tmp_path / "run" / "adapter")


def test_dropout_of_adapters_is_set(tiny):
    model = load(tiny("llama"), "instruct", dropout=0.3).model
    assert any(isinstance(m, torch.nn.Dropout) and m.p == 0.3 for m in model.modules())


def test_adapters_learn_with_gradient_checkpointing(tiny):
    loaded = load_for_training(
        ModelSettings(name=str(tiny("llama"))),
        task="instruct",
        labels=(),
        multi_label=False,
        texts=list,
        seed=0,
        lora=LoraSettings(enabled=True),
        gradient_checkpointing=True,
    )
    model = loaded.model.train()
    ids = torch.arange(5, 13).reshape(1, 8)
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    grads = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert grads
    assert all(g is not None and g.abs().sum() > 0 for g in grads)
