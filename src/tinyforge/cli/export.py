"""``tinyforge export MODEL --output DIR``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, CONFIG, REPORT, SET, print_json


@click.command()
@click.argument("model")
@click.option("--output", required=True, metavar="DIR", help="A new folder for the export.")
@click.option("--format", "kind", metavar="F", help="onnx, safetensors or gguf. [export.format]")
@click.option(
    "--precision", metavar="P", help="fp32, bf16, fp16, int8, int4 or auto. [export.precision]"
)
@click.option(
    "--max-drop", metavar="X%", help="Loss of the headline metric, at most. [export.max_drop]"
)
@click.option(
    "--data", metavar="FILE", help="Rows with answers to judge on; default: the run's test rows."
)
@click.option(
    "--strict", is_flag=True,
    help="Refuse also what too few rows cannot show to hold. [export.strict]",
)  # fmt: skip
@REPORT
@CONFIG
@SET
@click.option("--force", is_flag=True, help="Replace the export in DIR.")
@AS_JSON
def export(
    model: str,
    output: str,
    kind: str | None,
    precision: str | None,
    max_drop: str | None,
    data: str | None,
    strict: bool,
    report: str | None,
    config_file: str | None,
    overrides: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write MODEL for others to run, and check that it is still the model that was tested.

    MODEL is a run folder, any Hugging Face folder, or a hub id. The export reads, computes and
    answers as the model does, keeps its quality on rows that it has not learnt from, and runs
    without torch; or it is refused with exit code 3, and nothing is written.
    """
    from tinyforge.config.export import ExportRunSettings, share
    from tinyforge.config.load import load_tree

    direct = {
        "export.format": kind,
        "export.precision": precision,
        "export.max_drop": None if max_drop is None else share(max_drop),
        "export.strict": strict or None,
    }
    settings = load_tree(ExportRunSettings, config_file, overrides, direct)

    from tinyforge.recipes.export import export as recipe

    made = recipe(
        model, Path(output), settings=settings, data=data, force=force,
        report=None if report is None else Path(report),
    )  # fmt: skip
    if as_json:
        print_json(made.result())
    else:
        click.echo(made.summary())
    made.require_ready()
