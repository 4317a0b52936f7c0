"""``tinyforge inspect DATA``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyforge.cli.options import AS_JSON, CONFIG, SET, chosen, print_json, setting

if TYPE_CHECKING:
    from tinyforge.evaluate.findings.label_errors import LabelErrors

_SHOWN = 10


@click.command()
@click.argument("data")
@setting("--model", "Whose tokens to show: hub id, local folder, scratch:PRESET or auto.", "M")
@setting("--task", "classify, text2text, instruct, language-model, preference, or auto.", "T")
@setting("--validation", "File of validation rows.", "FILE")
@setting("--test", "File of test rows, checked for rows that leak.", "FILE")
@setting("--trust-remote-code", "Run code that comes with the model.")
@click.option(
    "--label-errors", "suspects", metavar="FILE",
    help="Look for wrong labels, and write them to FILE (.jsonl or .csv) for review.",
)  # fmt: skip
@CONFIG
@SET
@AS_JSON
def inspect(
    data: str,
    suspects: str | None,
    config_file: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Show what a model would see of DATA: columns, rejects, labels, leaks, lengths, tokens.

    Nothing is trained and nothing is written. With --label-errors, five quick models learn the rows
    and say which labels look wrong to a model that has not seen the row; with --model, a pretrained
    encoder helps them.
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(config_file, overrides, chosen(flags))

    from tinyforge.recipes.inspect import inspect_data

    inspection = inspect_data(data, settings=settings, model=flags["model"] is not None)
    found = None
    if suspects is not None:
        from tinyforge.recipes.label_errors import label_errors

        found = label_errors(
            data, settings=settings, output=Path(suspects), model=flags["model"] is not None
        )
    if as_json:
        more = {} if found is None else {"label_errors": _plain(found, suspects)}
        print_json(inspection.to_json() | more)
        return
    click.echo(inspection.render())
    if found is not None:
        click.echo("\n" + _shown(found, suspects))


def _plain(found: LabelErrors, file: str | None) -> dict[str, Any]:
    names = ("rows", "labels", "agreement", "estimated", "share", "sentence")
    plain = {name: getattr(found, name) for name in names}
    return plain | {"suspected": len(found.suspects), "file": file}


def _shown(found: LabelErrors, file: str | None) -> str:
    lines = [found.sentence]
    for suspect in found.suspects[:_SHOWN]:
        text = " ".join(suspect.text.split())[:70]
        lines.append(f"  {suspect.where}  {suspect.given} -> {suspect.suggested}?  {text}")
    return "\n".join([*lines, f"All {len(found.suspects):,} are in {file}"])
