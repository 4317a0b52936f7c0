"""Options that several verbs share, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])

SHORT = {
    # Flag, as click names its value, to the setting it is short for.
    "model": "model.name",
    "task": "task",
    "validation": "data.validation",
    "test": "data.test",
    "lora": "lora.enabled",
    "epochs": "train.epochs",
    "max_steps": "train.max_steps",
    "max_minutes": "train.max_minutes",
    "seed": "train.seed",
    "trust_remote_code": "model.trust_remote_code",
    "learning_curve": "evaluate.learning_curve",
    "size": "pretrain.size",
    "architecture": "pretrain.architecture",
    "max_tokens": "pretrain.max_tokens",
    "tokenizer": "pretrain.tokenizer",
}


def complete_settings(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Names of settings for a shell: of the verb, or of all where the verb takes any name."""
    from click.shell_completion import CompletionItem

    from tinyforge.config.names import settings_table
    from tinyforge.config.roots import ROOTS, STAGES_OF, families, root_of

    verb = context.command.name or ""
    roots = [root_of(verb)] if verb in ROOTS else list(families())
    end = "=" if verb in ROOTS else ""
    names = {name: setting for root in roots for name, setting in settings_table(root).items()}
    return [
        CompletionItem(name + end, help=setting.description)
        for name, setting in names.items()
        if name.startswith(incomplete)
        and name.partition(".")[0] in STAGES_OF.get(verb, (name.partition(".")[0],))
    ]


AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)
SET = click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", shell_complete=complete_settings,
    help="Any setting, for example train.learning_rate=1e-4. May be repeated.",
)  # fmt: skip
BASELINES = click.option(
    "--baseline", "baselines", multiple=True, metavar="M",
    help="Another model, scored on the same rows. May be repeated.",
)  # fmt: skip
REPORT = click.option("--report", metavar="FILE.html", help="Write one page that shows it all.")
CONFIG = click.option("--config", "config_file", metavar="FILE", help="A YAML file of settings.")


def setting(flag: str, help_text: str, metavar: str | None = None) -> Callable[[Command], Command]:
    """A flag that is short for a setting; without ``metavar`` it is a switch.

    Its text is read like that of ``--set``, so that every way to give a value takes the same.
    """
    name = SHORT[flag.lstrip("-").replace("-", "_")]
    about = f"{help_text} [{name}]"
    if metavar is None:
        return click.option(flag, is_flag=True, help=about)
    return click.option(flag, metavar=metavar, help=about)


def chosen(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the given flags stand for."""
    return {SHORT[flag]: value for flag, value in flags.items() if value not in (None, False)}


def print_json(result: Any) -> None:
    """One object on one line, in UTF-8."""
    click.echo(json.dumps(result, ensure_ascii=False, default=str))


def show(result: Any, *, as_json: bool, report: str | None) -> None:
    """What a judgement came to: as JSON, or as lines that end with where its report is."""
    if as_json:
        print_json(result.to_json())
        return
    click.echo(result.summary())
    if report is not None:
        click.echo(f"Report: {report}")
