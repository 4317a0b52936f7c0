"""The options of an answer, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyforge.config.check import check_settings
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.config.load import load_settings
from tinyforge.errors import SettingError
from tinyforge.registry import suggest


def read_options(
    options: Mapping[str, Any], defaults: GenerateSettings, task: str
) -> GenerateSettings:
    """Settings from keywords on top of defaults. None means not given.

    Args:
        options: names of ``GenerateSettings`` to values; ``stop`` may be one string.
        defaults: what holds where no option says otherwise.
        task: the model's task.

    Raises:
        SettingError: an unknown option (with the nearest name), a value that is not allowed, or
            an option that has no effect on this task or beside the others.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return defaults
    for name in given:
        if name not in GenerateSettings.model_fields:
            raise SettingError(
                "unknown option", value=name, fix=suggest(name, GenerateSettings.model_fields)
            )
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    merged = {**defaults.model_dump(exclude_unset=True), **given}
    settings = load_settings(
        None, (), {f"generate.{name}": value for name, value in merged.items()}
    )
    check_settings(settings, task=task)
    _check_together(settings.generate)
    return settings.generate


def _check_together(settings: GenerateSettings) -> None:
    if "" in settings.stop:
        raise SettingError(
            "an empty stop string would end every answer before it begins",
            where="generate.stop", value=list(settings.stop), fix="Leave it out",
        )  # fmt: skip
    if settings.num_beams == 1:
        return
    beams: dict[str, Any] = {"where": "generate.num_beams", "value": settings.num_beams}
    if settings.temperature > 0:
        raise SettingError(
            "beam search looks for the likeliest answer and does not sample",
            **beams, fix="Leave out num_beams, or temperature",
        )  # fmt: skip
    if settings.json_schema is not None:
        raise SettingError(
            "beam search does not keep to a schema",
            **beams, fix="Leave out num_beams, or json_schema",
        )  # fmt: skip
    if settings.logprobs is not None:
        raise SettingError(
            "the tokens of a beam have no alternatives to tell of",
            **beams, fix="Leave out num_beams, or logprobs",
        )  # fmt: skip
