"""What an exported model's record says, read off the model in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.export_folder import ExportRecord, Family
from tinyforge.tasks.tokens import pad_id

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

GRAPHS: dict[Family, dict[str, str]] = {
    "encoder": {"model": "model.onnx"},
    "encoder-decoder": {"encoder": "encoder.onnx", "decoder": "decoder.onnx"},
    "decoder": {"decoder": "model.onnx"},
}
"""Role to file, by family."""


def describe(model: TorchModel) -> ExportRecord:
    """The record of a model before its graphs are written; the cache is filled in later."""
    family: Family = "encoder" if model.task.name == "classify" else model.task.family
    return ExportRecord(
        task=model.task.state(),
        family=family,
        graphs=GRAPHS[family],
        precision="fp32",
        config=_config(model),
        tokens=_tokens(model.tokenizer),
        generation=model.settings.model_dump(mode="json", exclude_unset=True),
        source=model.name,
        weights=model.hash,
        parameters=model.parameters,
    )


def _config(model: TorchModel) -> dict[str, Any]:
    """What tokenizing and generating need, as the PyTorch backend reads it."""
    config = model.model.config
    generation = getattr(model.model, "generation_config", None)
    start = getattr(generation, "decoder_start_token_id", None)
    if start is None:
        start = getattr(config, "decoder_start_token_id", None)
    return {
        "model_type": config.model_type,
        "vocab_size": int(model.model.get_input_embeddings().weight.shape[0]),
        "pad_token_id": pad_id(model.tokenizer, config),
        "bos_token_id": getattr(config, "bos_token_id", None),
        "eos_token_id": _ends(
            getattr(config, "eos_token_id", None), getattr(generation, "eos_token_id", None)
        ),
        # Where the template's turns end for the task, as in training: the config's alone.
        "own_eos_token_id": _ends(getattr(config, "eos_token_id", None)),
        "decoder_start_token_id": start,
        "max_positions": model.max_positions,
        "num_labels": len(model.labels) or None,
    }


def _ends(*named: Any) -> int | list[int] | None:
    """Every end token that the configs name, in order; chat models often have several."""
    listed: Iterable[Any] = (
        i for each in named for i in (each if isinstance(each, list | tuple) else [each])
    )
    found = list(dict.fromkeys(int(i) for i in listed if i is not None))
    return found[0] if len(found) == 1 else found or None


def _tokens(tokenizer: Any) -> dict[str, Any]:
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    template = tokenizer.chat_template
    return {
        **{name: getattr(tokenizer, name, None) for name in names},
        "chat_template": template if isinstance(template, str) else _default(template),
        "post_processor": True,  # ``files`` makes sure of it
    }


def _default(templates: Any) -> str | None:
    """A tokenizer may have several named templates, of which one is used unasked."""
    return templates.get("default") if isinstance(templates, dict) else None
