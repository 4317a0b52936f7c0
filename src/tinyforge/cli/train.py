"""``tinyforge train DATA --output DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyforge.cli.options import AS_JSON, BASELINES, CONFIG, SET, chosen, print_json, setting


@click.command()
@click.argument("data")
@click.option("--output", required=True, metavar="DIR", help="A new folder for the model.")
@setting("--model", "Hub id, local folder, scratch:PRESET, or auto.", "M")
@setting("--task", "classify, text2text, instruct, language-model, preference, or auto.", "T")
@setting("--validation", "File of validation rows.", "FILE")
@setting("--test", "File of test rows.", "FILE")
@setting("--lora", "Train low-rank adapters only.")
@setting("--epochs", "Passes over the rows.", "N")
@setting("--max-steps", "Optimizer steps, at most.", "N")
@setting("--max-minutes", "Minutes of training, at most.", "N")
@setting("--seed", "Seed of split, order, dropout and start.", "N")
@setting("--trust-remote-code", "Run code that comes with the model.")
@setting("--learning-curve", "Train also on 1/8 to 1/2 of the rows: would more rows help?")
@BASELINES
@CONFIG
@SET
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in DIR.")
@click.option("--force", is_flag=True, help="Replace what is in DIR.")
@click.option("--require-better", is_flag=True, help="Exit with 3 unless it beats the baselines.")
@AS_JSON
def train(
    data: str,
    output: str,
    baselines: tuple[str, ...],
    config_file: str | None,
    overrides: tuple[str, ...],
    resume: bool,
    force: bool,
    require_better: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a model on the rows of DATA, and judge it on rows it has not seen.

    DATA is a JSONL, JSON, CSV, TSV, Parquet or text file (also .gz, .xz, .zst), or a hub id.
    """
    from tinyforge.config.load import load_settings

    direct = chosen(flags)
    if baselines:
        direct["evaluate.baseline_models"] = baselines
    settings = load_settings(config_file, overrides, direct)

    from tinyforge.cli.progress import Progress
    from tinyforge.recipes.train import train as recipe

    with Progress() as progress:
        run = recipe(
            data,
            settings=settings,
            output_dir=Path(output),
            resume=resume,
            force=force,
            listeners=[progress],
        )
    if as_json:
        print_json(run.result())
    else:
        click.echo(run.summary())
    if require_better:
        run.require_better()
