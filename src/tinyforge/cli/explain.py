"""``tinyforge explain CODE|SETTING``."""

from __future__ import annotations

import click

from tinyforge.cli.options import complete_settings
from tinyforge.errors import SettingError


@click.command()
@click.argument("word", metavar="CODE|SETTING", shell_complete=complete_settings)
def explain(word: str) -> None:
    """Explain an error's code, or what a setting takes, does and is by default.

    A CODE stands in brackets at the end of an error, as in [S-7K3Q]; the server's errors have a
    word for it, as in queue_full. A SETTING is a name such as train.learning_rate. Nothing is asked
    of the network.
    """
    from tinyforge.recipes.explain import about_settings, setting_names, similar

    told = about_settings(word)
    if not told:
        from tinyforge.recipes.error_catalogue import find

        told = [entry.render() for entry in find(word)]
    if not told:
        raise SettingError(
            "neither a code of an error nor a setting", value=word,
            fix=similar(word, setting_names()),
        )  # fmt: skip
    click.echo("\n\n".join(told))
