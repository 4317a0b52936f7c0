"""``tinyforge predict MODEL [TEXT…]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from tinyforge.cli.notes import say
from tinyforge.cli.options import SET, Command
from tinyforge.errors import DataError, FolderError, SettingError

if TYPE_CHECKING:
    from tinyforge.config.settings import Settings
    from tinyforge.recipes.predict import Answered
    from tinyforge.recipes.prompting import Answerer
    from tinyforge.recipes.questions import Questions

STAGES = ("data", "generate", "model")
ANSWERING = ("model.revision", "model.trust_remote_code")

ANSWER_FLAGS = (
    click.option("--max-new-tokens", metavar="N", help="Tokens written, at most."),
    click.option("--temperature", metavar="X", help="0 is greedy; higher is more random."),
    click.option("--top-k", metavar="N", help="Sample among the likeliest N tokens."),
    click.option("--top-p", metavar="X", help="Sample within this probability mass."),
    click.option("--num-beams", metavar="N", help="Beams of beam search."),
    click.option("--stop", multiple=True, metavar="S", help="Ends the answer. May be repeated."),
    click.option("--seed", metavar="N", help="Seed of sampling."),
    click.option("--batch-size", metavar="N", help="Rows answered together."),
    click.option(
        "--logprobs",
        metavar="N",
        help="Tell the tokens' log-probabilities, and of N others, in JSON.",
    ),
    click.option(
        "--json-schema",
        metavar="S",
        help="Answer in JSON that a schema admits: a file, or the schema.",
    ),
)
"""Short for the settings ``generate.…`` of the same names."""


def answer_flags(command: Command) -> Command:
    """Give a command all of ``ANSWER_FLAGS``, in their order."""
    for flag in reversed(ANSWER_FLAGS):
        command = flag(command)
    return command


@click.command()
@click.argument("model")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--input", "source", metavar="FILE", help="Answer each row of a file; - is stdin.")
@click.option("--output", metavar="FILE", help="Write JSON lines to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option(
    "--prompt", metavar="P", help="A prompt's name, a YAML or JSON file, or 'text with {input}'."
)
@answer_flags
@click.option(
    "--min-confidence", metavar="X", help="Withhold less sure answers; auto: as chosen in training."
)
@click.option("--stream", is_flag=True, help="Print each answer while it is written.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the model.")
@SET
def predict(
    model: str,
    texts: tuple[str, ...],
    source: str | None,
    output: str | None,
    as_json: bool,
    prompt: str | None,
    stop: tuple[str, ...],
    min_confidence: str | None,
    stream: bool,
    trust_remote_code: bool,
    overrides: tuple[str, ...],
    **flags: str | None,
) -> None:
    """Answer each TEXT, or each row of a file, with MODEL.

    MODEL is a run or exported folder, any Hugging Face folder, or a hub id. FILE may have any
    format that training reads; the input column is found by its name, or named with --set
    data.input=NAME. Of a plain text file, and of standard input, each line is answered. With
    --prompt a model that was never trained for the job is asked for it; a folder saved with a
    prompt needs no --prompt.

    Answers are printed one a line, in the order of the inputs; with several, a line break inside
    an answer is printed as \\n. A row that cannot be answered is named on standard error with
    file and line, and leaves an empty line, or in JSON {"input", "output": null, "error"}. An
    answer below --min-confidence is printed as "I don't know", or in JSON as a null output with
    "withheld": true. With --output, lines go to FILE.part, which becomes FILE at the end.
    """
    _check_source(texts, source)
    if stream:
        _check_stream({"--json": as_json, "--output": output, "--min-confidence": min_confidence})
    _check_output(output, source)
    settings = _settings(texts, stop, trust_remote_code, overrides, flags)
    _check_logprobs(settings, told=as_json or output is not None)

    from tinyforge.recipes.questions import given_texts, read_questions

    questions = given_texts(texts) if texts else read_questions(source, settings.data)

    from tinyforge.recipes.load import load

    loaded = load(
        model, prompt=prompt, trust_remote_code=trust_remote_code, revision=settings.model.revision
    )
    if stream:
        _stream(loaded, questions, settings)
        return

    from tinyforge.recipes.predict import predict as recipe

    least = _least(min_confidence, loaded)
    answers = recipe(loaded, questions, settings.generate, min_confidence=least)
    if output is not None:
        counts = _save(answers, Path(output))
    elif as_json:
        counts = _write(answers, sys.stdout, bar=source is not None)
    else:
        counts = _print(answers, several=source is not None or len(texts) > 1)
    _sum_up(*counts)


def _check_source(texts: tuple[str, ...], source: str | None) -> None:
    if not texts and source is None:
        raise DataError(
            "there is nothing to answer",
            fix='Give a text in quotes: tinyforge predict MODEL "how are you", or --input FILE '
            "(- reads standard input)",
        )
    if texts and source is not None:
        raise SettingError(
            "texts and --input are given, and only one can be answered",
            where="--input", value=source, fix="Give one of the two",
        )  # fmt: skip


def _check_stream(beside: dict[str, Any]) -> None:
    others = [flag for flag, given in beside.items() if given]
    if others:
        raise SettingError(
            "--stream prints plain text while it is written, so it does not go with "
            + others[0],
            where="--stream", fix="Leave one of them out",
        )  # fmt: skip


def _check_logprobs(settings: Settings, *, told: bool) -> None:
    if settings.generate.logprobs is not None and not told:
        raise SettingError(
            "log-probabilities are told in JSON lines only", where="generate.logprobs",
            value=settings.generate.logprobs, fix="Add --json, or --output FILE",
        )  # fmt: skip


def _least(asked: str | None, model: Answerer) -> float:
    """The confidence below which answers are withheld."""
    if asked is None:
        return 0.0
    if asked == "auto":
        from tinyforge.recipes.predict import saved_min_confidence

        return saved_min_confidence(model)
    try:
        value = float(asked)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SettingError(
            "is neither auto nor a number from 0 to 1", where="--min-confidence", value=asked,
            fix="For example --min-confidence 0.8",
        )  # fmt: skip
    return value


def _settings(
    texts: tuple[str, ...],
    stop: tuple[str, ...],
    trust_remote_code: bool,
    overrides: tuple[str, ...],
    flags: dict[str, str | None],
) -> Settings:
    from tinyforge.config.load import load_settings
    from tinyforge.config.names import explicit

    flags = {**flags, "json_schema": _content(flags["json_schema"])}
    given = [f"generate.{name}={value}" for name, value in flags.items() if value is not None]
    direct: dict[str, Any] = {"generate.stop": list(stop)} if stop else {}
    if trust_remote_code:
        direct["model.trust_remote_code"] = True
    settings = load_settings(None, [*overrides, *given], direct, only=STAGES)
    for name in explicit(settings):
        if name.startswith("data.") and texts:
            why = "it is about files, and texts are given"
        elif name.startswith("model.") and name not in ANSWERING:
            why = "it is about training, and the model is there already"
        else:
            continue
        raise SettingError(f"has no effect: {why}", where=name, fix="Leave it out")
    return settings


def _content(schema: str | None) -> str | None:
    """A schema as it is given, or what is in the file of that name."""
    if schema is None or schema.lstrip().startswith("{"):
        return schema
    try:
        return Path(schema).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingError(
            "no such file of a schema", where="--json-schema", value=schema,
            fix='Name a file, or write the schema: \'{"type": "object"}\'',
        ) from error  # fmt: skip


def _stream(model: Answerer, questions: Questions, settings: Settings) -> None:
    from tinyforge.records.rows import Rejected

    options = settings.generate.model_dump(exclude_unset=True)
    for item in questions.examples(model.task.name):
        if isinstance(item, Rejected):
            say(f"warning: {item.source}: {item.reason}; not answered")
            click.echo()
            continue
        for piece in model.stream(item, **options):
            click.echo(piece, nl=False)
        click.echo()


def _check_output(output: str | None, source: str | None) -> None:
    if output is None:
        return
    path = Path(output)
    if path.is_dir() or not path.parent.is_dir():
        what = "this is a folder" if path.is_dir() else "the folder around it does not exist"
        raise FolderError(what, where="--output", value=output, fix="Name a file")
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        raise SettingError(
            "the answers would replace the rows", where="--output", value=output,
            fix="Name another file",
        )  # fmt: skip


@contextmanager
def _growing(path: Path) -> Iterator[TextIO]:
    """A file that grows line by line beside ``path`` and takes its place at the end."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        try:
            yield file
        except BaseException:
            say(f"what was answered so far is in {part}")
            raise
    part.replace(path)


