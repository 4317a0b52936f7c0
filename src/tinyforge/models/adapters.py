"""Adapters on disk: put on their base model and merged into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyforge.errors import ModelError
from tinyforge.models import families, heads, tokens
from tinyforge.models.folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TOKENIZER_FILES,
    check_config,
    check_weights,
    is_adapter,
    read_json,
    weight_files,
)
from tinyforge.models.quiet import quiet
from tinyforge.models.source import Location, local_folder
from tinyforge.models.weights import read_config, read_model, refuse_missing


def base_of(folder: Path) -> tuple[str, str | None]:
    """The model that an adapter belongs to, and its revision; raises ModelError without one."""
    config = read_json(folder / ADAPTER_CONFIG)
    name, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not name:
        raise ModelError(
            "the adapter does not say which model it belongs to (base_model_name_or_path)",
            where=str(folder / ADAPTER_CONFIG),
            fix="Write the model's name there",
        )
    return str(name), str(revision) if revision else None


def open_adapter(
    folder: Path, base: Location, *, trust_remote_code: bool, merged: bool = True
) -> tuple[Any, Any, str]:
    """The plain model that an adapter and its base make, its tokenizer, and its family.

    Args:
        folder: holds ``adapter_config.json`` and ``adapter_model.safetensors``.
        merged: False: the base's weights stay as they are, so that other adapters may use them
            too; the model is peft's, with the adapter in its layers.

    Raises:
        ModelError: the adapter is pickled, damaged, of a kind that cannot be merged, or does not
            fit the base.
    """
    check_weights(weight_files(folder))
    base_folder = local_folder(base)
    if is_adapter(base_folder):
        raise ModelError("the adapter's base is an adapter itself", where=str(folder))
    raw = check_config(base_folder, trust_remote_code=trust_remote_code)
    family = families.family_of_config(raw, name=base.name)
    tokenizer = tokens.load_tokenizer(
        _tokenizer_folder(folder, base_folder), trust_remote_code=trust_remote_code
    )
    config = read_config(base_folder, trust_remote_code=trust_remote_code)
    shapes = _shapes(folder / ADAPTER_WEIGHTS)
    classes = [s[0] for key, s in shapes.items() if _is_head(key) and len(s) == 2]
    kind = str(read_json(folder / ADAPTER_CONFIG).get("task_type"))
    if kind == "SEQ_CLS":
        auto_class = families.training_class("classify", family)
    elif kind in ("CAUSAL_LM", "SEQ_2_SEQ_LM"):
        auto_class = families.training_class("", family)
    else:
        auto_class = families.answering_class(raw, family, name=base.name)
    if kind == "SEQ_CLS" and classes:
        _label(config, folder, classes[-1])
    read = read_model(
        auto_class,
        base_folder,
        config,
        trust_remote_code=trust_remote_code,
        other_head=bool(classes),
    )
    body = read.model.base_model_prefix + "."
    # The adapter brings a classifier's head, and a pooler that was new in training.
    brought = [k for k in read.missing if not k.startswith(body) or "pooler" in k]
    refuse_missing([k for k in read.missing if not classes or k not in brought], base_folder)
    model = _put_on(read.model, tokenizer, folder, set(shapes), merged=merged)
    return model, tokenizer, family


def _tokenizer_folder(folder: Path, base_folder: Path) -> Path:
    """Where the adapter's tokenizer is: with it, in the run folder around it, or with the base."""
    beside = [folder.parent] if (folder.parent / "tinyforge").is_dir() else []
    for place in (folder, *beside):
        if any((place / name).is_file() for name in TOKENIZER_FILES):
            return place
    return base_folder


def _put_on(base: Any, tokenizer: Any, folder: Path, stored: set[str], *, merged: bool) -> Any:
    from peft import PeftModel

    rows = tokens.highest_id(tokenizer) + 1
    try:
        with quiet():
            if rows > tokens.embedding_rows(base):
                tokens.grow_embeddings(base, rows)
            adapted = PeftModel.from_pretrained(base, str(folder), is_trainable=False)
            _check_keys(adapted, stored, folder)
            if merged:
                return adapted.merge_and_unload(safe_merge=True).requires_grad_(True)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            "the adapter does not fit its base model, or cannot be merged into it",
            where=str(folder),
            value=str(error).split("\n")[0],
            fix="Give the base model that it was trained on",
        ) from error
    if adapted.active_peft_config.is_prompt_learning:
        raise ModelError("an adapter of this kind is no part of the layers", where=str(folder))
    return adapted


def _shapes(path: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as opened:
        names = list(opened.keys())
        return {name: list(opened.get_slice(name).get_shape()) for name in names}


def _is_head(key: str) -> bool:
    parts = key.split(".")
    return parts[-1] == "weight" and any(p in ("classifier", "score") for p in parts)


def _label(config: Any, folder: Path, count: int) -> None:
    """Labels as in the merged model that TinyForge saves beside, else LABEL_0 and so on."""
    beside = folder.parent / "config.json"
    known = read_json(beside) if beside.is_file() else {}
    labels = heads.trained_labels(known) or []
    if len(labels) != count:
        labels = [f"LABEL_{i}" for i in range(count)]
    multi = known.get("problem_type") == "multi_label_classification"
    heads.set_labels(config, labels, multi_label=multi)


def _check_keys(adapted: Any, stored: set[str], folder: Path) -> None:
    from peft import get_peft_model_state_dict

    needed = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    lost = sorted(needed - stored) or sorted(
        key for key in stored - needed if "embed" not in key and "lm_head" not in key
    )
    if lost:
        raise ModelError(
            f"the adapter and its base model differ in {len(lost)} weights, the first {lost[0]}",
            where=str(folder),
            fix="Give the base model that it was trained on",
        )
