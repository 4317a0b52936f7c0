"""Every tiny model is exported once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path, Any]]:
    """Name of ``graph_models.BUILD`` -> source model, exported folder, record."""
    from graph_models import source

    from tinyforge.export.graphs import write_graphs

    made: dict[str, tuple[Any, Path, Any]] = {}

    def export(name: str) -> tuple[Any, Path, Any]:
        if name not in made:
            model = source(name)
            folder = tmp_path_factory.mktemp("exported")
            made[name] = (model, folder, write_graphs(model, folder))
        return made[name]

    return export
