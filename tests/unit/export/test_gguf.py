"""GGUF files: read back by the package, and computed with as llama.cpp computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graph_models import gpt2_config, like_llama, source, tokenizer, wanted_logits, wrap
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from tinyforge.errors import ModelError
from tinyforge.export.gguf import write_gguf
from tinyforge.export.gguf_vocabulary import merged, read_vocabulary
from tinyforge.inference.torch_model import TorchModel
from tinyforge.text.tokenizer_training import train_tokenizer

gguf = pytest.importorskip("gguf")

Floats = NDArray[np.float32]
SOURCES = ["llama", "llama, tied", "llama, biases", "llama, scaled", "qwen2", "qwen3", "mistral",
           "gemma", "gpt2"]  # fmt: skip


class File:
    """A GGUF file's content."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.kinds = {each.name: each.tensor_type.name for each in reader.tensors}
        self.tensors = {
            each.name: gguf.dequantize(each.data, each.tensor_type).astype(np.float32)
            for each in reader.tensors
        }
        self.arch = self.fields["general.architecture"]

    def own(self, name: str, default: Any = None) -> Any:
        return self.fields.get(f"{self.arch}.{name}", default)


def logits_of(file: File, ids: Any) -> Floats:
    """What llama.cpp computes for one row: (tokens, vocabulary)."""
    return _gpt2(file, ids) if file.arch == "gpt2" else _llama(file, ids)


def _linear(file: File, x: Floats, name: str) -> Floats:
    found = x @ file.tensors[f"{name}.weight"].T
    return found + file.tensors.get(f"{name}.bias", np.float32(0))


def _rms(file: File, x: Floats, name: str) -> Floats:
    scale = np.sqrt((x**2).mean(-1, keepdims=True) + file.own("attention.layer_norm_rms_epsilon"))
    return x / scale * file.tensors[f"{name}.weight"]


