"""``tinyforge doctor``."""

from __future__ import annotations

import click

from tinyforge.cli.options import AS_JSON, print_json


@click.command()
@AS_JSON
def doctor(as_json: bool) -> None:
    """Explain this machine: what is fast, slow or missing, and what to do."""
    from tinyforge.recipes.doctor import examine

    machine = examine()
    if as_json:
        print_json(machine.to_json())
    else:
        click.echo(machine.render())
