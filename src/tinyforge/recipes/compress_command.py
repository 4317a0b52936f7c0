"""The command line that makes each variant of a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from tinyforge.config.compress import CompressSettings
from tinyforge.config.names import explicit, value_of
from tinyforge.recipes.compress_rows import Material


def command_of(
    model: str,
    material: Material,
    settings: CompressSettings,
    output: str,
    *,
    share: float | None = None,
) -> str:
    """The command line that makes a model."""
    words = ["tinyforge", "compress", model]
    if material.given:
        words += ["--data", str(material.data) if isinstance(material.data, str | Path) else "ROWS"]
    words += ["--output", output]
    for name in explicit(settings):
        if name in ("prune.share", "pareto.shares") and share is not None:
            continue
        value: Any = value_of(settings, name)
        value = f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else value
        words += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if share is not None:
        words += ["--prune", f"{share:g}"]
    return shlex.join(words)


def export_of(source: str, material: Material, *, pruned: bool) -> str:
    """The command that exports a model, without its precision."""
    words = ["tinyforge", "export", source, "--output", f"{Path(source).name}-export"]
    rows = material.settings.data.test or material.data
    if not material.own and not pruned and isinstance(rows, str | Path):
        words += ["--data", str(rows)]
    return shlex.join(words)
