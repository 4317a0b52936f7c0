"""Several adapters over one base model, whose weights are in memory once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tinyforge.artifacts.files import sha256
from tinyforge.errors import ModelError
from tinyforge.models.adapters import base_of
from tinyforge.models.folder import ADAPTER_WEIGHTS, TASK_FILE, is_adapter, weight_files
from tinyforge.models.save import ADAPTER

OTHER = 0.5
"""Share of the numbers that an adapter leaves alone of which a model that differs in so many is
another one. A few may differ: the rows of tokens that were new in training."""

_users: dict[str, weakref.WeakSet[Any]] = {}
_lock = threading.Lock()


def adapter_in(folder: Path) -> Path:
    """Where the adapter is: the folder itself, or a run's ``adapter``; raises ModelError."""
    for place in (folder, folder / ADAPTER):
        if is_adapter(place):
            return place
    raise ModelError(
        "there is no adapter here (adapter_config.json)", where=str(folder),
        fix="Give the folder of a run with --lora, or one that peft has saved",
    )  # fmt: skip


def check_base(adapter: Path, base: Path, name: str) -> None:
    """Refuse a base model that an adapter was not trained on.

    The merged model beside the adapter tells it best: what the adapter leaves alone must be the
    base's. Without one, the base that the adapter names must be this one, by its name or content.

    Args:
        name: what the user called the base.

    Raises:
        ModelError: it is another model, or nothing tells.
    """
    said, _ = base_of(adapter)
    beside = adapter.parent
    if (beside / TASK_FILE).is_file() and (beside / "config.json").is_file():
        share = _differing(base, beside, adapter)
        if share is not None:
            if share > OTHER:
                raise _wrong(adapter, name, said)
            return
    if said == name or (Path(said).is_dir() and _content(Path(said)) == _content(base)):
        return
    raise _wrong(adapter, name, said)


def share_base(model: Any, base: Path) -> int:
    """Let a model use the base weights of others in memory that were read from the same folder.

    Only tensors that agree in every bit are shared, so that no answer changes. Whoever shares must
    not change weights in place.

    Returns:
        Bytes that are in memory once instead of twice.
    """
    saved = 0
    with _lock:
        users = _users.setdefault(str(base.resolve()), weakref.WeakSet())
        known: dict[str, torch.Tensor] = {}
        for user in users:
            known = {**dict(_tensors(user)), **known}
        for name, tensor in _tensors(model):
            twin = known.get(name)
            if twin is None or twin.data_ptr() == tensor.data_ptr():
                continue
            if twin.dtype == tensor.dtype and torch.equal(twin, tensor):
                tensor.data = twin.data
                saved += tensor.numel() * tensor.element_size()
        users.add(model)
    return saved


def _tensors(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """A model's tensors by the names that they have without an adapter."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name, tensor in (*plain.named_parameters(), *plain.named_buffers()):
        if "lora_" not in name and "modules_to_save" not in name:
            yield name.replace(".base_layer", "").replace(".original_module", ""), tensor


def _differing(base: Path, merged: Path, adapter: Path) -> float | None:
    """The share of numbers, among those that the adapter leaves alone, in which two models differ.

    None: there is nothing to compare.
    """
    from safetensors import safe_open

    touched = _touched(adapter / ADAPTER_WEIGHTS)
    files = {name: path for path in weight_files(merged) for name in _names(path)}
    count = different = 0
    for path in weight_files(base):
        with safe_open(str(path), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                twin = _twin(name, files)
                if twin is None or twin.rpartition(".")[0] in touched:
                    continue
                with safe_open(str(files[twin]), framework="pt") as other:
                    mine, its = opened.get_tensor(name), other.get_tensor(twin)
                if mine.shape == its.shape:
                    count += mine.numel()
                    different += int((mine.to(its.dtype) != its).sum())
    return different / count if count else None


def _twin(name: str, files: dict[str, Path]) -> str | None:
    """The same weight in a model that may have a head around it."""
    if name in files:
        return name
    return next((other for other in files if other.endswith(f".{name}")), None)


def _touched(path: Path) -> set[str]:
    """The modules that an adapter changes or brings."""
    found = set()
    for name in _names(path):
        module = name.removeprefix("base_model.model.")
        found.add(
            module.partition(".lora_")[0] if ".lora_" in module else module.rpartition(".")[0]
        )
    return found


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as opened:
        return list(opened.keys())


def _content(folder: Path) -> list[str]:
    return [sha256(path) for path in weight_files(folder)]


def _wrong(adapter: Path, name: str, said: str) -> ModelError:
    return ModelError(
        f"the adapter was trained on {said}, which is not this base", where=str(adapter),
        value=name, fix="Give the base model that it was trained on",
    )  # fmt: skip