def _rope(file: File, x: Floats) -> Floats:
    """(tokens, heads, size): neighbours turn together in Llama's files, halves in the others."""
    size = x.shape[-1]
    angles = np.arange(size // 2) * 2 / size
    frequencies = file.own("rope.freq_base") ** -angles / file.tensors.get("rope_freqs.weight", 1)
    turn = np.arange(len(x))[:, None] * frequencies
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    out = np.empty_like(x)
    if file.arch == "llama":
        first, second = x[..., 0::2], x[..., 1::2]
        out[..., 0::2], out[..., 1::2] = first * cos - second * sin, first * sin + second * cos
        return out
    first, second = np.split(x, 2, -1)
    return np.concatenate([first * cos - second * sin, first * sin + second * cos], -1)


def _attend(q: Floats, k: Floats, v: Floats) -> Floats:
    """(tokens, heads, size) each; keys and values may have fewer heads."""
    repeats = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, repeats, 1), np.repeat(v, repeats, 1)
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
    scores[:, np.triu(np.ones(scores.shape[1:], bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", weights, v).reshape(len(q), -1)


def _llama(file: File, ids: Any) -> Floats:
    x = file.tensors["token_embd.weight"][ids]
    heads, groups = file.own("attention.head_count"), file.own("attention.head_count_kv")
    if file.arch == "gemma":
        x = x * np.sqrt(x.shape[-1])
    for layer in range(file.own("block_count")):
        name = f"blk.{layer}"
        h = _rms(file, x, f"{name}.attn_norm")
        q, k, v = (_linear(file, h, f"{name}.attn_{part}") for part in "qkv")
        q, k, v = (
            part.reshape(len(x), count, -1)
            for part, count in ((q, heads), (k, groups), (v, groups))
        )
        if f"{name}.attn_q_norm.weight" in file.tensors:
            q, k = _rms(file, q, f"{name}.attn_q_norm"), _rms(file, k, f"{name}.attn_k_norm")
        x = x + _linear(file, _attend(_rope(file, q), _rope(file, k), v), f"{name}.attn_output")
        h = _rms(file, x, f"{name}.ffn_norm")
        gate = _linear(file, h, f"{name}.ffn_gate")
        gate = _gelu(gate) if file.arch == "gemma" else gate / (1 + np.exp(-gate))
        x = x + _linear(file, gate * _linear(file, h, f"{name}.ffn_up"), f"{name}.ffn_down")
    x = _rms(file, x, "output_norm")
    return x @ file.tensors.get("output.weight", file.tensors["token_embd.weight"]).T


def _gelu(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _norm(file: File, x: Floats, name: str) -> Floats:
    deviation = np.sqrt(x.var(-1, keepdims=True) + file.own("attention.layer_norm_epsilon"))
    scaled = (x - x.mean(-1, keepdims=True)) / deviation
    return scaled * file.tensors[f"{name}.weight"] + file.tensors[f"{name}.bias"]


def _gpt2(file: File, ids: Any) -> Floats:
    x = file.tensors["token_embd.weight"][ids] + file.tensors["position_embd.weight"][: len(ids)]
    for layer in range(file.own("block_count")):
        name = f"blk.{layer}"
        joint = _linear(file, _norm(file, x, f"{name}.attn_norm"), f"{name}.attn_qkv")
        q, k, v = (
            part.reshape(len(x), file.own("attention.head_count"), -1)
            for part in np.split(joint, 3, -1)
        )
        x = x + _linear(file, _attend(q, k, v), f"{name}.attn_output")
        h = _linear(file, _norm(file, x, f"{name}.ffn_norm"), f"{name}.ffn_up")
        x = x + _linear(file, _gelu(h), f"{name}.ffn_down")
    x = _norm(file, x, "output_norm")
    return x @ file.tensors.get("output.weight", file.tensors["token_embd.weight"]).T


@pytest.mark.parametrize("name", SOURCES)
def test_llama_cpps_arithmetic_gives_the_models_logits(name: str, tmp_path: Path) -> None:
    model = source(name)
    write_gguf(model, tmp_path / "m.gguf", precision="fp32")
    file = File(tmp_path / "m.gguf")
    ids = np.random.default_rng(0).integers(5, len(model.tokenizer), 40)
    np.testing.assert_allclose(logits_of(file, ids), wanted_logits(model.model, ids), atol=1e-4)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("precision", "kind", "error"),
    [("fp16", "F16", 1e-3), ("bf16", "BF16", 8e-3), ("int8", "Q8_0", 1e-2), ("int4", "Q4_0", 0.15)],
)
def test_matrices_are_stored_in_the_precision(
    precision: Any, kind: str, error: float, tmp_path: Path
) -> None:
    model = source("llama")
    write_gguf(model, tmp_path / "whole.gguf", precision="fp32")
    write_gguf(model, tmp_path / "small.gguf", precision=precision)
    whole, small = File(tmp_path / "whole.gguf"), File(tmp_path / "small.gguf")
    careful = "Q8_0" if precision == "int4" else kind
    assert small.kinds["blk.0.attn_q.weight"] == kind
    assert small.kinds["token_embd.weight"] == small.kinds["output.weight"] == careful
    assert small.kinds["blk.0.attn_norm.weight"] == "F32"
    assert list(small.tensors) == list(whole.tensors)
    for name, values in whole.tensors.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(small.tensors[name], values, atol=error * scale, err_msg=name)


def test_rows_that_make_no_blocks_stay_in_float16(tmp_path: Path) -> None:
    model = wrap(
        like_llama("Llama", intermediate_size=40).eval(), tokenizer("decoder"), "language-model"
    )
    write_gguf(model, tmp_path / "m.gguf", precision="int4")
    kinds = File(tmp_path / "m.gguf").kinds
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == "Q4_0"


def test_sizes_and_special_tokens(tmp_path: Path) -> None:
    tokens = copy.deepcopy(tokenizer("decoder"))
    model = wrap(like_llama("Llama", rms_norm_eps=1e-5).eval(), tokens, "instruct")
    write_gguf(model, tmp_path / "m.gguf", precision="int8")
    file = File(tmp_path / "m.gguf")
    assert file.arch == "llama"
    assert file.own("context_length") == 256
    assert file.own("embedding_length") == 64
    assert file.own("feed_forward_length") == 96
    assert file.own("attention.head_count") == 4
    assert file.own("attention.head_count_kv") == 2
    assert file.own("attention.key_length") == 16
    assert file.own("rope.dimension_count") == 16
    assert file.own("attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    fields = file.fields
    assert fields["general.file_type"] == 7
    assert fields["tokenizer.ggml.eos_token_id"] == tokens.eos_token_id
    assert fields["tokenizer.ggml.bos_token_id"] == tokens.bos_token_id
    assert fields["tokenizer.ggml.padding_token_id"] == tokens.pad_token_id
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.chat_template"] == tokens.chat_template


def test_the_trained_byte_level_tokenizer(tmp_path: Path) -> None:
    tokens = tokenizer("decoder")
    write_gguf(source("llama"), tmp_path / "m.gguf", precision="fp32")
    fields = File(tmp_path / "m.gguf").fields
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    vocabulary = tokens.get_vocab()
    assert fields["tokenizer.ggml.tokens"] == sorted(vocabulary, key=vocabulary.get)
    kinds = fields["tokenizer.ggml.token_type"]
    assert kinds[tokens.eos_token_id] == kinds[tokens.pad_token_id] == gguf.TokenType.CONTROL
    assert kinds[50] == gguf.TokenType.NORMAL
    first = fields["tokenizer.ggml.merges"][0].split(" ")
    assert "".join(first) in vocabulary


def test_ids_that_no_token_has_are_filled_up(tmp_path: Path) -> None:
    size = len(tokenizer("decoder")) + 5
    model = like_llama("Llama", vocab_size=size).eval()
    write_gguf(
        wrap(model, tokenizer("decoder"), "language-model"), tmp_path / "m.gguf", precision="fp32"
    )
    fields = File(tmp_path / "m.gguf").fields
    assert len(fields["tokenizer.ggml.tokens"]) == size
    assert fields["tokenizer.ggml.token_type"][-1] == gguf.TokenType.UNUSED


def pieces(merges: list[tuple[str, str]], **options: Any) -> Any:
    """A tokenizer as Llama 2 has it: ▁ for spaces, bytes for what is not in the vocabulary."""
    characters = ["▁", *"abcdefghijklmnopqrstuvwxyz.,"]
    vocabulary = [
        "<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *characters,
        *("".join(pair) for pair in merges),
    ]  # fmt: skip
    backend = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(vocabulary)}, merges, unk_token="<unk>",
            byte_fallback=True, fuse_unk=True,
        )
    )  # fmt: skip
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **options
    )


