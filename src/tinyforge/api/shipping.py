"""The verbs that get a model ready for others: ``compress``, ``export`` and ``verify``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.api.given import verb_settings

if TYPE_CHECKING:
    from tinyforge.recipes.compress_result import Compressed
    from tinyforge.recipes.export import Export
    from tinyforge.recipes.verify import Verification
    from tinyforge.train.hooks import Listener


def compress(
    model: str | Path,
    data: Any = None,
    *,
    output_dir: str | Path,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    **keywords: Any,
) -> Compressed:
    """Make a trained model smaller, and measure it beside its exports.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        data: rows, as for ``train``; default: those of the model's own run.
        output_dir: a new folder for the smaller model.
        config: a YAML file of settings.
        settings: settings by dotted name (``{"prune.share": 0.5}``) or nested by stage.
        resume: continue what an unfinished call left in ``output_dir``.
        force: replace what is in ``output_dir``.
        listeners: told of every step of the recovery training.
        **keywords: settings by their short name (``share=0.5``, ``layers=4``,
            ``vocabulary=True``) or, in a dictionary, by their dotted one.

    Raises:
        TinyForgeError: a mistake in model, rows, settings or folder, in one line.
    """
    from tinyforge.config.compress import CompressSettings

    chosen = verb_settings(CompressSettings, config, settings, keywords)

    from tinyforge.recipes.compress import compress as recipe

    return recipe(
        model, data, settings=chosen, output_dir=Path(output_dir), resume=resume, force=force,
        listeners=listeners,
    )  # fmt: skip


def export(
    model: str | Path,
    output_dir: str | Path,
    *,
    format: str | None = None,
    precision: str | None = None,
    max_drop: float | str | None = None,
    data: Any = None,
    force: bool = False,
    report: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
    **keywords: Any,
) -> Export:
    """Write a model for others to run, once it is shown to be the model that was tested.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        output_dir: a folder that does not exist yet.
        format: ``onnx`` (the default; answers without torch), ``safetensors`` or ``gguf``.
        precision: ``fp32`` (the default), ``bf16``, ``fp16``, ``int8``, ``int4``, or ``auto``: the
            smallest that holds.
        max_drop: how much of the headline metric may be lost; 0.005 and ``"0.5%"`` are half a
            point, which is the default.
        data: rows with answers to judge on; default: the test rows of the run.
        force: replace the export in ``output_dir``.
        report: an HTML file to write, also where the export is refused.
        config: a YAML file of settings.
        settings: settings by dotted name or nested by stage; they win over ``config``.
        tell: told what is done, a line at a time.
        **keywords: further settings by their short name (``strict=True``, ``golden_rows=0``).

    Raises:
        ConditionError: the export is not the model that was tested, or lost too much; nothing is
            left in ``output_dir``.
        TinyForgeError: a mistake in model, data, settings or folder, in one line.
    """
    from tinyforge.config.export import ExportRunSettings, share

    given = {
        "export.format": format,
        "export.precision": precision,
        "export.max_drop": None if max_drop is None else share(max_drop, "max_drop"),
    }
    chosen = verb_settings(ExportRunSettings, config, settings, {**given, **keywords})

    from tinyforge.recipes.export import export as recipe

    made = recipe(
        model, Path(output_dir), settings=chosen, data=data, force=force,
        report=None if report is None else Path(report), tell=tell,
    )  # fmt: skip
    made.require_ready()
    return made


def verify(folder: str | Path) -> Verification:
    """Whether a run folder or an export is as it was: every byte, and an export's answers.

    ``verify("my-model-onnx").require_sound()`` raises where anything differs.

    Raises:
        FolderError: there is no such folder, or it has no manifest.
    """
    from tinyforge.recipes.verify import verify as recipe

    return recipe(Path(folder))
