"""``tinyforge verify DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, print_json


@click.command()
@click.argument("folder", metavar="DIR")
@AS_JSON
def verify(folder: str, as_json: bool) -> None:
    """Check every byte of a run folder or an export DIR against its manifest.

    An export is also asked its golden texts again, in a fresh process without torch. Exits with 3
    where a file is changed, missing or not of the folder, or an answer is another one.
    """
    from tinyforge.recipes.verify import verify as recipe

    verification = recipe(Path(folder))
    if as_json:
        print_json(verification.to_json())
    else:
        click.echo(verification.summary())
    verification.require_sound()
