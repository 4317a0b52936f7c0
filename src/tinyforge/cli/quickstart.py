"""``tinyforge quickstart``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, print_json


@click.command()
@click.option(
    "--output", default="quickstart-model", show_default=True, metavar="DIR",
    help="A new folder for the model.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is in DIR.")
@AS_JSON
def quickstart(output: str, force: bool, as_json: bool) -> None:
    """Train a small T5 from nothing to put sentences in reverse order, export it, and try it.

    The sentences come from the documentation that every Python installation carries.
    """
    from tinyforge.cli.progress import Progress
    from tinyforge.recipes.quickstart import quickstart as recipe

    with Progress() as progress:
        outcome = recipe(Path(output), force=force, listeners=[progress])
    if as_json:
        print_json(outcome.result())
    else:
        click.echo(outcome.summary())
