"""``tinyforge ui [DIR]``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tinyforge.errors import MissingPackageError


@click.command()
@click.argument("folder", default=".", metavar="[DIR]")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8001, show_default=True, metavar="P",
    help="Port; 0: any free one.",
)  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def ui(folder: str, port: int, no_browser: bool) -> None:
    """Show local pages: the runs below DIR (default: here), their reports, and a box to try each.

    Only this machine can open them. Stop with Ctrl-C.
    """
    try:
        from tinyforge.server.ui.run import show_pages
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        raise MissingPackageError(package, needed_for="tinyforge ui", extra="serve") from None

    def tell(address: str) -> None:
        click.echo(f"pages at {address}", err=True)
        if sys.stderr.isatty() and not no_browser:
            import webbrowser

            webbrowser.open(address)

    show_pages(Path(folder), port, tell=tell)
