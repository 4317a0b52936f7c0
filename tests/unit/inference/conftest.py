"""Tiny models of every family, built in code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_answerers import PAIRS, bert, gpt2, llama, make
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

TEXTS = [
    "the cat sat on the mat, and the dog sat on the log.",
    "how are you doing today? i'm fine - thanks!",
    "naïve café, straße, 東京 and 🐕‍🦺 are words too\n\twith tabs  and   spaces",
    "def f(x):\n    return x + 1",
]


@pytest.fixture(scope="session")
def byte_tokenizer() -> Any:
    """Byte-level BPE, as GPT-2 has it: every text can be written, characters span tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|end|>", pad_token="<|pad|>"
    )


@pytest.fixture(scope="session")
def piece_tokenizer() -> Any:
    """Unigram pieces with ▁ for spaces, as T5 has it; ends every text with </s>."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=160,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS + [word for pair in PAIRS for word in pair], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def fallback_tokenizer() -> Any:
    """▁ pieces with byte fallback and a dropped first space, as Llama has it."""
    words = ["▁the", "▁cat", "▁", "s", "a", "t", "e", "▁on", ".", "i", "n", "d", "o", "g"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *words]
    tokenizer = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(vocabulary)}, [], unk_token="<unk>",
            byte_fallback=True, fuse_unk=True,
        )
    )  # fmt: skip
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="</s>",
    )  # fmt: skip


@pytest.fixture(scope="session")
def continuer(byte_tokenizer: Any) -> TorchModel:
    """A GPT-2 that continues text, with 64 learned positions."""
    return make("language-model", gpt2(byte_tokenizer), byte_tokenizer)


@pytest.fixture(scope="session")
def chatter(byte_tokenizer: Any) -> TorchModel:
    """A Llama that chats."""
    tokenizer = copy.deepcopy(byte_tokenizer)  # the task gives it a chat template
    return make("instruct", llama(tokenizer), tokenizer)


@pytest.fixture(scope="session")
def wide_chatter(byte_tokenizer: Any) -> TorchModel:
    """A Llama that chats, with heads wide enough for a cache that is written to in place."""
    tokenizer = copy.deepcopy(byte_tokenizer)
    return make("instruct", llama(tokenizer, width=64), tokenizer)


@pytest.fixture(scope="session")
def reverser(piece_tokenizer: Any) -> TorchModel:
    """A T5 that has learnt three pairs by heart."""
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(piece_tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    answerer = make("text2text", model, piece_tokenizer)
    batch = answerer.task.collate(
        answerer.task.encode([Example(input=question, output=answer) for question, answer in PAIRS])
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(120):
        optimizer.zero_grad()
        answerer.task.loss(model, batch).backward()
        optimizer.step()
    model.eval()
    return answerer


@pytest.fixture(scope="session")
def classifier(piece_tokenizer: Any) -> TorchModel:
    """A BERT with three labels and 32 positions."""
    return make(
        "classify", bert(piece_tokenizer, 3), piece_tokenizer, labels=("bad", "good", "so-so")
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[TorchModel], Path]:
    """Model -> the folder of its graphs in float32, written once."""
    folders: dict[int, Path] = {}

    def folder(model: TorchModel) -> Path:
        pytest.importorskip("onnx", reason="needs tinyforge[onnx]")
        from tinyforge.export.graphs import write_graphs

        if id(model) not in folders:
            folders[id(model)] = tmp_path_factory.mktemp("exported")
            write_graphs(model, folders[id(model)])
        return folders[id(model)]

    return folder


@pytest.fixture(scope="session")
def opened(exported: Callable[[TorchModel], Path]) -> Iterator[Callable[..., Any]]:
    """Model -> its export on one thread, opened once; with options of ``load``, opened anew."""
    from tinyforge.inference.onnx.model import OnnxModel

    plain: dict[int, OnnxModel] = {}
    others: list[OnnxModel] = []

    def load(model: TorchModel, **options: Any) -> OnnxModel:
        if not options and id(model) in plain:
            return plain[id(model)]
        found = OnnxModel.load(exported(model), threads=1, **options)
        if options:
            others.append(found)
        else:
            plain[id(model)] = found
        return found

    yield load
    for model in [*plain.values(), *others]:
        model.close()
