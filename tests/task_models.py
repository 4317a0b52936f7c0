"""Tiny random models and tokenizers of well-known architectures, for the tests of the tasks."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "reverse: how are you doing today",
    "the cat sat on the mat and the dog lay by the door",
    "what is your name? i am a small bot. see you soon! goodbye, i answer questions.",
    "### User: hello ### Assistant: good morning",
]
VOCABULARY = 120


@cache
def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=110, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return tokenizer


def t5_tokenizer(*, appends_end: bool = True) -> Any:
    """SentencePiece-like, ``</s>`` after every text."""
    tokenizer = Tokenizer.from_str(_unigram().to_str())
    if appends_end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@cache
def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<end>", "<start>", "<|turn|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def gpt_tokenizer(*, start: bool = False, pad: bool = True) -> Any:
    """Byte-level; with ``start``, a start token stands before every text, as Llama has it."""
    tokenizer = Tokenizer.from_str(_byte_level().to_str())
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<start> $A", special_tokens=[("<start>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",
        pad_token="<pad>" if pad else "<end>",
        **({"bos_token": "<start>"} if start else {}),
        additional_special_tokens=["<|turn|>"],
    )


@cache  # training breaks ties by chance
def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        SENTENCES, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def bert_tokenizer() -> Any:
    """WordPiece, ``[CLS]`` before and ``[SEP]`` after every text."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_wordpiece().to_str()),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
    )


def _llama_like(**more: Any) -> dict[str, Any]:
    return {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
        **more,
    }


def _gemma2() -> Any:
    return transformers.Gemma2Config(
        **_llama_like(head_dim=8, query_pre_attn_scalar=8, sliding_window=4),
        final_logit_softcapping=0.5,
        attn_logit_softcapping=5.0,
        layer_types=["sliding_attention", "full_attention"],
    )


def _gemma3() -> Any:
    return transformers.Gemma3TextConfig(
        **_llama_like(head_dim=8, query_pre_attn_scalar=8, sliding_window=4),
        layer_types=["sliding_attention", "full_attention"],
    )


def _gpt2() -> Any:
    return transformers.GPT2Config(
        vocab_size=300, n_positions=128, n_embd=32, n_layer=2, n_head=4,
        bos_token_id=1, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip


def _t5(**more: Any) -> Any:
    return transformers.T5Config(
        vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **more,
    )  # fmt: skip


def _bart() -> Any:
    return transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48,
        decoder_ffn_dim=48, max_position_embeddings=64, pad_token_id=0, bos_token_id=1,
        eos_token_id=1, decoder_start_token_id=1, forced_eos_token_id=1,
    )  # fmt: skip


def _bert() -> Any:
    return transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48,
    )  # fmt: skip


def _distilbert() -> Any:
    return transformers.DistilBertConfig(
        vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48
    )


CONFIGS = {
    "t5-tied": _t5,
    "t5-untied": lambda: _t5(tie_word_embeddings=False, feed_forward_proj="gated-gelu"),
    "bart": _bart,
    "gpt2": _gpt2,
    "llama": lambda: transformers.LlamaConfig(**_llama_like()),
    "llama-tied": lambda: transformers.LlamaConfig(**_llama_like(tie_word_embeddings=True)),
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "cohere": lambda: transformers.CohereConfig(**_llama_like(logit_scale=0.25)),
    "granite": lambda: transformers.GraniteConfig(**_llama_like(logits_scaling=4.0)),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=300, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=1,
        eos_token_id=1,
    ),
    "bert": _bert,
    "distilbert": _distilbert,
}  # fmt: skip
DECODERS = ("gpt2", "llama", "llama-tied", "gemma2", "cohere", "granite", "opt")
ENCODER_DECODERS = ("t5-tied", "t5-untied", "bart")
ENCODERS = ("bert", "distilbert")


def language_model(name: str, *, dropout: float = 0.0, **more: Any) -> Any:
    """A random model with a language-modelling head, the same one each time; logits not tiny."""
    config = CONFIGS[name]()
    for field in ("dropout_rate", "dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop",
                  "attention_dropout", "activation_dropout"):  # fmt: skip
        if hasattr(config, field):
            setattr(config, field, dropout)
    torch.manual_seed(0)
    auto = (
        transformers.AutoModelForSeq2SeqLM
        if name in ENCODER_DECODERS
        else transformers.AutoModelForCausalLM
    )
    model = auto.from_config(config, **more)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return model


def classifier(name: str, labels: int, *, multi_label: bool = False) -> Any:
    """A random sequence classifier without dropout."""
    config = CONFIGS[name]()
    config.num_labels = labels
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    config.problem_type = kind
    for field in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout",
                  "attention_dropout", "seq_classif_dropout", "resid_pdrop", "embd_pdrop",
                  "attn_pdrop"):  # fmt: skip
        if hasattr(config, field):
            setattr(config, field, 0.0)
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_config(config)