def _save(answers: Iterator[Answered], path: Path) -> tuple[int, int]:
    with _growing(path) as file:
        return _write(answers, file)


def _write(answers: Iterator[Answered], file: TextIO, *, bar: bool = True) -> tuple[int, int]:
    done = unanswered = 0
    with _bar(show=bar) as step:
        for answered in answers:
            print(json.dumps(answered.to_json(), ensure_ascii=False), file=file, flush=True)
            done += 1
            unanswered += _tell(answered)
            step()
    return done, unanswered


def _print(answers: Iterator[Answered], *, several: bool) -> tuple[int, int]:
    done = unanswered = 0
    for answered in answers:
        done += 1
        unanswered += _tell(answered)
        text = answered.prediction.output if answered.prediction else ""
        text = "I don't know" if answered.withheld else text
        click.echo(text.replace("\r", "\\r").replace("\n", "\\n") if several else text)
    return done, unanswered


def _tell(answered: Answered) -> bool:
    """Name a row without an answer on standard error; whether it is one."""
    if answered.prediction is not None:
        return False
    say(f"warning: {answered.source}: {answered.problem}; not answered")
    return True


def _sum_up(rows: int, unanswered: int) -> None:
    if rows and rows == unanswered:
        raise DataError(
            "no row could be answered", value=f"{rows:,} rows", fix="See the reasons above"
        )
    if unanswered:
        say(f"{unanswered:,} of {rows:,} rows were not answered; their lines say so")


@contextmanager
def _bar(*, show: bool) -> Iterator[Any]:
    """Counts rows on standard error, where that is a terminal."""
    if not show or not sys.stderr.isatty():
        yield lambda: None
        return
    from tqdm import tqdm

    with tqdm(unit=" rows", file=sys.stderr, leave=False) as bar:
        yield bar.update
