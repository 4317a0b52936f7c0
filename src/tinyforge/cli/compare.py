"""``tinyforge compare MODEL MODEL… DATA``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.evaluate import STAGES
from tinyforge.cli.options import AS_JSON, REPORT, SET, show
from tinyforge.errors import SettingError


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="MODEL MODEL... DATA")
@REPORT
@click.option("--changes", metavar="FILE", help="Write every row that changed, as JSON lines.")
@SET
@AS_JSON
def compare(
    words: tuple[str, ...],
    report: str | None,
    changes: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say which MODEL is better on the rows of DATA, how sure that is, and which rows changed.

    The last word is the rows; every other one is a run folder, a Hugging Face folder or a hub id.
    The first model is what the others are shown against.
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(None, overrides, only=STAGES)
    *models, data = words
    if len(models) < 2:
        raise SettingError(
            "two or more models and the rows are needed", value=" ".join(words),
            fix="Write: tinyforge compare MODEL MODEL DATA; evaluate scores a single model",
        )  # fmt: skip

    from tinyforge.recipes.compare import compare as recipe

    result = recipe(
        models, data, settings=settings, report=None if report is None else Path(report),
        changes=None if changes is None else Path(changes),
    )  # fmt: skip
    show(result, as_json=as_json, report=report)
