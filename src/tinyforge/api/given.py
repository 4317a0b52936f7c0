"""What a caller gave, as settings: from a file, then from a mapping, then from keywords."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.config.base import Stage
from tinyforge.config.load import Root, keyword_settings, load_settings, load_tree
from tinyforge.config.settings import Settings


def run_settings(
    config: str | Path | None, settings: Mapping[str, Any] | None, keywords: Mapping[str, Any]
) -> Settings:
    """The settings of a run on rows; what contradicts itself is refused."""
    return load_settings(config, (), named(Settings, settings, keywords))


def verb_settings(
    root: type[Root],
    config: str | Path | None,
    settings: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
) -> Root:
    """The settings of a verb that has its own.

    Args:
        root: the class that holds all of them.
    """
    return load_tree(root, config, (), named(root, settings, keywords))


def named(
    root: type[Stage], settings: Mapping[str, Any] | None, keywords: Mapping[str, Any]
) -> dict[str, Any]:
    """Dotted names to values. A keyword wins over the mapping, unless it is None: not given."""
    found = keyword_settings(settings or {}, root)
    more = keyword_settings(keywords, root)
    return found | {name: value for name, value in more.items() if value is not None}
