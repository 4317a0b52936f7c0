"""``tinyforge serve MODEL…``."""

from __future__ import annotations

from pathlib import Path

import click

from tinyforge.cli.options import SET


@click.command()
@click.argument("models", nargs=-1, metavar="[NAME=]MODEL...")
@click.option("--host", metavar="H", help="Address to listen on; default: this machine's own.")
@click.option("--port", metavar="P", help="Port; default 8000; 0: any free one.")
@click.option("--workers", metavar="N", help="Processes that answer; default 1.")
@click.option("--api-key-file", metavar="FILE", help="File with the hashes of the keys.")
@click.option(
    "--new-key", metavar="NAME", help="Make a key, print it once, add its hash to the file; serve "
    "nothing.",
)  # fmt: skip
@SET
def serve(
    models: tuple[str, ...],
    host: str | None,
    port: str | None,
    workers: str | None,
    api_key_file: str | None,
    new_key: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Answer over HTTP: /predict, OpenAI's /v1 routes, /health, /ready and /metrics.

    MODELs are run folders, exported folders, Hugging Face folders or hub ids, or BASE+ADAPTER of
    these. The page at / tries them by hand. Stop with Ctrl-C or SIGTERM: running answers end
    first. SIGHUP puts what lies in the models' places now in service, and no request is lost;
    SIGUSR1 goes back to the version before.
    """
    from tinyforge.config.load import load_tree
    from tinyforge.config.serve import ServeSettings

    direct = {"host": host, "port": port, "workers": workers, "api_key_file": api_key_file}
    settings = load_tree(ServeSettings, None, overrides, direct)
    if new_key is not None:
        if settings.api_key_file is None:
            raise click.UsageError(
                "--new-key needs --api-key-file, where its hash goes", click.get_current_context()
            )
        from tinyforge.server.keys import new_key as make

        click.echo(make(new_key, Path(settings.api_key_file)))
        return

    from tinyforge.server.run import serve as run

    run(models, settings, tell=lambda address: click.echo(f"serving at {address}", err=True))
