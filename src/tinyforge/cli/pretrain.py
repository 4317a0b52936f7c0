"""``tinyforge pretrain CORPUS… --output DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyforge.cli.options import AS_JSON, CONFIG, SET, chosen, print_json, setting


@click.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option("--output", required=True, metavar="DIR", help="A new folder for the model.")
@setting("--size", "nano, tiny, mini, small, medium, large, xl; default: the best one.", "S")
@setting("--architecture", "gpt, t5 or bert.", "A")
@setting("--max-minutes", "Minutes of training, at most.", "N")
@setting("--max-tokens", "Tokens learnt from, at most.", "N")
@setting("--tokenizer", "Folder of a tokenizer; default: one is trained.", "DIR")
@setting("--seed", "Seed of order, masks and start.", "N")
@CONFIG
@SET
@click.option("--plan", is_flag=True, help="Choose and reckon everything, and stop there.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in DIR.")
@click.option("--force", is_flag=True, help="Replace what is in DIR.")
@AS_JSON
def pretrain(
    corpus: tuple[str, ...],
    output: str,
    config_file: str | None,
    overrides: tuple[str, ...],
    plan: bool,
    resume: bool,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a model from nothing on the raw text of CORPUS, and judge it on unseen text.

    CORPUS is a folder that `tinyforge prepare` made, or raw files and folders, which are prepared
    first.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.pretrain import PretrainRunSettings
    from tinyforge.errors import SettingError

    settings = load_tree(PretrainRunSettings, config_file, overrides, chosen(flags))

    from tinyforge.cli.progress import Progress
    from tinyforge.recipes.pretrain import plan_pretraining
    from tinyforge.recipes.pretrain import pretrain as recipe

    if plan:
        if force:
            raise SettingError(
                "--plan makes no model that could replace one", fix="Leave --force out"
            )
        made: Any = plan_pretraining(
            corpus, settings=settings, output_dir=Path(output), resume=resume
        )
    else:
        with Progress() as progress:
            made = recipe(
                corpus,
                settings=settings,
                output_dir=Path(output),
                resume=resume,
                force=force,
                listeners=[progress],
            )
    if as_json:
        print_json(made.result())
    else:
        click.echo(made.summary())
