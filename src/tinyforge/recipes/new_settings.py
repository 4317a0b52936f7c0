"""A commented settings file for the user's rows, to begin with."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinyforge.artifacts.files import write_text
from tinyforge.config.names import Setting, explicit, settings_table, value_of
from tinyforge.config.settings import Settings
from tinyforge.config.units import unit_of
from tinyforge.errors import FolderError
from tinyforge.recipes.explain import shown_default
from tinyforge.recipes.inspect import inspect_data

if TYPE_CHECKING:
    from tinyforge.data.inspect import Inspection

USUAL = (
    # What people change first; the others come with ``everything``.
    "data.input", "data.output", "data.group", "data.time", "data.validation", "data.test",
    "data.test_share", "data.max_length", "data.max_output_length", "data.max_rows",
    "model.name", "model.vocab_size", "lora.enabled", "lora.r", "train.epochs", "train.max_steps",
    "train.max_minutes", "train.batch_size", "train.learning_rate", "train.early_stopping",
    "train.best_by", "train.precision", "train.seed", "evaluate.baseline_models",
    "evaluate.learning_curve", "generate.max_new_tokens", "generate.temperature",
)  # fmt: skip

WIDTH = 96
LABELS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class NewSettings:
    """A settings file that was written, and what it is for."""

    path: Path
    data: str
    why: str

    def summary(self) -> str:
        """A few lines for the terminal."""
        words = f"{shlex.quote(self.data)} --output my-model --config {shlex.quote(str(self.path))}"
        return f"{self.why}\nwritten: {self.path}\nnext:    tinyforge train {words}"


def write_settings(
    data: str, path: Path, settings: Settings, *, everything: bool = False, force: bool = False
) -> NewSettings:
    """Look at the rows and write a settings file for them.

    Args:
        settings: what was asked for: it stands in the file as given, not as a comment.
        everything: whether to list every setting and not the usual ones alone.
        force: whether a file that is there may be replaced.

    Raises:
        FolderError: the file is there already, or cannot be written.
        DataError: the rows cannot be used.
    """
    if path.exists() and not force:
        raise FolderError(
            "is there already", where=str(path), fix="Name another --output, or say --force"
        )
    inspection = inspect_data(data, settings=settings, model=False)
    write_text(path, settings_file(data, path, inspection, settings, everything=everything))
    return NewSettings(path, data, inspection.why)


def settings_file(
    data: str, path: Path, inspection: Inspection, settings: Settings, *, everything: bool
) -> str:
    """The file's text: YAML in which all but what was asked for and decided is a comment."""
    words = f"{shlex.quote(data)} --output my-model --config {shlex.quote(str(path))}"
    lines = [
        f"# Settings to train on {' '.join(data.split())}. Use them so:",
        f"#   tinyforge train {' '.join(words.split())}", "#",
        "# What was seen in the rows:", *_seen(inspection), "#",
        "# A line that is a comment shows the default. Take its first # away to set it. More about",
        "# a setting: tinyforge explain train.epochs", "",
    ]  # fmt: skip
    given = {name: value_of(settings, name) for name in explicit(settings)}
    given.setdefault("task", inspection.report.task)
    stage = ""
    for name, setting in settings_table(Settings).items():
        if not (everything or name in USUAL or name in given):
            continue
        own, _, field = name.rpartition(".")
        if own != stage:
            stage = own
            lines += ["", f"{stage}:"] if own else []
        indent = "  " if own else ""
        lines += [f"{indent}# {line}" for line in _about(setting, inspection)]
        if name in given:
            lines.append(f"{indent}{field}: {json.dumps(given[name], ensure_ascii=False)}")
        else:
            lines.append(f"{indent}# {field}: {shown_default(setting) or 'null'}")
    return "\n".join(lines) + "\n"


def _seen(inspection: Inspection) -> Iterator[str]:
    """What is in the rows, as comments."""
    report = inspection.report
    found = [inspection.why, f"{report.kept:,} rows can be used"]
    if report.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items())
        found[-1] += f", {report.rejected:,} cannot ({reasons})"
    if report.duplicate_rows or report.near_duplicates:
        found.append(
            f"{report.duplicate_rows:,} rows repeat another one, {report.near_duplicates:,} nearly"
        )
    if report.conflicts.rows:
        found.append(f"{report.conflicts.rows:,} rows have the same input and different labels")
    counts: dict[str, int] = {}
    for part in report.labels.values():
        for label, count in part.items():
            counts[label] = counts.get(label, 0) + count
    if counts:
        usual = sorted(counts.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{label} {count:,}" for label, count in usual[:LABELS_SHOWN])
        more = f" and {len(counts) - LABELS_SHOWN} more" if len(counts) > LABELS_SHOWN else ""
        found.append(f"{len(counts):,} labels: {shown}{more}")
    found += [
        f"{each.side}: {each.median:,} {each.unit} in the middle, {each.longest:,} at most"
        for each in inspection.lengths
    ]
    for text in found:
        yield from _comment(f"- {text}", "#   ")


def _about(setting: Setting, inspection: Inspection) -> list[str]:
    unit = unit_of(setting)
    text = f"{setting.description} Takes {setting.allowed}{f' ({unit})' if unit else ''}."
    column = inspection.report.columns.get("roles", {}).get(setting.name.removeprefix("data."))
    if setting.name.startswith("data.") and column:
        text += f" Found: {json.dumps(column, ensure_ascii=False)}."
    return textwrap.wrap(" ".join(text.split()), WIDTH)


def _comment(text: str, start: str) -> list[str]:
    plain = " ".join(text.split())
    return textwrap.wrap(plain, WIDTH, initial_indent=start, subsequent_indent=f"{start}  ")
