"""``tinyforge tokenizer train CORPUS…`` and ``tinyforge tokenizer measure TOKENIZER… TEXT…``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyforge.cli.options import AS_JSON, print_json

KIND = click.option(
    "--kind", metavar="K",
    help="bpe, unigram, wordpiece, characters or words; default: wordpiece for an encoder, else "
    "bpe.",
)  # fmt: skip
FAMILY = click.option(
    "--family", metavar="F",
    help="Whose special tokens: encoder, encoder-decoder or decoder (the default).",
)  # fmt: skip
LOWERCASE = click.option("--lowercase", is_flag=True, help="Drop capital letters and accents.")
NO_BYTES = click.option(
    "--no-bytes", is_flag=True,
    help="What is not in the vocabulary is unknown, not spelt in bytes (unigram, words, "
    "characters).",
)  # fmt: skip
TEXT_COLUMN = click.option("--text-column", metavar="NAME", help="Column of the text in rows.")
SAMPLE_BYTES = click.option(
    "--sample-bytes", type=int, metavar="N",
    help="Learn from an even sample of so many bytes, at most; default: 50,000,000.",
)  # fmt: skip


@click.group()
def tokenizer() -> None:
    """Learn a tokenizer from your text, or measure tokenizers on it."""


@tokenizer.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option("--output", required=True, metavar="DIR", help="Folder for the tokenizer.")
@click.option(
    "--vocab-size", metavar="N",
    help="Entries, special tokens included, or auto (the default): as many as the text can fill.",
)  # fmt: skip
@KIND
@FAMILY
@LOWERCASE
@NO_BYTES
@click.option(
    "--sentinels", type=int, metavar="N",
    help="Tokens <extra_id_N> for T5; default: 100 for an encoder-decoder.",
)  # fmt: skip
@click.option("--max-length", type=int, metavar="N", help="The tokenizer's model_max_length.")
@SAMPLE_BYTES
@TEXT_COLUMN
@click.option("--force", is_flag=True, help="Replace a tokenizer in the output folder.")
@AS_JSON
def train(corpus: tuple[str, ...], output: str, force: bool, as_json: bool, **flags: Any) -> None:
    """Learn a tokenizer from CORPUS: files, folders, rows, or a folder made by prepare.

    The folder loads with transformers' AutoTokenizer. The same text gives the same bytes.
    """
    settings, read = _settings(flags)

    from tinyforge.cli.notes import say
    from tinyforge.recipes.tokenizer import learn_tokenizer

    learnt = learn_tokenizer(
        corpus, output=Path(output), settings=settings, read=read, force=force, tell=say
    )
    if as_json:
        print_json(learnt.to_json())
    else:
        click.echo(learnt.summary())


@tokenizer.command()
@click.argument("words", nargs=-1, required=True, metavar="TOKENIZER... TEXT...")
@click.option("--curve", is_flag=True, help="Try vocabulary sizes on the texts, and advise one.")
@KIND
@FAMILY
@LOWERCASE
@NO_BYTES
@SAMPLE_BYTES
@TEXT_COLUMN
@AS_JSON
def measure(words: tuple[str, ...], curve: bool, as_json: bool, **flags: Any) -> None:
    """Measure TOKENIZERs on TEXTs: bytes per token, unknowns, round trip, cost of embeddings.

    A folder with a tokenizer.json, and a hub id, is a tokenizer; anything else is text. --kind,
    --family, --lowercase and --no-bytes say what the tokenizers of --curve are like.
    """
    from tinyforge.errors import SettingError

    useless = [name for name in ("kind", "lowercase", "no_bytes") if flags[name] and not curve]
    if useless:
        flag = f"--{useless[0].replace('_', '-')}"
        raise SettingError("has no effect without --curve", where=flag, fix="Leave it out")
    settings, read = _settings(flags)

    from tinyforge.cli.notes import say
    from tinyforge.recipes.tokenizer_measure import measure_tokenizers

    found = measure_tokenizers(words, settings=settings, with_curve=curve, read=read, tell=say)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.render())


def _settings(flags: dict[str, Any]) -> tuple[Any, Any]:
    """The settings of the tokenizer and of reading that the flags stand for."""
    from tinyforge.config.corpus_read import ReadSettings
    from tinyforge.config.tokenizer import read_settings

    given = dict(flags)
    column = given.pop("text_column")
    if given.pop("no_bytes"):
        given["byte_fallback"] = False
    if not given["lowercase"]:
        given.pop("lowercase")
    read = ReadSettings(text_column=column) if column else ReadSettings()
    return read_settings(**given), read
