"""``tinyforge new DATA``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyforge.cli.options import chosen, setting


@click.command()
@click.argument("data")
@click.option(
    "--output", default="settings.yaml", show_default=True, metavar="FILE",
    help="The file to write.",
)  # fmt: skip
@setting("--model", "Hub id, local folder, scratch:PRESET, or auto.", "M")
@setting("--task", "What is learnt; auto decides from the data.", "T")
@click.option("--all", "everything", is_flag=True, help="Also the settings that few need.")
@click.option("--force", is_flag=True, help="Replace FILE.")
def new(data: str, output: str, everything: bool, force: bool, **flags: Any) -> None:
    """Look at the rows of DATA and write a commented settings file for them.

    The file says what was seen in the rows, and for each setting what it does, what it takes and
    what it is by default. Nothing in it changes what a bare run does until you change it:

    \b
    tinyforge new my_data.jsonl
    tinyforge train my_data.jsonl --output my-model --config settings.yaml
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(None, (), chosen(flags))

    from tinyforge.recipes.new_settings import write_settings

    made = write_settings(data, Path(output), settings, everything=everything, force=force)
    click.echo(made.summary())
