"""``tinyforge completion bash|zsh|fish``, and what the printed script asks for."""

from __future__ import annotations

from typing import Any

import click

VARIABLE = "_TINYFORGE_COMPLETE"
"""Set in the environment where a shell asks what a word may become."""

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script that makes SHELL complete verbs, flags, names of settings and files.

    \b
    bash: eval "$(tinyforge completion bash)", as a line of ~/.bashrc
    zsh:  eval "$(tinyforge completion zsh)", as a line of ~/.zshrc, after compinit
    fish: tinyforge completion fish > ~/.config/fish/completions/tinyforge.fish
    """
    from tinyforge.cli.main import tinyforge

    offer_completion()
    click.echo(_class_of(shell)(tinyforge, {}, "tinyforge", VARIABLE).source())


def offer_completion() -> None:
    """Let click complete files too, where neither a verb nor a flag nor a setting fits."""
    from click.shell_completion import (
        BashComplete,
        CompletionItem,
        FishComplete,
        ShellComplete,
        ZshComplete,
        add_completion_class,
    )

    class WithFiles(ShellComplete):
        """Offers files where nothing else can stand."""

        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
            found = super().get_completions(args, incomplete)
            return found or [CompletionItem(incomplete, type="file")]

    class Bash(WithFiles, BashComplete):
        """Puts no space behind ``NAME=``."""

        source_template = BashComplete.source_template.replace(
            "COMPREPLY+=($value)",
            "COMPREPLY+=($value); [[ $value == *= ]] && compopt -o nospace",
        )

    class Zsh(WithFiles, ZshComplete):
        """zsh."""

    class Fish(WithFiles, FishComplete):
        """fish."""

    for made, name in ((Bash, "bash"), (Zsh, "zsh"), (Fish, "fish")):
        add_completion_class(made, name)


def _class_of(shell: str) -> Any:
    from click.shell_completion import get_completion_class

    return get_completion_class(shell)
