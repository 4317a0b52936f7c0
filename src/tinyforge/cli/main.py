"""``tinyforge VERB``: finds the verb's file, and turns every failure into one line."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import FrameType

import click

from tinyforge.cli.completion import VARIABLE, offer_completion
from tinyforge.cli.failures import report
from tinyforge.cli.notes import show_notes
from tinyforge.errors import Interrupted

VERBS = {
    "train": "Train a model on your rows, and judge it on unseen ones.",
    "pretrain": "Train a model from nothing on your raw text, and judge it on unseen text.",
    "tune": "Search for settings that train a better model on your rows.",
    "inspect": "Show what a model would see of your rows.",
    "new": "Write a commented settings file for your rows.",
    "prepare": "Turn raw text into a corpus: read, clean, deduplicate, split.",
    "tokenizer": "Learn a tokenizer from your text, or measure tokenizers on it.",
    "predict": "Answer texts with a model.",
    "evaluate": "Score a model on rows, with intervals.",
    "compare": "Say which of several models is better on rows, and what changed.",
    "compress": "Make a trained model smaller, and choose among what that gives.",
    "serve": "Answer over HTTP: /predict and OpenAI's routes.",
    "export": "Write a model for others to run; refuse what is not the tested model.",
    "verify": "Check every file of a run folder or an export, and an export's answers.",
    "runs": "List the runs below a folder.",
    "ui": "Open local pages: the runs, their reports, and a box to try a model.",
    "doctor": "Explain this machine: what is fast, slow or missing, and what to do.",
    "explain": "Explain an error's code, or a setting.",
    "completion": "Print what makes your shell complete verbs, flags and settings.",
    "quickstart": "Train a first small model from nothing, export it, and try it.",
}
"""Verb to its line in the help. The command is ``tinyforge.cli.VERB:VERB``, loaded on use."""


class Verbs(click.Group):
    """The verbs, each loaded only when it is called, so that the help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of their table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command; None where there is none."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"tinyforge.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names, or an error with the nearest verb."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            near = difflib.get_close_matches(name, VERBS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Verbs: {', '.join(VERBS)}."
            raise click.UsageError(f"No such verb: {name!r}. {hint}", ctx)
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs for the help, from the table alone."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from tinyforge import __version__

        click.echo(f"tinyforge {__version__}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version,
    help="Show the version and exit.",
)  # fmt: skip
def tinyforge() -> None:
    """Turn your own data into a small language model you can trust.

    Start with:  tinyforge train my_data.jsonl --output my-model

    An error ends with a code such as [S-7K3Q]: tinyforge explain S-7K3Q
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; see the contract in the README."""
    _prepare_process()
    if args is None:
        signal.signal(signal.SIGTERM, _stop)
    words = list(sys.argv[1:] if args is None else args)
    try:
        if VARIABLE in os.environ:
            offer_completion()
        code = tinyforge.main(words or ["--help"], prog_name="tinyforge", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as problem:  # every failure ends in one line
        return report(problem)
    return code if isinstance(code, int) else 0


def _stop(number: int, _: FrameType | None) -> None:
    """Outside of the training loop, which has its own way, a SIGTERM ends in one line too."""
    raise Interrupted(
        "stopped by SIGTERM", signal_number=number, fix="A training run goes on with --resume"
    )


def _prepare_process() -> None:
    """A terminal that cannot show a character gets its code; libraries' warnings stay quiet."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions and not os.environ.get("TINYFORGE_DEBUG"):
        warnings.simplefilter("ignore")
    show_notes()


if __name__ == "__main__":
    sys.exit(main())
