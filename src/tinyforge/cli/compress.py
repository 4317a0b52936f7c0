"""``tinyforge compress MODEL --data ROWS --output DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, CONFIG, SET, print_json


@click.command()
@click.argument("model")
@click.option(
    "--data", metavar="ROWS",
    help="Rows to measure on, recover on and, a part held out, judge on; default: those of "
    "MODEL's own run.",
)  # fmt: skip
@click.option("--test", metavar="FILE", help="Rows to judge on; default: held out. [data.test]")
@click.option("--output", required=True, metavar="DIR", help="A new folder for the smaller model.")
@click.option(
    "--prune", metavar="SHARE",
    help="Share of units and heads that goes; 0.25 where nothing is named. [prune.share]",
)  # fmt: skip
@click.option("--layers", metavar="N", help="Layers that stay. [prune.layers]")
@click.option(
    "--vocabulary", is_flag=True, help="Cut tokens that the rows do not use. [prune.vocabulary]"
)
@click.option(
    "--recover-steps", metavar="N",
    help="Steps of training afterwards, taught by the whole model; 0: none. [recover.steps]",
)  # fmt: skip
@click.option("--seed", metavar="N", help="Seed of split and training. [train.seed]")
@CONFIG
@SET
@click.option("--resume", is_flag=True, help="Go on with the unfinished call in DIR.")
@click.option("--force", is_flag=True, help="Replace what is in DIR.")
@AS_JSON
def compress(
    model: str,
    data: str | None,
    test: str | None,
    output: str,
    prune: str | None,
    layers: str | None,
    vocabulary: bool,
    recover_steps: str | None,
    seed: str | None,
    config_file: str | None,
    overrides: tuple[str, ...],
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Cut from MODEL what matters least on your rows, and show what every variant costs.

    MODEL is a run folder, any Hugging Face folder, or a hub id. DIR holds the smaller model, which
    plain from_pretrained loads, and in tinyforge/pareto.html one page to choose from: the whole and
    the smaller model and their exports, with size, speed and quality on rows held out.
    """
    from tinyforge.config.compress import CompressSettings
    from tinyforge.config.load import load_tree

    direct = {
        "prune.share": prune, "prune.layers": layers, "prune.vocabulary": vocabulary or None,
        "recover.steps": recover_steps, "train.seed": seed, "data.test": test,
    }  # fmt: skip
    settings = load_tree(CompressSettings, config_file, overrides, direct)

    from tinyforge.cli.progress import Progress
    from tinyforge.recipes.compress import compress as recipe

    with Progress() as progress:
        done = recipe(
            model, data, settings=settings, output_dir=Path(output), resume=resume, force=force,
            listeners=[progress],
        )  # fmt: skip
    if as_json:
        print_json(done.result())
    else:
        click.echo(done.summary())