MERGES = [("t", "h"), ("▁", "th"), ("▁th", "e"), ("a", "t"), ("c", "at"), ("▁", "cat")]


def test_pieces_with_byte_fallback() -> None:
    tokens = pieces(MERGES)
    found = read_vocabulary(tokens, len(tokens))
    assert found.model == "llama"
    assert found.space_prefix
    scores = dict(zip(found.tokens, found.scores, strict=True))
    assert scores["th"] > scores["▁th"] > scores["▁the"] > scores["▁cat"]
    assert found.kinds[:4] == (2, 3, 3, 6)
    for text in ("the cat", "that cat, the  then", "naïve 東京", "catthe"):
        assert merged(found, text) == tokens(text, add_special_tokens=False)["input_ids"]


def test_pieces_that_no_merge_makes_are_refused() -> None:
    tokens = pieces(MERGES)
    content = tokens.backend_tokenizer.to_str().replace(',["▁","cat"]', "").replace(',"▁ cat"', "")
    backend = Tokenizer.from_str(content)
    assert backend.encode("cat").tokens == ["▁", "cat"]
    broken = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    with pytest.raises(ModelError, match="none of its merges makes"):
        read_vocabulary(broken, len(broken))


def test_a_real_model_and_its_tokenizer(shared_folder: Path, tmp_path: Path) -> None:
    model = TorchModel.load(shared_folder / "models" / "stories260K")
    write_gguf(model, tmp_path / "m.gguf", precision="fp32")
    file = File(tmp_path / "m.gguf")
    text = "Once upon a time, there was a little girl named Lily. She'd 3 cats — naïve ones!"
    found = read_vocabulary(model.tokenizer, len(model.tokenizer))
    wanted = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert merged(found, text) == wanted
    ids = np.array([model.tokenizer.bos_token_id, *wanted])
    np.testing.assert_allclose(logits_of(file, ids), wanted_logits(model.model, ids), atol=1e-4)


@pytest.mark.parametrize("kind", ["unigram", "characters", "words"])
def test_tokenizers_that_llama_cpp_has_not_are_refused(kind: str, tmp_path: Path) -> None:
    tokens = train_tokenizer(["the cat sat on the mat " * 9], kind, 300, family="decoder")
    model = like_llama("Llama", vocab_size=len(tokens)).eval()
    with pytest.raises(ModelError, match=r"llama\.cpp cannot read the model's tokenizer"):
        write_gguf(wrap(model, tokens, "language-model"), tmp_path / "m.gguf", precision="fp32")
    assert not list(tmp_path.iterdir())


def test_splitting_that_llama_cpp_has_not_is_refused() -> None:
    tokens = copy.deepcopy(tokenizer("decoder"))
    tokens.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("x", "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    with pytest.raises(ModelError, match="splitting rules of its own"):
        read_vocabulary(tokens, len(tokens))
    tokens.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    with pytest.raises(ModelError, match="byte-level splitting"):
        read_vocabulary(tokens, len(tokens))


@pytest.mark.parametrize("name", ["t5", "bert", "neox", "gemma2"])
def test_other_architectures_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="GGUF is written for Llama") as caught:
        write_gguf(source(name), tmp_path / "m.gguf", precision="fp32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("what", "model"),
    [
        ("activation", lambda: like_llama("Llama", hidden_act="relu")),
        (
            "rotary positions",
            lambda: like_llama(
                "Llama", rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
            ),
        ),
        (
            "scale attention",
            lambda: GPT2LMHeadModel(gpt2_config(scale_attn_by_inverse_layer_idx=True)),
        ),
    ],
)
def test_what_llama_cpp_computes_otherwise_is_refused(
    what: str, model: Any, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=what):
        write_gguf(
            wrap(model().eval(), tokenizer("decoder"), "language-model"),
            tmp_path / "m.gguf", precision="fp32",
        )  # fmt: skip


def test_numbers_that_are_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    model = source("llama")
    with torch.no_grad():
        model.model.model.layers[0].mlp.up_proj.weight[0, 0] = 1e5
    with pytest.raises(ModelError, match="too large for float16"):
        write_gguf(model, tmp_path / "m.gguf", precision="fp16")
    assert not list(tmp_path.iterdir())


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_gguf(source("qwen3"), tmp_path / name, precision="int4")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
