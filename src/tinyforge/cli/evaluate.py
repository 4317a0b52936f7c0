"""``tinyforge evaluate MODEL DATA``."""

from __future__ import annotations

import click

from tinyforge.cli.options import AS_JSON, SET, print_json

STAGES = ("task", "data", "evaluate", "generate", "model", "train")


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--baseline", metavar="M", help="Another model, scored on the same rows.")
@SET
@AS_JSON
def evaluate(
    model: str, data: str, baseline: str | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Score MODEL on the rows of DATA, with 95 % intervals.

    MODEL is a run folder, any Hugging Face folder, or a hub id.
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(None, overrides, only=STAGES)

    from tinyforge.recipes.evaluate import evaluate as recipe

    result = recipe(model, data, settings=settings, baseline=baseline)
    if as_json:
        print_json(result.to_json())
    else:
        click.echo(result.summary())
