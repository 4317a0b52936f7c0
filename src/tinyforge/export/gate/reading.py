"""Whether the exported model reads what the source reads: labels, settings, tokens, to the last id.

Most exports that went wrong in the world went wrong here: another template, a missing end token, a
vocabulary of another version, labels in another order. All of it can be compared exactly, whatever
precision the weights have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.errors import TinyForgeError
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.configs import config_problems, plain_json
from tinyforge.export.gate.questions import made_up
from tinyforge.export.gate.reference import start_id
from tinyforge.inference.detokenize import decode
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.tokens import load_tokenizer
from tinyforge.records.examples import Example
from tinyforge.tasks.decoder import unanswered
from tinyforge.tasks.tokens import pad_id

NAME = "reading"

WORDS = {
    "name": "it is made for another task",
    "labels": "its labels are others, or stand in another order",
    "multi_label": "it gives a row another number of labels",
    "threshold": "its threshold is another one",
    "prefix": "it puts another prefix before every input",
    "system": "its system message is another one",
    "max_length": "it cuts inputs at another length",
    "max_output_length": "it cuts answers at another length",
    "max_new_tokens": "its answers may have another length",
}
"""What it means where a field of the task differs."""

NAMED_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
SIDES = ("padding_side", "truncation_side")

_DECODED = 4_096
"""Ids whose text is compared one by one, at most."""


def check_reading(
    source: TorchModel,
    exported: Any,
    examples: Sequence[Example],
    folder: Path,
    record: ExportRecord | None,
) -> Check:
    """Compare everything that comes before and after the numbers.

    Args:
        exported: has a ``task`` and a ``tokenizer``.
        examples: real rows, with their answers where they have any.
        record: of an exported folder of graphs; None for other formats.
    """
    rows = [*examples, *made_up()]
    looks = (
        _task(source, exported),
        _record(source, record) if record is not None else iter(()),
        _tokens(source, exported, rows),
        _texts(source, exported),
        _template(source, record) if record is not None else iter(()),
        _files(source, folder),
    )
    for look in looks:
        for problem in look:
            return failed(NAME, f"the exported model does not read as the source does: {problem}")
    tokens = sum(len(item.input_ids) for item in source.task.encode(_unlabelled(rows)))
    return Check(
        NAME, True,
        f"labels, template and settings are the source's, and {len(rows):,} texts become the same "
        f"{tokens:,} tokens",
        {"texts": len(rows), "tokens": tokens},
    )  # fmt: skip


def _task(source: TorchModel, exported: Any) -> Iterator[str]:
    ours, theirs = (plain_json(model.task.state()) for model in (source, exported))
    for field in [*ours, *(name for name in theirs if name not in ours)]:
        if ours.get(field) != theirs.get(field):
            said = WORDS.get(field, f"its task's {field} is another one")
            yield f"{said} ({_short(theirs.get(field))} instead of {_short(ours.get(field))})"


def _record(source: TorchModel, record: ExportRecord) -> Iterator[str]:
    """What the record tells the runtime, beside what the source does."""
    if record.weights != source.hash:
        yield f"it was made from other weights ({record.weights} instead of {source.hash})"
    config = record.config
    wanted: dict[str, Any] = {
        "pad_token_id": pad_id(source.tokenizer, source.model.config),
        "max_positions": source.max_positions,
    }
    if source.task.name == "classify":
        wanted["num_labels"] = len(source.labels)
    else:
        wanted["decoder_start_token_id"] = start_id(source)
        generation = getattr(source.model, "generation_config", None)
        ends = {
            token
            for holder in (source.model.config, generation)
            for token in _listed(getattr(holder, "eos_token_id", None))
        }
        there = set(_listed(config.get("eos_token_id")))
        if there != ends:
            yield f"its answers end at {sorted(there)} instead of {sorted(ends)}"
    for name, value in wanted.items():
        if config.get(name) != value:
            yield f"its {name} is {config.get(name)} instead of {value}"
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        ours = getattr(source.tokenizer, name, None)
        if record.tokens.get(name) != ours:
            yield f"its {name} is {_short(record.tokens.get(name))} instead of {_short(ours)}"
    own = source.settings.model_dump(mode="json", exclude_unset=True)
    if plain_json(record.generation) != plain_json(own):
        yield f"it writes with other settings ({_short(dict(record.generation))})"


def _tokens(source: TorchModel, exported: Any, rows: Sequence[Example]) -> Iterator[str]:
    """Ids of whole rows with their answers, and as they are asked."""
    for kind, asked in (("", rows), (", as it is asked,", _unlabelled(rows))):
        given = _unlabelled(asked) if source.task.name == "classify" else list(asked)
        try:
            found = exported.task.encode(given)
        except NOT_THE_EXPORT:
            raise
        except Exception as error:  # a wrong tokenizer or template may raise anything
            yield f"it cannot read the rows ({_short(str(error))})"
            return
        for example, ours, theirs in zip(given, source.task.encode(given), found, strict=True):
            a, b = ours.input_ids.tolist(), theirs.input_ids.tolist()
            if a != b:
                yield f"{example.source}{kind} becomes other tokens: {_differing(a, b)}"
            if ours.labels.tolist() != theirs.labels.tolist():
                a, b = ours.labels.tolist(), theirs.labels.tolist()
                yield f"the answer of {example.source} becomes other tokens: {_differing(a, b)}"
    ends = set(getattr(source.task, "end_ids", ()))
    if set(getattr(exported.task, "end_ids", ())) != ends:
        yield f"its answers end at {sorted(exported.task.end_ids)} instead of {sorted(ends)}"


def _texts(source: TorchModel, exported: Any) -> Iterator[str]:
    """Ids to text, for ids from all over the vocabulary."""
    if source.task.name == "classify":
        return
    size = len(source.tokenizer)
    for token in range(0, size, max(1, size // _DECODED)):
        ours, theirs = (decode(model.tokenizer, [token]) for model in (source, exported))
        if ours != theirs:
            yield f"the token {token} is written {_short(theirs)} instead of {_short(ours)}"


def _template(source: TorchModel, record: ExportRecord) -> Iterator[str]:
    """The whole of it: rows may not reach every branch."""
    found = source.tokenizer.chat_template
    ours = found.get("default") if isinstance(found, dict) else found
    if record.tokens.get("chat_template") != ours:
        yield "its chat template is another one"


def _files(source: TorchModel, folder: Path) -> Iterator[str]:
    """What other programs read: the tokenizer's and the model's files."""
    yield from config_problems(source, folder)
    if not (folder / "tokenizer.json").is_file():
        yield "tokenizer.json is missing"
        return
    try:
        there = orjson.loads((folder / "tokenizer.json").read_bytes())
        found = load_tokenizer(folder)
    except (TinyForgeError, ValueError) as error:
        yield f"its tokenizer files are damaged ({_short(str(error))})"
        return
    if found.get_vocab() != source.tokenizer.get_vocab():
        yield f"tokenizer.json holds another vocabulary: {_vocabulary(source.tokenizer, found)}"
    for part in ("padding", "truncation"):
        if isinstance(there, dict) and there.get(part):
            yield f"tokenizer.json asks for {part} of every text"
    for name in (*NAMED_TOKENS, *SIDES, "chat_template"):
        ours, theirs = (getattr(each, name, None) for each in (source.tokenizer, found))
        if ours != theirs:
            yield f"its tokenizer's {name} is {_short(theirs)} instead of {_short(ours)}"


def _vocabulary(ours: Any, theirs: Any) -> str:
    before, now = ours.get_vocab(), theirs.get_vocab()
    token = next(t for t in sorted({*before, *now}) if before.get(t) != now.get(t))
    return f"{_short(token)} is {now.get(token)} instead of {before.get(token)}"


def _differing(ours: Sequence[int], theirs: Sequence[int]) -> str:
    """Where two lists of ids part, in words."""
    if len(theirs) < len(ours) and list(ours[: len(theirs)]) == list(theirs):
        return f"the last {len(ours) - len(theirs)} of {len(ours)} are missing"
    if len(theirs) > len(ours) and list(theirs[: len(ours)]) == list(ours):
        return f"{len(theirs) - len(ours)} more follow the last one"
    place = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    return f"number {place + 1} is {theirs[place]} instead of {ours[place]}"


def _unlabelled(rows: Sequence[Example]) -> list[Example]:
    return [unanswered(row) for row in rows]


def _listed(tokens: Any) -> list[int]:
    """One token or several."""
    several = tokens if isinstance(tokens, list | tuple) else [tokens]
    return [int(token) for token in several if token is not None]


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + "…"
