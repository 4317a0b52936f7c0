"""What was chosen for a model on validation rows, beside its weights.

``threshold.json``: ``value``, the confidence below which the model should not answer.
``alarm.json``: ``labels`` and ``value``, the probability of these labels above which they raise an
alarm. Both carry more, for people; an export carries both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import read_json
from tinyforge.errors import FolderError

ABSTENTION = Path("tinyforge") / "threshold.json"
ALARM = Path("tinyforge") / "alarm.json"


def read_choice(folder: str | Path, file: Path) -> Mapping[str, Any] | None:
    """What was chosen; None where nothing was.

    Args:
        file: ``ABSTENTION`` or ``ALARM``.

    Raises:
        FolderError: the file is damaged.
    """
    path = Path(folder) / file
    if not path.is_file():
        return None
    found = read_json(path)
    value = found.get("value") if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FolderError("is damaged: it gives no threshold", where=str(path))
    return dict(found)
