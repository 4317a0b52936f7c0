"""Tiny random models of every family as exported folders."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from tinyforge.config.settings import Settings
from tinyforge.export.graphs import write_graphs
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task

TEXTS = [
    "the cat sat on the mat, and the dog sat on the log.",
    "how are you doing today? i'm fine - thanks!",
    "my card has not arrived, where is it? please send another one",
    "naïve café, straße and 東京 are words too\n\twith tabs  and   spaces",
]
LABELS = ("card", "greeting", "other")

PAIRS = [
    Example(input=text, output=text[::-1][:30]) for each in TEXTS for text in (each, each[5:25])
]
"""Rows of every generating task."""

LABELLED = [Example(input=example.input, output=LABELS[i % 3]) for i, example in enumerate(PAIRS)]


def export(kind: str, folder: Path, spoil: Any = None) -> Path:
    """An exported folder of one tiny model; ``spoil`` is done to its weights first."""
    model = {"bert": _bert, "t5": _t5, "gpt2": _gpt2, "llama": _llama}[kind]()
    if spoil is not None:
        spoil(model.model)
    write_graphs(model, folder)
    return folder


def rows(kind: str) -> list[Example]:
    """Rows for it."""
    return LABELLED if kind == "bert" else PAIRS


def _make(task: str, model: Any, tokenizer: Any, labels: tuple[str, ...] = ()) -> TorchModel:
    built = build_task(
        task, tokenizer=tokenizer, config=model.config, settings=Settings(), labels=labels
    )
    return TorchModel.from_loaded(model.eval(), tokenizer, built)


def _byte_tokenizer() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|end|>", "<|pad|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|end|>", pad_token="<|pad|>"
    )


def _piece_tokenizer() -> Any:
    # Not trained: the trainer adds in parallel, so that ties fall otherwise from run to run, and
    # with other ids the random model is another one.
    words = sorted({f"▁{word}" for text in TEXTS for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    pieces = [(special, 0.0) for special in ("<pad>", "</s>", "<unk>")]
    pieces += [(letter, -6.0) for letter in letters] + [(word, -4.0) for word in words[::2]]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def _bert() -> TorchModel:
    tokenizer = _piece_tokenizer()
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=48, num_labels=3, initializer_range=0.15,
        pad_token_id=0,
    )  # fmt: skip
    return _make("classify", BertForSequenceClassification(config), tokenizer, LABELS)


def _t5() -> TorchModel:
    tokenizer = _piece_tokenizer()
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=64, d_kv=16, d_ff=96, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return _make("text2text", T5ForConditionalGeneration(config), tokenizer)


def _gpt2() -> TorchModel:
    tokenizer = _byte_tokenizer()
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=96, n_embd=64, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0, pad_token_id=1, initializer_range=0.2,
    )  # fmt: skip
    return _make("text2text", GPT2LMHeadModel(config), tokenizer)


def _llama() -> TorchModel:
    tokenizer = copy.deepcopy(_byte_tokenizer())
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=0, eos_token_id=0, pad_token_id=1, initializer_range=0.2,
        tie_word_embeddings=True,
    )  # fmt: skip
    return _make("text2text", LlamaForCausalLM(config), tokenizer)
