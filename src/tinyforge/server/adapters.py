"""Where a served model comes from: a folder, a hub id, or a base model and an adapter over it."""

from __future__ import annotations

from typing import Any

from tinyforge.server.versions import parts_of


def open_place(place: str) -> Any:
    """The model of a place.

    Of several ``BASE+ADAPTER`` with one base, and of the base itself, the weights that they have
    in common are in memory once.

    Args:
        place: a run folder, an exported folder, a Hugging Face folder, a hub id, or
            ``BASE+ADAPTER`` of these.

    Raises:
        TinyForgeError: as ``recipes.load.load`` and ``recipes.load_adapter.load_adapter``.
    """
    from tinyforge.recipes.load import load
    from tinyforge.recipes.load_adapter import load_adapter, share_with_others

    parts = parts_of(place)
    if len(parts) > 1:
        return load_adapter(*parts)
    model = load(place)
    share_with_others(model)
    return model
