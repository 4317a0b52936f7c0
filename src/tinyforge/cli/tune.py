"""``tinyforge tune DATA --output DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tinyforge.cli.options import AS_JSON, BASELINES, CONFIG, SET, chosen, print_json, setting
from tinyforge.errors import SettingError


@click.command()
@click.argument("data")
@click.option("--output", required=True, metavar="DIR", help="A new folder for the best model.")
@click.option("--trials", metavar="N", help="How many settings are tried. [tune.trials]")
@click.option("--max-minutes", metavar="N", help="Minutes for all trials. [tune.max_minutes]")
@click.option(
    "--search", "searches", multiple=True, metavar="NAME=LOW..HIGH|a,b,c",
    help="A setting to search, for example learning_rate=1e-5..1e-3. May be repeated.",
)  # fmt: skip
@setting("--model", "Hub id, local folder, scratch:PRESET, or auto.", "M")
@setting("--task", "classify, text2text, instruct, language-model, preference, or auto.", "T")
@setting("--validation", "File of validation rows.", "FILE")
@setting("--test", "File of test rows.", "FILE")
@setting("--lora", "Train low-rank adapters only.")
@setting("--max-steps", "Optimizer steps of each trial, at most.", "N")
@setting("--seed", "Seed of split, order, dropout, start and search.", "N")
@setting("--trust-remote-code", "Run code that comes with the model.")
@BASELINES
@CONFIG
@SET
@click.option("--resume", is_flag=True, help="Go on with the unfinished search in DIR.")
@click.option("--force", is_flag=True, help="Replace what is in DIR.")
@AS_JSON
def tune(
    data: str,
    output: str,
    trials: str | None,
    max_minutes: str | None,
    searches: tuple[str, ...],
    baselines: tuple[str, ...],
    config_file: str | None,
    overrides: tuple[str, ...],
    resume: bool,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Try settings on the rows of DATA, and keep the model that does best on validation rows.

    The first trial has the default settings. Winner and default are compared on the test rows at
    the end.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.tune import TuneRunSettings

    direct = {**chosen(flags), "tune.trials": trials, "tune.max_minutes": max_minutes}
    if baselines:
        direct["evaluate.baseline_models"] = baselines
    direct |= read_searches(searches)
    settings = load_tree(TuneRunSettings, config_file, overrides, direct)

    from tinyforge.cli.tune_progress import TuneProgress
    from tinyforge.recipes.tune import tune as recipe

    with TuneProgress() as progress:
        found = recipe(
            data, settings=settings, output_dir=Path(output), resume=resume, force=force,
            listeners=[progress], tell=progress.tell,
        )  # fmt: skip
    if as_json:
        print_json(found.result())
    else:
        click.echo(found.summary())


def read_searches(searches: Sequence[str]) -> dict[str, str]:
    """``NAME=LOW..HIGH`` texts as settings.

    Raises:
        SettingError: one of them has no name, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in searches:
        name, equals, limits = (part.strip() for part in text.partition("="))
        if not equals or not name or not limits:
            raise SettingError(
                "not of the form NAME=LOW..HIGH or NAME=a,b,c", where="--search", value=text,
                fix="Write for example: --search train.learning_rate=1e-5..1e-3",
            )  # fmt: skip
        if f"tune.search.{name}" in found:
            raise SettingError("searched twice", where="--search", value=name, fix="Name it once")
        found[f"tune.search.{name}"] = limits
    return found
