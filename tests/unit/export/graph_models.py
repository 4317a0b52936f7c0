"""Tiny random models of every family that is exported, and their graphs in ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers as hf
from numpy.typing import NDArray

from tinyforge.config.settings import Settings
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.quiet import quiet
from tinyforge.tasks import build_task
from tinyforge.text.tokenizer_training import train_tokenizer

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

TEXTS = [
    "the cat sat on the mat, and the dog sat on the log.",
    "how are you doing today? i'm fine - thanks!",
    "naïve café, straße, 東京 and 🐕 are words too\n\twith tabs  and   spaces",
    "def f(x):\n    return x + 1",
]
LABELS = ("bad", "good", "so-so")
WIDE = {"initializer_range": 0.3}
"""Weights so large that logits differ, and what is wrong shows."""


@functools.cache
def tokenizer(family: str) -> Any:
    """A trained tokenizer of a family."""
    kind = "wordpiece" if family == "encoder" else "bpe"
    return train_tokenizer(TEXTS * 3, kind, 400, family=family)  # type: ignore[arg-type]


def ids_of(tokens: Any) -> dict[str, Any]:
    """Special tokens as a config names them."""
    return {
        "vocab_size": len(tokens),
        "pad_token_id": tokens.pad_token_id,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
    }


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256,
}  # fmt: skip


def bert(**more: Any) -> Any:
    tokens = tokenizer("encoder")
    config = hf.BertConfig(
        **ids_of(tokens), **SMALL, **WIDE, intermediate_size=48, num_labels=3, **more
    )
    return hf.BertForSequenceClassification(config)


def distilbert() -> Any:
    tokens = tokenizer("encoder")
    config = hf.DistilBertConfig(
        **ids_of(tokens), **WIDE, dim=32, n_layers=2, n_heads=4, hidden_dim=48, num_labels=3
    )
    return hf.DistilBertForSequenceClassification(config)


def roberta() -> Any:
    tokens = tokenizer("encoder")
    config = hf.RobertaConfig(
        **ids_of(tokens), **SMALL, **WIDE, intermediate_size=48, num_labels=3,
        max_position_embeddings=80,
    )  # fmt: skip
    return hf.RobertaForSequenceClassification(config)


def modernbert() -> Any:
    tokens = tokenizer("encoder")
    config = hf.ModernBertConfig(
        **ids_of(tokens), **SMALL, intermediate_size=48, num_labels=3, local_attention=8,
        cls_token_id=2, sep_token_id=3, initializer_range=0.3,
    )  # fmt: skip
    return hf.ModernBertForSequenceClassification(config)


def gpt2_classifier() -> Any:
    config = gpt2_config(num_labels=3)
    return hf.GPT2ForSequenceClassification(config)


def t5(*, gated: bool = False, tied: bool = True) -> Any:
    tokens = tokenizer("encoder-decoder")
    config = hf.T5Config(
        **ids_of(tokens), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        decoder_start_token_id=tokens.pad_token_id,
        feed_forward_proj="gated-gelu" if gated else "relu",
        **({} if tied else {"tie_word_embeddings": False}),
    )  # fmt: skip
    model = hf.T5ForConditionalGeneration(config)
    if not tied:  # transformers 5 ties them whatever the config says
        model.lm_head.weight = torch.nn.Parameter(torch.randn(len(tokens), 32) * 0.3)
    for stack in (model.encoder, model.decoder):  # distances that matter
        bias = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        torch.nn.init.normal_(bias)
    return model


def gpt2_config(**more: Any) -> Any:
    tokens = tokenizer("decoder")
    return hf.GPT2Config(
        **ids_of(tokens), **WIDE, n_positions=64, n_embd=32, n_layer=2, n_head=2, **more
    )


def gpt2() -> Any:
    return hf.GPT2LMHeadModel(gpt2_config())


def neox() -> Any:
    config = hf.GPTNeoXConfig(
        **ids_of(tokenizer("decoder")), **SMALL, **WIDE, intermediate_size=48,
        max_position_embeddings=64,
    )  # fmt: skip
    return hf.GPTNeoXForCausalLM(config)


def like_llama(name: str, **more: Any) -> Any:
    """A model of one of the families that are built like Llama."""
    config = getattr(hf, f"{name}TextConfig" if name == "Gemma3" else f"{name}Config")(
        **{**ids_of(tokenizer("decoder")), **LLAMA, **WIDE, **more}
    )
    return getattr(hf, f"{name}ForCausalLM")(config)


BUILD = {
    "bert": bert,
    "bert, relu": lambda: bert(hidden_act="relu"),
    "distilbert": distilbert,
    "roberta": roberta,
    "modernbert": modernbert,
    "gpt2 classifier": gpt2_classifier,
    "llama classifier": lambda: hf.LlamaForSequenceClassification(
        hf.LlamaConfig(**ids_of(tokenizer("decoder")), **LLAMA, **WIDE, num_labels=3)
    ),
    "t5": t5,
    "t5, gated": lambda: t5(gated=True),
    "t5, own head": lambda: t5(tied=False),
    "t5, gated, own head": lambda: t5(gated=True, tied=False),
    "gpt2": gpt2,
    "neox": neox,
    "llama": lambda: like_llama("Llama"),
    "llama, tied": lambda: like_llama("Llama", tie_word_embeddings=True),
    "llama, all heads": lambda: like_llama("Llama", num_key_value_heads=4),
    "llama, biases": lambda: like_llama("Llama", attention_bias=True, mlp_bias=True),
    "llama, scaled": lambda: like_llama("Llama", rope_parameters=LLAMA3_ROPE),
    "llama, narrow heads": lambda: like_llama("Llama", head_dim=6),
    "qwen2": lambda: like_llama("Qwen2"),
    "qwen2, windows": lambda: like_llama(
        "Qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "qwen3": lambda: like_llama("Qwen3", tie_word_embeddings=True),
    "mistral": lambda: like_llama("Mistral", sliding_window=None),
    "mistral, window": lambda: like_llama("Mistral", sliding_window=5),
    "granite": lambda: like_llama(
        "Granite",
        embedding_multiplier=2.0,
        logits_scaling=3.0,
        residual_multiplier=0.5,
        attention_multiplier=0.3,
    ),
    "gemma": lambda: like_llama("Gemma", hidden_size=48),
    "gemma3": lambda: like_llama("Gemma3", **GEMMA3),
    "gemma2": lambda: like_llama("Gemma2", sliding_window=5, final_logit_softcapping=3.0),
}
"""Name to what builds the model; the part before the comma is its kind."""

GEMMA3 = {
    "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"],
    "query_pre_attn_scalar": 16,
}  # fmt: skip
LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip

CLASSIFIERS = [n for n in BUILD if n.startswith(("bert", "distil", "rob", "mod")) or "class" in n]
T5S = [name for name in BUILD if name.startswith("t5")]
GROWING = ["gpt2", "neox", "llama, narrow heads"]
IN_PLACE = [n for n in BUILD if n not in {*CLASSIFIERS, *T5S, *GROWING}]


QUICK = {"bert", "distilbert", "t5", "t5, gated, own head", "gpt2", *IN_PLACE}
"""Exported in every test run; PyTorch's exporter takes seconds for each of the others."""


