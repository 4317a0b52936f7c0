"""Tiny models of every architecture, built in code and saved as folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import constants
from transformers import PreTrainedTokenizerFast

from tinyforge.models.quiet import quiet
from tinyforge.text.tokenizer_training import train_tokenizer

WORDS = [
    *("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "while", "seven"),
    *("wizards", "mix", "pale", "jugs", "of", "vodka"),
]
TEXTS = [" ".join(WORDS[i:] + WORDS[:i]) + f" {i}" for i in range(len(WORDS))] * 3


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty Hugging Face cache, and offline mode; returns the cache."""
    cache = tmp_path / "hf-cache"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture(scope="session")
def texts() -> Callable[[], list[str]]:
    return lambda: TEXTS


def _sizes(kind: str) -> dict[str, Any]:
    if kind == "t5":
        return {"d_model": 32, "d_ff": 64, "num_heads": 2, "d_kv": 16, "num_layers": 2}
    if kind == "distilbert":
        return {"dim": 32, "hidden_dim": 64, "n_heads": 2, "n_layers": 2}
    if kind == "gpt2":
        return {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    if kind in ("llama", "gemma2"):
        sizes["num_key_value_heads"] = 1
    if kind == "gemma2":
        sizes["head_dim"] = 16
    if kind == "roberta":
        sizes["type_vocab_size"] = 1
    return sizes


FAMILIES = {
    "t5": "encoder-decoder",
    "bert": "encoder",
    "distilbert": "encoder",
    "roberta": "encoder",
    "gpt2": "decoder",
    "llama": "decoder",
    "gemma2": "decoder",
}
CLASSES = {
    "t5": "T5ForConditionalGeneration",
    "bert": "BertModel",
    "distilbert": "DistilBertForMaskedLM",
    "roberta": "RobertaForMaskedLM",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
}


def _config_class(kind: str) -> Any:
    return type(transformers.AutoConfig.for_model(kind))


def _build(kind: str, folder: Path, class_name: str | None = None, **options: Any) -> Path:
    family = FAMILIES[kind]
    tokenizer: Any = train_tokenizer(
        TEXTS, "wordpiece" if family == "encoder" else "bpe", 300, family=family
    )
    if family == "decoder":  # as GPT-2 and stories260K: no padding token of its own
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            eos_token="<|endoftext|>",
            bos_token="<|endoftext|>",
        )
    ids = {
        "pad_token_id": None if family == "decoder" else tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if family == "encoder-decoder":
        ids["decoder_start_token_id"] = tokenizer.pad_token_id
    if kind == "roberta":
        ids["pad_token_id"] = 0
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        sizes = {**_sizes(kind), "vocab_size": len(tokenizer), **ids, **options}
        config = _config_class(kind)(**sizes)
        model = getattr(transformers, class_name or CLASSES[kind])(config)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Builds a tiny model in a folder of its own."""

    def make(kind: str, name: str = "model", **options: Any) -> Path:
        return _build(kind, tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """The folder of a tiny model, built once; do not change it."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            made[kind] = _build(kind, tmp_path_factory.mktemp("tiny") / kind)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def stories() -> Path:
    """The real pretrained Llama beside the checkout."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "models" / "stories260K"
    if not folder.is_dir():
        pytest.skip("needs ../shared/models/stories260K beside the checkout")
    return folder


def inputs(family: str, vocabulary: int = 250) -> dict[str, torch.Tensor]:
    """Two rows of token ids that every tiny model can read."""
    ids = torch.arange(5, 5 + 12).reshape(2, 6) * 7 % vocabulary
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if family == "encoder-decoder":
        batch["decoder_input_ids"] = ids[:, :4]
    return batch


@pytest.fixture(scope="session")
def logits() -> Callable[[Any, str], torch.Tensor]:
    """The logits of a model in evaluation mode for fixed ids."""

    def run(model: Any, family: str) -> torch.Tensor:
        model.eval()
        with torch.no_grad():
            return model(**inputs(family)).logits

    return run
