"""Dropout of every layer, whatever an architecture calls it."""

from __future__ import annotations

from typing import Any

from tinyforge.errors import SettingError


def dropout_fields(config: Any) -> list[str]:
    """The names of a config's dropout rates."""
    return [
        name
        for name, value in config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop"))
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    ]


def set_dropout(config: Any, rate: float) -> None:
    """Sets all dropout rates of a Hugging Face config.

    Raises:
        SettingError: the architecture has no dropout.
    """
    text = config.get_text_config()
    found = False
    for part in [config] if text is config else [config, text]:
        for name in dropout_fields(part):
            setattr(part, name, rate)
            found = True
    if not found:
        raise SettingError(
            f"a {config.model_type} model has no dropout to set",
            where="model.dropout",
            value=rate,
            fix="Leave the setting out",
        )