def each(names: Sequence[str]) -> list[Any]:
    """Parameters of a test; those that take long are marked."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def source(name: str) -> TorchModel:
    """The model as TinyForge answers with it."""
    with quiet():
        torch.manual_seed(sum(name.encode()))
        model = BUILD[name]().eval()
    # New biases and norms are 0 and 1, which would hide that one of them is not used.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.2)
    family = "encoder" if name in CLASSIFIERS and "classifier" not in name else "decoder"
    family = "encoder-decoder" if name in T5S else family
    task = {"encoder": "classify", "encoder-decoder": "text2text"}.get(family, "language-model")
    return wrap(model, tokenizer(family), "classify" if name in CLASSIFIERS else task)


def wrap(model: Any, tokens: Any, task: str) -> TorchModel:
    """A model with a task built from default settings."""
    labels = LABELS if task == "classify" else ()
    built = build_task(
        task, tokenizer=tokens, config=model.config, settings=Settings(), labels=labels
    )
    return TorchModel.from_loaded(model, tokens, built, name="a tiny model")


def batch(
    model: Any, lengths: Sequence[int], *, seed: int = 0, pad: int | None = None
) -> tuple[Ids, Ids]:
    """Random ids padded on the right, and the mask."""
    top = model.config.get_text_config().vocab_size
    drawn = np.random.default_rng(seed).integers(5, top, (len(lengths), max(lengths)))
    mask = (np.arange(max(lengths)) < np.asarray(lengths)[:, None]).astype(np.int64)
    filler = model.config.pad_token_id if pad is None else pad
    return np.where(mask == 1, drawn, filler).astype(np.int64), mask


class Running:
    """A graph in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {each.name: each for each in self.session.get_inputs()}
        self.outputs = {each.name: each for each in self.session.get_outputs()}

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Floats]:
        values = self.session.run(None, {name: feeds[name] for name in self.inputs})
        return dict(zip(self.outputs, values, strict=True))

    def nothing_past(self, rows: int, places: int = 0) -> dict[str, Floats]:
        """An empty cache."""
        return {
            name: np.zeros((rows, each.shape[1], places, each.shape[3]), np.float32)
            for name, each in self.inputs.items()
            if name.startswith("past_key_values.")
        }


def past_of(found: Mapping[str, Floats]) -> dict[str, Floats]:
    """The cache after a step."""
    return {
        name.replace("present.", "past_key_values."): value
        for name, value in found.items()
        if name.startswith("present.")
    }


def wanted_logits(model: Any, ids: Ids) -> Floats:
    """The model's own logits of one row, all at once: (tokens, vocabulary)."""
    with torch.no_grad():
        output = model(input_ids=torch.from_numpy(ids)[None], use_cache=False)
    logits: Floats = output.logits[0].float().numpy()
    return logits
