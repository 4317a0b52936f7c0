"""``tinyforge prepare SOURCE… --output DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyforge.cli.bar import Display
from tinyforge.cli.notes import say
from tinyforge.cli.options import AS_JSON, SET, print_json

if TYPE_CHECKING:
    from tinyforge.corpus.ledger import Entry
    from tinyforge.recipes.prepare_result import Step

STAGES = {
    "read": "reading and cleaning",
    "duplicates": "finding duplicates",
    "repeats": "finding repeated passages",
    "write": "writing",
    "account": "accounting for every document",
}
BAR = "{desc} {percentage:3.0f}% |{bar}| {postfix}"
EVERY = 10.0
"""Seconds between two lines where there is no terminal for a bar."""


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--output", metavar="DIR", help="A new folder for the corpus.")
@click.option("--recipe", metavar="FILE", help="A YAML file of settings.")
@SET
@click.option("--seed", metavar="N", help="Seed of the split. [seed]")
@click.option(
    "--workers", metavar="N",
    help="Worker processes; changes no result; default: one a core. [workers]",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the unfinished corpus in DIR.")
@click.option("--force", is_flag=True, help="Replace the corpus in DIR.")
@click.option(
    "--explain", metavar="ID",
    help="Prepare nothing; say what happened to a document of the finished corpus DIR.",
)  # fmt: skip
@AS_JSON
def prepare(
    sources: tuple[str, ...],
    output: str | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    seed: str | None,
    workers: str | None,
    resume: bool,
    force: bool,
    explain: str | None,
    as_json: bool,
) -> None:
    """Turn raw text into a corpus: read, mend, filter, deduplicate, mask, split, account.

    SOURCEs are files and folders of text, Markdown, reStructuredText, HTML, WARC, JSONL, CSV,
    Parquet, PDF, DOCX and source code, archives of these, databases (sqlite:///FILE?query=SELECT…)
    and hub data sets. The corpus is a folder of Parquet files with a ledger and a report.
    """
    if explain is not None:
        _explain(explain, output, sources, as_json=as_json)
        return
    if not sources:
        raise click.UsageError("Missing argument 'SOURCE...'.", click.get_current_context())
    if output is None:
        raise click.UsageError("Missing option '--output'.", click.get_current_context())
    from tinyforge.config.load import load_tree
    from tinyforge.config.prepare import PrepareSettings

    direct = {"seed": seed, "workers": workers}
    settings = load_tree(PrepareSettings, recipe, overrides, direct)

    from tinyforge.recipes.prepare import prepare as recipe_of_prepare

    with PrepareProgress() as progress:
        done = recipe_of_prepare(
            sources, settings=settings, output_dir=Path(output), resume=resume, force=force,
            tell=progress,
        )  # fmt: skip
    if as_json:
        print_json(done.result())
    else:
        click.echo(done.summary())


def _explain(name: str, output: str | None, rest: tuple[str, ...], *, as_json: bool) -> None:
    """Look a document up; the folder may also stand before or after ``--explain``."""
    words = [*([output] if output is not None else []), *rest]
    if len(words) != 1:
        raise click.UsageError(
            "--explain takes one folder and one id: --output DIR --explain ID",
            click.get_current_context(),
        )
    folder, wanted = words[0], name
    if not Path(folder).is_dir() and Path(name).is_dir():
        folder, wanted = name, words[0]
    from tinyforge.recipes.prepare_result import explain

    found = explain(Path(folder), wanted)
    if as_json:
        print_json({"documents": [entry.to_json() for entry in found]})
        return
    for entry in found:
        click.echo(told(entry))


def told(entry: Entry) -> str:
    """What happened to a document, in a few lines."""
    lines = [entry.id]
    size = f"{entry.size:,} characters" if entry.size else "no text could be read"
    language = f", language {entry.language}" if entry.language else ""
    lines.append(f"  read from {entry.source}: {size}{language}")
    changes = entry.to_json().get("changes", {})
    if changes:
        lines.append("  changed: " + ", ".join(f"{n} {c:,}" for n, c in changes.items()))
    if entry.outcome != "dropped":
        lines.append(
            f"  kept in {entry.outcome}: {entry.file}, row {entry.row:,}, "
            f"{entry.characters:,} characters"
        )
    else:
        why = f"{entry.reason}: {entry.detail}" if entry.detail else entry.reason
        lines.append(f"  dropped ({entry.step}): {why}")
    if entry.duplicate_of:
        lines.append(
            f"  like {entry.duplicate_of}, which stands before it (similarity "
            f"{entry.similarity:.2f})"
        )
    return "\n".join(lines)


class PrepareProgress(Display):
    """Shows how far the work is: a bar on a terminal, a line now and then elsewhere."""

    _stage = ""
    _shown = 0.0

    def __call__(self, step: Step) -> None:
        """Move the bar, or print a line when one is due."""
        if step.stage != self._stage:
            self._close()
            self._stage = step.stage
            self._shown = self._clock() - EVERY
        if self._terminal:
            self._move(step)
        elif self._clock() - self._shown >= EVERY:
            self._shown = self._clock()
            share = f" {step.done / step.total:.0%}" if step.total else ""
            say(f"{STAGES[step.stage]}{share}, {_counted(step)}")

    def _move(self, step: Step) -> None:
        bar = self._drawn(BAR, step.total, desc=STAGES[step.stage])
        bar.set_postfix_str(_counted(step), refresh=False)
        bar.update(step.done - bar.n)


def _counted(step: Step) -> str:
    documents = step.done if step.documents is None else step.documents
    return f"{documents:,} documents"
