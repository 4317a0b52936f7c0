"""What a model's training data looked like, for whoever serves it: ``tinyforge/reference.json``.

Only counts, and hashes of words; no text. Written when a model is trained, and carried by exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.errors import FolderError

REFERENCE = Path("tinyforge") / "reference.json"
FORMAT = 1


def write_reference(folder: Path, reference: Mapping[str, Any]) -> None:
    """Write it into a model's folder.

    Args:
        reference: as ``safety.drift_reference.make_reference`` makes it.

    Raises:
        FolderError: it cannot be written.
    """
    (Path(folder) / REFERENCE).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(folder) / REFERENCE, {"format": FORMAT, **reference})


def read_reference(folder: str | Path) -> Mapping[str, Any] | None:
    """The reference in a model's folder; None where there is none, or one of another format.

    Raises:
        FolderError: the file is damaged.
    """
    path = Path(folder) / REFERENCE
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict):
        raise FolderError("is damaged: not a reference", where=str(path))
    return found if found.get("format") == FORMAT else None
