"""The tutorials' words: a config, a trainer, and what it does shown on the terminal.

This is for scripts that a person runs and watches; ``tinyforge.train`` does the same in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyforge import api
from tinyforge.config.load import keyword_settings
from tinyforge.errors import FolderError

if TYPE_CHECKING:
    from tinyforge.inference.answering import AnsweringModel
    from tinyforge.inference.prompted import PromptedModel
    from tinyforge.recipes.evaluate import Judgement
    from tinyforge.recipes.lm_eval import Benchmarks
    from tinyforge.recipes.train import Run


class TrainingConfig:
    """What to train, and how; each keyword is also an attribute.

    Args:
        model_name: a hub id, a local folder, ``scratch:PRESET`` or ``auto``.
        output_dir: where the model and its report go.
        resume: go on with the unfinished run in ``output_dir``.
        force: replace what is in ``output_dir``.
        settings: settings by dotted name (``{"train.clip_norm": 0.5}``) or nested by stage.
        **keywords: settings by their short name: ``num_epochs`` or ``epochs``, ``batch_size``,
            ``learning_rate``, ``max_length``, ``use_lora`` or ``use_peft``, ``lora_r``,
            ``seed``, ``task`` and so on.

    Raises:
        SettingError: an unknown keyword, with the nearest one.
    """

    def __init__(
        self,
        model_name: str | None = None,
        output_dir: str | Path = "my-model",
        *,
        resume: bool = False,
        force: bool = False,
        settings: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        given = {"model_name": model_name, **keywords}
        self.settings = {**keyword_settings(settings or {}), **keyword_settings(given)}
        self.output_dir = Path(output_dir)
        self.resume = resume
        self.force = force
        for name, value in given.items():
            if name.isidentifier():
                setattr(self, name, value)

    def __repr__(self) -> str:
        shown = ", ".join(f"{n}={v!r}" for n, v in self.settings.items() if v is not None)
        return f"TrainingConfig(output_dir={str(self.output_dir)!r}, {shown})"


class Trainer:
    """Trains as its config says, with a bar and the verdict on the terminal."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.run: Run | None = None
        self._model: AnsweringModel | PromptedModel | None = None

    def train(self, data: Any) -> Run:
        """Train on a file of rows, a frame or a list of rows; print the verdict.

        Raises:
            TinyForgeError: a mistake in data, settings or folder, in one line.
        """
        from tinyforge.cli.notes import show_notes
        from tinyforge.cli.progress import Progress

        show_notes()
        with Progress() as progress:
            self.run = api.train(
                data,
                output_dir=self.config.output_dir,
                settings=self.config.settings,
                resume=self.config.resume,
                force=self.config.force,
                listeners=[progress],
            )
        self._model = None
        click.echo(self.run.summary())
        return self.run

    def predict(self, text: Any, **options: Any) -> Any:
        """The trained model's answer to a text, or answers to a list of texts."""
        return self.model.predict(text, **options)

    def evaluate(self, data: Any) -> Judgement | Benchmarks:
        """Scores of the trained model on other rows, with 95 % intervals."""
        return api.evaluate(self._folder(), data)

    @property
    def model(self) -> AnsweringModel | PromptedModel:
        """The trained model, loaded from its folder."""
        if self._model is None:
            self._model = api.load(self._folder())
        return self._model

    def _folder(self) -> Path:
        folder = self.config.output_dir
        if not (folder / "config.json").is_file():
            raise FolderError(
                "no trained model is here yet", where=str(folder), fix="Call train(data) first"
            )
        return folder
