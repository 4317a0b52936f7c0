"""What is in an exported folder besides numbers: files, names, and nothing of the writer's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graph_models import Running, batch, bert, like_llama, source, tokenizer, wrap
from tokenizers import Tokenizer, models, pre_tokenizers

from tinyforge.artifacts.export_folder import read_record
from tinyforge.config.model import LoraSettings
from tinyforge.errors import MissingPackageError, ModelError
from tinyforge.export.graphs import needed, tidy, trial, write_graphs
from tinyforge.export.graphs.files import SAMPLES, fast_tokenizer
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.lora import add_adapters
from tinyforge.models.save import save_model

NAMES = ["bert", "t5", "gpt2", "llama, tied"]


@pytest.mark.parametrize("name", NAMES)
def test_the_files(name: str, exported: Callable) -> None:
    _, folder, record = exported(name)
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    expected = {
        *record.graphs.values(), "tokenizer.json", "tokenizer_config.json", "config.json",
        "tinyforge/export.json",
    }  # fmt: skip
    if name != "bert":
        expected.add("generation_config.json")
    assert files == expected
    assert read_record(folder) == record


@pytest.mark.parametrize("name", NAMES)
def test_the_tokenizer_alone_encodes_alike(name: str, exported: Callable) -> None:
    model, folder, _ = exported(name)
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert alone.truncation is None
    assert alone.padding is None
    texts = [*SAMPLES, "the cat</s> [SEP] and <|endoftext|>"]
    for special in (True, False):
        wanted = model.tokenizer(texts, add_special_tokens=special)["input_ids"]
        found = alone.encode_batch(texts, add_special_tokens=special)
        assert [each.ids for each in found] == wanted


@pytest.mark.parametrize("name", ["bert", "llama, tied"])
def test_the_same_model_gives_the_same_bytes(name: str, exported: Callable, tmp_path: Path) -> None:
    _, folder, _ = exported(name)
    write_graphs(source(name), tmp_path)
    for file in folder.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / file.relative_to(folder)).read_bytes(), file


@pytest.mark.parametrize(
    "name", ["bert", "distilbert", "t5, gated, own head", "gpt2", "llama", "gemma2"]
)
def test_products_have_constants_named_after_their_layers(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    model, folder, record = exported(name)
    layers = 0
    for file in record.graphs.values():
        graph = onnx.load(folder / file).graph
        constants = {weight.name: tuple(weight.dims) for weight in graph.initializer}
        assert "Gemm" not in {node.op_type for node in graph.node}
        assert len({node.name for node in graph.node}) == len(graph.node)
        for node in graph.node:
            if node.op_type == "MatMul":
                weight = node.input[1]
                assert weight in constants, node.name
                assert len(constants[weight]) == 2
                assert node.name == weight.removesuffix(".weight")
                layers += 1
        assert not [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in constants]
    assert layers >= 8
    if name == "bert":
        weight = model.model.bert.encoder.layer[1].intermediate.dense.weight
        assert (
            constants["bert.encoder.layer.1.intermediate.dense.weight"]
            == (tuple(weight.shape)[::-1])
        )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_writer_is_left(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    _, folder, record = exported(name)
    for file in record.graphs.values():
        content = (folder / file).read_bytes()
        for word in (b".py", b"site-packages", b"pkg.torch", b"torch.nn"):
            assert word not in content
        graph = onnx.load(folder / file)
        assert {each.domain for each in graph.opset_import} <= {"", "com.microsoft"}
        assert not graph.functions
        assert not graph.graph.value_info  # some of them would be wrong for other sizes
        assert not graph.metadata_props


def test_large_weights_lie_beside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: Callable
) -> None:
    monkeypatch.setattr(tidy, "EXTERNAL", 10_000)
    _, folder, _ = exported("llama")
    model = source("llama")
    record = write_graphs(model, tmp_path)
    assert (tmp_path / "model.onnx.data").is_file()
    whole = (folder / "model.onnx").stat().st_size
    assert (tmp_path / "model.onnx").stat().st_size < whole / 2
    one, other = (Running(record.graph(place, "decoder")) for place in (folder, tmp_path))
    ids, mask = batch(model.model, [5])
    feeds = {"input_ids": ids, "attention_mask": mask, "keep": np.arange(5)}
    feeds |= one.nothing_past(1)
    np.testing.assert_array_equal(one(feeds)["logits"], other(feeds)["logits"])


def test_a_graph_that_was_external_leaves_no_data_behind(tmp_path: Path) -> None:
    (tmp_path / "model.onnx.data").write_bytes(b"old")
    write_graphs(source("llama"), tmp_path)
    assert not (tmp_path / "model.onnx.data").exists()


def test_adapters_are_merged(tmp_path: Path) -> None:
    base = like_llama("Llama").eval()
    base.save_pretrained(tmp_path / "base")
    tokenizer("decoder").save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    adapted = add_adapters(base, LoraSettings(enabled=True), "decoder", seed=0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.add_(torch.randn_like(weight) * 0.2)
    task = wrap(base, tokenizer("decoder"), "language-model").task
    save_model(adapted, tokenizer("decoder"), tmp_path / "run", task.state())
    model = TorchModel.load(tmp_path / "run" / "adapter")
    plain = TorchModel.load(tmp_path / "base")
    record = write_graphs(model, tmp_path / "out")
    graph = Running(record.graph(tmp_path / "out", "decoder"))
    ids, mask = batch(model.model, [9])
    feeds = {"input_ids": ids, "attention_mask": mask, "keep": np.arange(9)}
    found = graph({**feeds, **graph.nothing_past(1)})["logits"]
    with torch.no_grad():
        wanted = model.model(input_ids=torch.from_numpy(ids)).logits[0].numpy()
        other = plain.model(input_ids=torch.from_numpy(ids)).logits[0].numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
    assert np.abs(found - other).max() > 0.1


@pytest.mark.parametrize("name", ["gpt2", "llama, tied"])
def test_the_model_is_left_as_it_was(name: str, tmp_path: Path) -> None:
    model = source(name)
    model.model.train()
    before = copy.deepcopy(model.model.state_dict())
    way = model.model.config._attn_implementation
    write_graphs(model, tmp_path)
    assert model.model.training
    assert model.model.config._attn_implementation == way
    for module in model.model.modules():
        assert "forward" not in vars(module)
        assert not module._forward_pre_hooks
    for key, value in model.model.state_dict().items():
        assert torch.equal(value, before[key])


def test_ids_and_ends_are_what_the_pytorch_backend_reads(tmp_path: Path) -> None:
    model = like_llama("Llama").eval()
    model.generation_config.eos_token_id = [1, 9]
    record = write_graphs(wrap(model, tokenizer("decoder"), "language-model"), tmp_path)
    assert record.config["eos_token_id"] == [1, 9]
    assert record.config["bos_token_id"] == 1
    assert record.tokens["eos_token"] == "<|endoftext|>"
    assert record.tokens["chat_template"] is None
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [1, 9]


def test_the_chat_template_travels(tmp_path: Path) -> None:
    tokens = copy.deepcopy(tokenizer("decoder"))
    model = wrap(like_llama("Llama").eval(), tokens, "instruct")
    record = write_graphs(model, tmp_path)
    assert record.tokens["chat_template"] == tokens.chat_template
    assert (tmp_path / "chat_template.jinja").read_text() == tokens.chat_template
    assert record.task["name"] == "instruct"


def test_a_slow_tokenizer_is_refused_in_one_line(tmp_path: Path) -> None:
    class Slow:
        backend_tokenizer = None

    with pytest.raises(ModelError, match="no fast form") as caught:
        fast_tokenizer(Slow())
    assert "\n" not in str(caught.value)


class Odd:
    """A tokenizer that puts more around a text than its fast form does."""

    def __init__(self, lower: bool = False) -> None:
        vocabulary = {chr(i): i - 32 for i in range(32, 127)} | {"<s>": 95, "</s>": 96}
        self.backend_tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
        self.backend_tokenizer.add_special_tokens(["<s>", "</s>"])
        self._lower = lower

    def __call__(self, text: Any = None, *, add_special_tokens: bool = True, **more: Any) -> Any:
        texts = [t.lower() if self._lower else t for t in text]
        plain = self.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        around = ([95], [96]) if add_special_tokens else ([], [])
        return {"input_ids": [around[0] + each.ids + around[1] for each in plain]}

    def convert_ids_to_tokens(self, token: int) -> str:
        return {95: "<s>", 96: "</s>"}[token]


def test_what_a_tokenizer_puts_around_a_text_is_put_into_its_file() -> None:
    alone = Tokenizer.from_str(fast_tokenizer(Odd()))
    assert alone.encode("ab").ids == [
        95,
        *Odd()(["ab"], add_special_tokens=False)["input_ids"][0],
        96,
    ]


def test_a_tokenizer_that_does_more_than_its_file_is_refused() -> None:
    with pytest.raises(ModelError, match=r"does more than its tokenizer\.json"):
        fast_tokenizer(Odd(lower=True))


@pytest.mark.parametrize("name", ["bert", "t5", "gpt2", "llama"])
def test_a_wrong_graph_is_noticed(name: str, exported: Callable) -> None:
    model, folder, record = exported(name)
    other = copy.deepcopy(model.model)
    with torch.no_grad():
        next(p for n, p in other.named_parameters() if "0" in n and p.ndim == 2).mul_(1.05)
    paths = {role: record.graph(folder, role) for role in record.graphs}
    with pytest.raises(trial.Mismatch, match=r"(logits|hidden states) .*off"):
        _try(other, paths, record)


def _try(model: Any, paths: dict[str, Path], record: Any) -> None:
    if record.family == "encoder":
        trial.try_classifier(model, paths["model"])
    elif record.family == "encoder-decoder":
        trial.try_encoder_decoder(model, paths)
    else:
        trial.try_decoder(model, paths["decoder"], record.cache)


def test_an_encoder_decoder_of_another_kind_is_refused(tmp_path: Path) -> None:
    import transformers as hf

    tokens = tokenizer("encoder-decoder")
    config = hf.BartConfig(
        vocab_size=len(tokens), d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32,
        decoder_ffn_dim=32, pad_token_id=0, eos_token_id=1, bos_token_id=0,
        decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    model = hf.BartForConditionalGeneration(config).eval()
    with pytest.raises(ModelError, match="encoder-decoder cannot be written"):
        write_graphs(wrap(model, tokens, "text2text"), tmp_path)


def test_packages_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needed, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"tinyforge\[onnx\]"):
        write_graphs(wrap(bert(), tokenizer("encoder"), "classify"), tmp_path)
    assert not list(tmp_path.iterdir())
