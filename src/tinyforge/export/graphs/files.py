"""The tokenizer and the configs beside the graphs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import disk_errors, write_text
from tinyforge.errors import ModelError
from tinyforge.models.quiet import quiet
from tinyforge.models.save import generation_config
from tinyforge.tasks.tokens import affixes, token_ids

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

TOKENIZER = "tokenizer.json"

SAMPLES = (
    "The cat sat on the mat.",
    "  Two  spaces,\ttabs\nand lines\r\n",
    "naïve café, Straße, ÀÉÎ, 東京, Ω≈ç√, 🐕‍🦺!",
    "def f(x):\n    return x**2 + 1  # 3.14159",
    "I'm don't we've $1,234.50 <b>a@b.c</b> [SEP] </s> <pad>",
    "",
)
"""Texts on which the tokenizer that is shipped has to agree with the one that the model has."""


def write_files(model: TorchModel, folder: Path) -> None:
    """``tokenizer.json`` and the other files of a tokenizer, config and generation config.

    Raises:
        ModelError: the tokenizer has no fast form, or its fast form encodes otherwise.
        FolderError: the folder cannot be written.
    """
    content = fast_tokenizer(model.tokenizer)
    plain = model.model
    config = copy.deepcopy(plain.config)
    config.architectures = [type(plain).__name__]
    with quiet(), disk_errors(folder):
        model.tokenizer.save_pretrained(str(folder))
        config.save_pretrained(str(folder))
        if plain.can_generate() and getattr(plain, "generation_config", None) is not None:
            most = model.task.state().get("max_new_tokens")
            generation_config(plain, most).save_pretrained(str(folder))
        write_text(folder / TOKENIZER, content)


def fast_tokenizer(tokenizer: Any) -> str:
    """The content of a ``tokenizer.json`` that alone encodes as the tokenizer does.

    Cutting and padding are left out, which callers do themselves. A post-processor that puts
    other tokens around a text than the tokenizer itself is replaced.

    Raises:
        ModelError: there is none.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            "the model's tokenizer has no fast form (tokenizer.json), which answering without "
            "transformers needs",
            value=type(tokenizer).__name__,
            fix="Save the model with a fast tokenizer, for example with "
            "AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)",
        )  # fmt: skip
    alone = Tokenizer.from_str(backend.to_str())
    alone.no_truncation()
    alone.no_padding()
    if not _agree(tokenizer, alone, special=True):
        alone.post_processor = _template(tokenizer)
    for special in (False, True):
        if not _agree(tokenizer, alone, special=special):
            raise ModelError(
                "the model's tokenizer does more than its tokenizer.json says, so that it cannot "
                "be used without transformers",
                value=type(tokenizer).__name__, fix="Use a model with a plain fast tokenizer",
            )  # fmt: skip
    return _pretty(alone.to_str())


def _pretty(content: str) -> str:
    """Indented, as the package tokenizers writes it; keys keep their order."""
    return json.dumps(json.loads(content), ensure_ascii=False, indent=2) + "\n"


def _agree(tokenizer: Any, alone: Any, *, special: bool) -> bool:
    wanted = token_ids(tokenizer, SAMPLES, special=special)
    found = alone.encode_batch(list(SAMPLES), add_special_tokens=special)
    return [each.ids for each in found] == wanted


def _template(tokenizer: Any) -> Any:
    """A post-processor that puts around a text what the tokenizer does."""
    from tokenizers import processors

    before, after = affixes(tokenizer)
    names = {token: tokenizer.convert_ids_to_tokens(token) for token in before + after}
    single = [*(names[i] for i in before), "$A", *(names[i] for i in after)]
    return processors.TemplateProcessing(
        single=" ".join(single), special_tokens=[(name, i) for i, name in names.items()]
    )
