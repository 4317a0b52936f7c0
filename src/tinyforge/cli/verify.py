"""``tinyforge verify DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, print_json


@click.command()
@click.argument("folder", metavar="DIR")
@AS_JSON
def verify(folder: str, as_json: bool) -> None:
    """Check every byte of the run folder DIR against its manifest.

    Exits with 3 where a file is changed, missing or not of the run.
    """
    from tinyforge.recipes.verify import verify as recipe

    verification = recipe(Path(folder))
    if as_json:
        print_json(verification.to_json())
    else:
        click.echo(verification.summary())
    verification.require_sound()
