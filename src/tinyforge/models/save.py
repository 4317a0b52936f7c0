"""A model folder that plain ``from_pretrained`` loads, with what TinyForge needs beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyforge.errors import FolderError
from tinyforge.models.folder import TASK_FILE as TASK_FILE
from tinyforge.models.lora import is_adapted, merge
from tinyforge.models.quiet import quiet

ADAPTER = "adapter"
MAX_NEW_TOKENS = 128
"""Tokens that the saved model writes at most where nobody says otherwise."""

_IDS = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


def save_model(
    model: Any,
    tokenizer: Any,
    folder: Path,
    task_state: dict[str, Any],
    *,
    max_new_tokens: int | None = None,
) -> None:
    """Saves weights (safetensors), config, tokenizer, generation config and the task's state.

    With adapters, the adapter is saved in ``folder/adapter`` and the merged model at the top; the
    given model is left as it is.

    Args:
        task_state: JSON-able; written to ``folder/tinyforge/task.json``.
        max_new_tokens: length limit for the saved generation config; default: what the task's
            state says.

    Raises:
        FolderError: the folder cannot be written.
    """
    from safetensors import SafetensorError

    folder = Path(folder)
    plain = merge(model)
    most = max_new_tokens or task_state.get("max_new_tokens")
    try:
        (folder / TASK_FILE).parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            if is_adapted(model):
                model.save_pretrained(str(folder / ADAPTER), save_embedding_layers=False)
                # peft writes a model card full of blanks.
                (folder / ADAPTER / "README.md").unlink(missing_ok=True)
            _save_plain(plain, folder, most)
            tokenizer.save_pretrained(str(folder))
        text = json.dumps(task_state, ensure_ascii=False, indent=2, sort_keys=True)
        (folder / TASK_FILE).write_text(text + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise FolderError(
            "the model cannot be saved",
            where=str(folder),
            value=getattr(error, "strerror", None) or str(error),
            fix="Free space on the disk, or give another --output",
        ) from error


def _save_plain(model: Any, folder: Path, max_new_tokens: int | None) -> None:
    generation = getattr(model, "generation_config", None)
    tied = model.config.tie_word_embeddings
    if model.can_generate() and generation is not None:
        model.generation_config = generation_config(model, max_new_tokens)
    if _own_t5_head(model):
        model.config.tie_word_embeddings = False
    try:
        model.save_pretrained(str(folder), max_shard_size="5GB")
    finally:
        model.generation_config = generation
        model.config.tie_word_embeddings = tied


def _own_t5_head(model: Any) -> bool:
    """Whether this is a T5 1.1, such as flan-T5, whose output head is not the embeddings.

    transformers 5 writes for it that the two were tied, which other programs would believe.
    """
    if getattr(model.config, "scale_decoder_outputs", None) is not False:
        return False
    head = model.get_output_embeddings()
    return head is not None and head.weight is not model.get_input_embeddings().weight


def generation_config(model: Any, max_new_tokens: int | None = None) -> Any:
    """A greedy generation config with the model's token ids and nothing else.

    Sampling or beam settings of the base model are left out: they were chosen for other answers,
    and some contradict each other.
    """
    from transformers import GenerationConfig

    old = model.generation_config
    ids = {name: getattr(old, name, None) for name in _IDS}
    for name in _IDS:
        if ids[name] is None:
            ids[name] = getattr(model.config, name, None)
    kept = {name: value for name, value in ids.items() if value is not None}
    return GenerationConfig(max_new_tokens=max_new_tokens or MAX_NEW_TOKENS, **kept)
