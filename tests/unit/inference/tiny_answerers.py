"""Tiny random models with the shapes of well-known ones, and tasks for them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from tinyforge.config.settings import Settings
from tinyforge.inference.torch_model import TorchModel
from tinyforge.tasks import build_task

PAIRS = [
    ("reverse: a b c", "c b a"),
    ("reverse: the cat", "cat the"),
    ("reverse: you are how", "how are you. fine"),
]


def make(task: str, model: Any, tokenizer: Any, **options: Any) -> TorchModel:
    """A model with a task built from default settings."""
    given = {name: options.pop(name) for name in ("labels", "multi_label") if name in options}
    built = build_task(
        task, tokenizer=tokenizer, config=model.config, settings=Settings(**options), **given
    )
    return TorchModel.from_loaded(model, tokenizer, built)


def gpt2(tokenizer: Any, *, positions: int = 64, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=positions, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def llama(tokenizer: Any, *, positions: int = 96, width: int = 32) -> Any:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=positions,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def bert(tokenizer: Any, labels: int) -> Any:
    torch.manual_seed(4)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=32, num_labels=labels, initializer_range=0.5,
        pad_token_id=0,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()
