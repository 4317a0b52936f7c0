"""The verbs that work on raw text: ``prepare`` and ``pretrain``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.api.given import verb_settings

if TYPE_CHECKING:
    from tinyforge.recipes.prepare_result import Preparation, Step
    from tinyforge.recipes.train import Run
    from tinyforge.train.hooks import Listener


def prepare(
    sources: str | Path | Sequence[str | Path],
    output_dir: str | Path,
    *,
    recipe: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    tell: Callable[[Step], None] | None = None,
    **settings: Any,
) -> Preparation:
    """Turn raw text into a corpus: read, mend, filter, deduplicate, mask, split, account.

    Args:
        sources: files, folders, archives, database URLs with a query, hub data sets; one or many.
        output_dir: a folder that does not exist yet.
        recipe: a YAML file of settings.
        resume: go on with the unfinished corpus in ``output_dir``.
        force: replace the corpus in ``output_dir``.
        tell: told how far the work is.
        **settings: settings by their short name (``seed=1``, ``languages=["en"]``), by stage
            (``split={"test_share": 0}``) or, in a dictionary, by their dotted one; they win over
            ``recipe``.

    Raises:
        TinyForgeError: a mistake in sources, settings or folder, in one line.
    """
    from tinyforge.config.prepare import PrepareSettings
    from tinyforge.recipes.prepare import prepare as run

    chosen = verb_settings(PrepareSettings, recipe, None, settings)
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    return run(
        named, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force, tell=tell
    )


def pretrain(
    corpus: str | Path | Sequence[str | Path],
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Run:
    """Train a model from nothing on raw text, and judge it on text that it has not seen.

    Args:
        corpus: a folder that ``prepare`` made, or raw files and folders, which are prepared first.
        output_dir: where the model and its report go; a folder that does not exist yet.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        resume: continue what an unfinished run left in ``output_dir``.
        force: replace what is in ``output_dir``.
        listeners: told of every step, validation and event.
        **keywords: settings by their short name (``size="tiny"``, ``max_minutes=30``) or, in a
            dictionary, by their dotted one; they win over ``settings``.

    Raises:
        TinyForgeError: a mistake in corpus, settings or folder, in one line.
    """
    from tinyforge.config.pretrain import PretrainRunSettings

    chosen = verb_settings(PretrainRunSettings, config, settings, keywords)

    from tinyforge.recipes.pretrain import pretrain as recipe

    return recipe(
        [corpus] if isinstance(corpus, str | Path) else corpus,
        settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners,
    )  # fmt: skip
