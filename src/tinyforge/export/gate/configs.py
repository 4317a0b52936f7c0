"""Whether ``config.json`` and ``generation_config.json`` say of the export what the source says.

The graphs run without them, but other programs believe them: transformers, llama.cpp's converter,
a page in a browser. So both are compared whole, but for what says how and with what they were
written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tinyforge.models.save import generation_config

if TYPE_CHECKING:
    from tinyforge.inference.torch_model import TorchModel

CONFIG, GENERATION = "config.json", "generation_config.json"

OF_THE_WRITING = {
    "_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version",
    "_from_model_config",
}  # fmt: skip
"""What says with what a file was written, or in which precision."""

TIES = "tie_word_embeddings"
"""transformers takes it back for a T5 with a head of its own; the weights say it anyway."""


def config_problems(source: TorchModel, folder: Path) -> Iterator[str]:
    """What the two files say otherwise than the source, a clause each."""
    own = source.model.config
    saved = _read(folder / CONFIG)
    if saved is None:
        yield f"{CONFIG} is missing or damaged"
        return
    if source.task.name == "classify" and "id2label" in saved:
        there = [str(label) for _, label in sorted(_numbered(saved["id2label"]))]
        if there != [str(label) for _, label in sorted(_numbered(own.id2label))]:
            yield f"{CONFIG} has other labels, or has them in another order"
    yield from _differing(CONFIG, own, saved)
    if not source.model.can_generate() or getattr(source.model, "generation_config", None) is None:
        return
    saved = _read(folder / GENERATION)
    if saved is None:
        yield f"{GENERATION} is missing or damaged"
        return
    wanted = generation_config(source.model, source.task.state().get("max_new_tokens"))
    yield from _differing(GENERATION, wanted, saved)


def plain_json(value: Any) -> Any:
    """As it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(value, default=str))


def _differing(file: str, wanted: Any, saved: dict[str, Any]) -> Iterator[str]:
    """Settings that differ; what the file leaves out has its usual value."""
    try:
        read = type(wanted).from_dict(saved)
    except Exception as error:  # transformers raises whatever it likes at a wrong value
        yield f"{file} cannot be read: {' '.join(str(error).split())[:200]}"
        return
    ours, theirs = (plain_json(each.to_dict()) for each in (wanted, read))
    for name in sorted({*ours, *theirs} - OF_THE_WRITING - {TIES}):
        ours_now, theirs_now = _settings(ours.get(name)), _settings(theirs.get(name))
        if ours_now != theirs_now:
            yield f"{file} says {name} {theirs_now} instead of {ours_now}"


def _settings(value: Any) -> Any:
    """A setting; where it is a config of a part, without what says how it was written."""
    if not isinstance(value, dict):
        return value
    return {name: _settings(each) for name, each in value.items() if name not in OF_THE_WRITING}


def _numbered(labels: Mapping[Any, Any]) -> list[tuple[int, str]]:
    return [(int(place), str(label)) for place, label in labels.items()]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
