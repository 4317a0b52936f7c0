"""Whether a GGUF file holds the source: its vocabulary, its special tokens, its numbers.

llama.cpp is no part of TinyForge, so the file is read back by the packages ``gguf`` and
transformers, which turns its blocks into numbers again as llama.cpp does.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinyforge.errors import MissingPackageError
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.inference.modes import plain_model
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.quiet import quiet

NAME = "reading"

PREFIX = "tokenizer.ggml."


def check_gguf(source: TorchModel, path: Path) -> Check:
    """Compare the tokenizer in a GGUF file with the source's.

    Raises:
        MissingPackageError: the package gguf is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise MissingPackageError("gguf", needed_for="GGUF", extra="onnx") from error
    try:
        reader = gguf.GGUFReader(str(path))
        problem = next(_problems(source, reader), "")
        tensors = len(reader.tensors)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # a damaged file may raise anything
        text = " ".join(str(error).split())[:300] or type(error).__name__
        return failed("files", f"the GGUF file cannot be read: {text}")
    if problem:
        return failed(NAME, f"the GGUF file does not hold the source's tokenizer: {problem}")
    return Check(
        NAME, True, "its vocabulary, special tokens and template are the source's",
        {"tensors": tensors},
    )  # fmt: skip


def open_gguf(source: TorchModel, path: Path) -> TorchModel:
    """The model in a GGUF file, with the source's tokenizer, whose ids the file shares."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # it draws a bar
        model = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, local_files_only=True, dtype=torch.float32
        )
    return TorchModel.from_loaded(
        model.eval(), source.tokenizer, source.task, name=str(path), path=None,
        settings=source.settings,
    )  # fmt: skip


def _problems(source: TorchModel, reader: Any) -> Iterator[str]:
    tokenizer = source.tokenizer
    tokens = _value(reader, PREFIX + "tokens") or []
    rows = int(plain_model(source.model).get_input_embeddings().weight.shape[0])
    if len(tokens) != rows:
        yield f"it has {len(tokens):,} tokens, and the model {rows:,}"
    for token, place in tokenizer.get_vocab().items():
        if place >= len(tokens) or tokens[place] != token:
            there = tokens[place] if place < len(tokens) else None
            yield f"the token {place} is {there!r} instead of {token!r}"
            break
    for name in ("bos", "unk"):
        there = _value(reader, f"{PREFIX}{name}{'known' if name == 'unk' else ''}_token_id")
        ours = getattr(tokenizer, f"{name}_token_id", None)
        if there is not None and ours is not None and int(there) != ours:
            yield f"its {name} token is {there} instead of {ours}"
    end = _value(reader, PREFIX + "eos_token_id")
    ends = source.task.end_ids
    if end is None or int(end) not in ends:
        yield f"its end token is {end} instead of {ends[0]}"
    template = tokenizer.chat_template
    if isinstance(template, str) and _value(reader, "tokenizer.chat_template") != template:
        yield "its chat template is another one"


def _value(reader: Any, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else field.contents()
