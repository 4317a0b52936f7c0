"""Open an adapter over its base model, beside other adapters over the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyforge.artifacts.export_folder import is_export
from tinyforge.errors import ModelError


def load_adapter(base: str, adapter: str) -> Any:
    """A base model with an adapter on it; what the base has in common with others is shared.

    Its weights are in memory once, however many adapters over it are opened, and the base itself
    where ``share_with_others`` was called for it.

    Args:
        base: a run folder, a Hugging Face folder or a hub id.
        adapter: the folder of a run with ``--lora``, a folder that peft has saved, or a hub id.

    Returns:
        A ``TorchModel``; its hash is of base and adapter together.

    Raises:
        ModelError: there is no such base or adapter, or the adapter was trained on another base.
    """
    for place in (base, adapter):
        if is_export(Path(place)):
            raise ModelError(
                "adapters are put on PyTorch models, and this is an exported folder", where=place,
                fix="Give the model that it was exported from, or export the merged model",
            )  # fmt: skip

    import torch

    from tinyforge.inference.torch_model import TorchModel
    from tinyforge.models.adapters import open_adapter
    from tinyforge.models.folder import TASK_FILE, read_json
    from tinyforge.models.shared_base import adapter_in, check_base, share_base
    from tinyforge.models.source import local_folder, locate
    from tinyforge.models.tokens import lend_pad_token
    from tinyforge.tasks import guess_task, task_from_state

    location = locate(base, task="")
    folder = adapter_in(local_folder(locate(adapter, task="")))
    check_base(folder, local_folder(location), base)
    model, tokenizer, _ = open_adapter(folder, location, trust_remote_code=False, merged=False)
    lend_pad_token(model, tokenizer)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    share_base(model, local_folder(location))
    states = [p / TASK_FILE for p in (folder, folder.parent) if (p / TASK_FILE).is_file()]
    config = model.get_base_model().config
    task = (
        task_from_state(read_json(states[0]), tokenizer, config)
        if states
        else guess_task(config, tokenizer)
    )
    return TorchModel.from_loaded(model, tokenizer, task, name=f"{base}+{adapter}", path=folder)


def share_with_others(model: Any) -> None:
    """Let a plain model share its weights with adapters over it, opened before or after."""
    module, path = getattr(model, "model", None), getattr(model, "path", None)
    if hasattr(module, "named_parameters") and path is not None:
        from tinyforge.models.shared_base import share_base

        share_base(module, Path(path))
