"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
from page_text import MADE, anchor, cell, code, prose, slug, table

from tinyforge.cli.main import VERBS, tinyforge
from tinyforge.config.roots import ROOTS

_SETTING = re.compile(r"\s*\[([a-z_]+(?:\.[a-z_]+)*)\]$")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, as its words and itself."""
    context = click.Context(tinyforge)
    for verb in VERBS:
        command = tinyforge.get_command(context, verb)
        if isinstance(command, click.Group):
            for name, part in command.commands.items():
                yield f"{verb} {name}", part
        elif command is not None:
            yield verb, command


def flags_of(command: click.Command) -> list[str]:
    """The flags of a command, ``--help`` included."""
    names = [
        name for each in command.params if isinstance(each, click.Option) for name in each.opts
    ]
    return [*names, "--help", "-h"]


def undescribed() -> list[str]:
    """Commands and flags that say nothing about themselves."""
    found = []
    for words, command in commands():
        if not (command.help or "").strip():
            found.append(words)
        for each in command.params:
            if isinstance(each, click.Option) and not (each.help or "").strip():
                found.append(f"{words} {each.opts[0]}")
    return found


def page() -> str:
    """The page."""
    lines = [
        MADE, "", "# Command line", "",
        "Progress goes to standard error, results to standard output; `--json` prints one object "
        "as the last line. [Exit codes](errors.md#exit-codes) tell what happened. "
        "`--set NAME=VALUE` takes any [setting](settings.md) of the verb.", "",
        *table(("Verb", "What it does"), (
            (f"[`{verb}`](#{slug(verb)})", cell(line)) for verb, line in VERBS.items()
        )),
    ]  # fmt: skip
    for words, command in commands():
        lines += _section(words, command)
    return "\n".join(lines) + "\n"


def _section(words: str, command: click.Command) -> list[str]:
    verb = words.split()[0]
    first = next(iter(w for w, _ in commands() if w.split()[0] == verb)) == words
    title = f"## {words}" + (f" {{ #{slug(verb)} }}" if first else "")
    context = click.Context(command, info_name=f"tinyforge {words}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = ["", title, "", "```text", f"tinyforge {words} {usage}", "```", "", *_help(command)]
    lines += table(
        ("Flag", "Meaning", "Setting"),
        (_row(each, verb) for each in command.params if isinstance(each, click.Option)),
    )
    if verb in ROOTS and any("--set" in each.opts for each in command.params):
        lines += [f"Settings: [those of `{verb}`](settings.md#{slug(verb)}).", ""]
    return lines


def _help(command: click.Command) -> list[str]:
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", command.help or ""):
        if block.startswith("\b"):
            lines += ["```text", *block.removeprefix("\b\n").splitlines(), "```", ""]
        else:
            lines += [prose(" ".join(block.split())), ""]
    return lines


def _row(option: click.Option, verb: str) -> tuple[str, str, str]:
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper()}"
    text = " ".join((option.help or "").split())
    setting = _SETTING.search(text)
    text = _SETTING.sub("", text)
    if option.show_default and not option.is_flag:
        text += f" Default: {option.default}."
    place = anchor(f"{verb}{option.opts[0]}")
    stands = f"[`{setting[1]}`](settings.md#{slug(setting[1])})" if setting else ""
    return place + code(f"{', '.join(option.opts)}{value}"), cell(text), stands
