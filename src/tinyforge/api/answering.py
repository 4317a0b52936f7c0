"""The verbs that answer: ``load`` in this process, ``serve`` over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.api.given import verb_settings

if TYPE_CHECKING:
    from tinyforge.inference.answering import AnsweringModel
    from tinyforge.inference.prompted import PromptedModel


def load(
    model: str | Path,
    *,
    prompt: Any = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> AnsweringModel | PromptedModel:
    """A model that answers: a run folder, any Hugging Face folder, a hub id, or an exported folder.

    ``load("my-model").predict("how are you")`` gives a ``Prediction``; a list gives a list.

    Args:
        prompt: how to ask a model that was not trained for the job: a ready-made prompt's name, a
            YAML or JSON file, a template with ``{input}``, a mapping, or a ``Prompt``. The
            result's ``save(folder)`` keeps model and prompt together.
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit of a hub model.
    """
    from tinyforge.recipes.load import load as recipe

    return recipe(model, prompt=prompt, trust_remote_code=trust_remote_code, revision=revision)


def serve(model: str | Path | Sequence[str | Path], **settings: Any) -> None:
    """Answer over HTTP until a signal stops it; see ``tinyforge.server.run.serve``.

    Args:
        model: a run folder, an exported or any Hugging Face folder, or a hub id; or several, each
            as ``PLACE`` or ``NAME=PLACE``.
        **settings: ``host``, ``port``, ``api_key_file`` and the others of ``ServeSettings``.
    """
    from tinyforge.config.serve import ServeSettings

    chosen = verb_settings(ServeSettings, None, None, settings)

    from tinyforge.server.run import serve as run

    run([str(model)] if isinstance(model, str | Path) else [str(m) for m in model], chosen)
