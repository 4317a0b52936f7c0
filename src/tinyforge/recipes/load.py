"""Open a model that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyforge.config.evaluate import GenerateSettings
    from tinyforge.inference.torch_model import TorchModel


def load(
    path_or_id: str | Path,
    *,
    trust_remote_code: bool = False,
    revision: str | None = None,
    settings: GenerateSettings | None = None,
) -> TorchModel:
    """A run folder, any Hugging Face folder, an adapter's folder, or a hub id.

    Args:
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit of a hub model.
        settings: how it generates where a call says nothing else.

    Raises:
        ModelError: there is no such model, or it cannot answer.
    """
    from tinyforge.inference.torch_model import TorchModel

    return TorchModel.load(
        path_or_id, trust_remote_code=trust_remote_code, revision=revision, settings=settings
    )
