"""``tinyforge runs [DIR]``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, print_json


@click.command()
@click.argument("folder", default=".", metavar="[DIR]")
@AS_JSON
def runs(folder: str, as_json: bool) -> None:
    """List the runs below DIR (default: here), newest first."""
    from tinyforge.recipes.runs import find_runs, table

    found = find_runs(Path(folder))
    if as_json:
        print_json({"runs": [run.to_json() for run in found]})
    else:
        click.echo(table(found) if found else f"no runs below {folder}")
