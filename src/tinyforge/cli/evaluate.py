"""``tinyforge evaluate MODEL DATA``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import AS_JSON, BASELINES, REPORT, SET, show

STAGES = ("task", "data", "evaluate", "generate", "model", "train")


@click.command()
@click.argument("model")
@click.argument("data")
@BASELINES
@click.option("--prompt", metavar="P", help="A prompt template's name, text or file.")
@REPORT
@SET
@AS_JSON
def evaluate(
    model: str,
    data: str,
    baselines: tuple[str, ...],
    prompt: str | None,
    report: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score MODEL on the rows of DATA, with 95 % intervals.

    MODEL is a run or exported folder, any Hugging Face folder, or a hub id. DATA may also be
    lm-eval:TASK, a public benchmark of the package lm-eval.
    """
    from tinyforge.config.load import load_settings

    settings = load_settings(None, overrides, only=STAGES)

    from tinyforge.recipes.evaluate import evaluate as recipe

    result = recipe(
        model, data, settings=settings, baseline=baselines, prompt=prompt,
        report=None if report is None else Path(report),
    )  # fmt: skip
    show(result, as_json=as_json, report=report)
