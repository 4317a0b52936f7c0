"""A Hugging Face cache in which well-known names are tiny random models of the same architecture.

The documentation names real models of the hub, and its blocks are run without a network. What such
a model answers is therefore nonsense; that it is found, trained, saved and asked is not.

``python tests/docs/hub_cache.py FOLDER`` makes one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tinyforge.models.quiet import quiet
from tinyforge.text.tokenizer_training import train_tokenizer

VOCABULARY = 1_000
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_hub_cache(home: Path) -> Path:
    """Write the models below ``home``, which is then an ``HF_HOME``; a second call changes nothing.

    Each repository has one commit, so that ``revision="main"`` and no revision find it.
    """
    made: dict[Callable[[Path], None], Path] = {}
    for name, save in MODELS.items():
        repository = home / "hub" / f"models--{name.replace('/', '--')}"
        if repository.is_dir():
            continue
        commit = hashlib.sha1(name.encode()).hexdigest()
        snapshot = repository / "snapshots" / commit
        if save in made:
            shutil.copytree(made[save], snapshot)
        else:
            snapshot.mkdir(parents=True)
            save(snapshot)
            made[save] = snapshot
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    return home


def _texts() -> list[str]:
    return [topics[name][:4_000] for name in sorted(topics)[:24]]


def _save(kind: str, class_name: str, tokenizer: Any, folder: Path, **sizes: Any) -> None:
    import torch
    import transformers

    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    config = type(transformers.AutoConfig.for_model(kind))(**{**ids, **sizes})
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, class_name)(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _distilbert(folder: Path) -> None:
    tokenizer = train_tokenizer(
        _texts(), "wordpiece", VOCABULARY, family="encoder", lowercase=True, max_length=512
    )
    _save(
        "distilbert", "DistilBertForMaskedLM", tokenizer, folder,
        dim=32, hidden_dim=64, n_layers=2, n_heads=2,
    )  # fmt: skip


def _minilm(folder: Path) -> None:
    tokenizer = train_tokenizer(
        _texts(), "wordpiece", VOCABULARY, family="encoder", lowercase=True, max_length=512
    )
    _save(
        "bert", "BertModel", tokenizer, folder,
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    )  # fmt: skip
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    parts = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1, "name": "1", "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]  # fmt: skip
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "modules.json").write_text(json.dumps(parts), encoding="utf-8")


def _t5_tokenizer() -> Any:
    return train_tokenizer(
        _texts(), "unigram", VOCABULARY, family="encoder-decoder", sentinels=100, max_length=512
    )


def _t5(folder: Path) -> None:
    _save("t5", "T5ForConditionalGeneration", _t5_tokenizer(), folder, **T5_SIZES)


def _flan_t5(folder: Path) -> None:
    _save(
        "t5", "T5ForConditionalGeneration", _t5_tokenizer(), folder,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, **T5_SIZES,
    )  # fmt: skip


def _gpt2(folder: Path) -> None:
    tokenizer = train_tokenizer(_texts(), "bpe", VOCABULARY, max_length=1_024)
    _save("gpt2", "GPT2LMHeadModel", tokenizer, folder, n_embd=32, n_layer=2, n_head=2)


def _smollm2(folder: Path) -> None:
    tokenizer = train_tokenizer(_texts(), "bpe", VOCABULARY, max_length=8_192)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = CHAT_TEMPLATE
    _save(
        "llama", "LlamaForCausalLM", tokenizer, folder,
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=2_048, tie_word_embeddings=True,
    )  # fmt: skip


T5_SIZES = {
    "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0,
}  # fmt: skip

MODELS: dict[str, Callable[[Path], None]] = {
    "distilbert-base-uncased": _distilbert,
    "distilbert/distilbert-base-uncased": _distilbert,
    "sentence-transformers/all-MiniLM-L6-v2": _minilm,
    "t5-small": _t5,
    "google-t5/t5-small": _t5,
    "google/flan-t5-small": _flan_t5,
    "gpt2": _gpt2,
    "openai-community/gpt2": _gpt2,
    "HuggingFaceTB/SmolLM2-135M-Instruct": _smollm2,
}
"""Hub id to what writes the model's folder."""

if __name__ == "__main__":
    make_hub_cache(Path(sys.argv[1]))
