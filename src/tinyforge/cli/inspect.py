"""``tinyforge inspect DATA``."""

from __future__ import annotations

from typing import Any

import click

from tinyforge.cli.options import AS_JSON, CONFIG, SET, chosen, print_json, setting


@click.command()
@click.argument("data")
@setting("--model", "Whose tokens to show: hub id, local folder, scratch:PRESET or auto.", "M")
@setting("--task", "classify, text2text, instruct, language-model, or auto.", "T")
@setting("--validation", "File of validation rows.", "FILE")
@setting("--test", "File of test rows, checked for rows that leak.", "FILE")
@setting("--trust-remote-code", "Run code that comes with the model.")
@CONFIG
@SET
@AS_JSON
def inspect(
    data: str,
    config_file: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Show what a model would see of DATA: columns, rejects, labels, leaks, lengths, tokens.

    Nothing is trained and nothing is written.
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(config_file, overrides, chosen(flags))

    from tinyforge.recipes.inspect import inspect_data

    inspection = inspect_data(data, settings=settings, model=flags["model"] is not None)
    if as_json:
        print_json(inspection.to_json())
    else:
        click.echo(inspection.render())
