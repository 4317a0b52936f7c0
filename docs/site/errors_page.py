"""The catalogue of errors, from the places that raise them."""

from __future__ import annotations

from page_text import MADE, anchor, cell, code, table

from tinyforge.cli.failures import MACHINE_FAULTS, SMALLER
from tinyforge.recipes.error_catalogue import LETTERS, REFUSAL, Entry, catalogue, meaning_of

CODES = (
    ("0", "done"),
    ("2", "the input or a setting is wrong: one line says what, where and what to do"),
    ("3", "the work ran, but a condition does not hold (`export`, `verify`, "
          "`train --require-better`)"),
    ("130, 143", "stopped by Ctrl-C or SIGTERM; `--resume` goes on"),
    ("1", "a bug in TinyForge; the line says where the traceback is"),
)  # fmt: skip


def page() -> str:
    """The page."""
    entries = catalogue()
    lines = [
        MADE, "", "# Errors and their cures", "",
        "An error is one line: where, what is wrong, the value that was seen, what to do, and a "
        "code in brackets. `tinyforge explain CODE` shows what stands here, without a network. In "
        "Python the same errors are raised as classes of `tinyforge.errors`; all of them are "
        "`TinyForgeError`. `…` stands for what differs from case to case.", "",
        "## Exit codes", "", *table(("Code", "Meaning"), CODES),
    ]  # fmt: skip
    for family in LETTERS:
        lines += _family(family, [entry for entry in entries if entry.family == family])
    lines += [
        "", "## The machine", "", "These come from the system and carry no code.",
        *table(("What", "Cure"), [
            *((cell(what), cell(f"{cure}.")) for what, cure in _faults()),
            ("not enough memory", cell(f"{SMALLER}.")),
        ]),
        *_refusals([entry for entry in entries if entry.family == REFUSAL]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _faults() -> list[tuple[str, str]]:
    return list(dict.fromkeys(MACHINE_FAULTS.values()))


def _family(family: str, entries: list[Entry]) -> list[str]:
    if not entries:
        return []
    rows = [
        (anchor(entry.code) + code(entry.code), cell(entry.message), cell(entry.cure))
        for entry in entries
    ]
    title = f"## {family}"
    return ["", title, "", cell(meaning_of(family)), *table(("Code", "Message", "Cure"), rows)]


def _refusals(entries: list[Entry]) -> list[str]:
    rows = [
        (anchor(e.code) + code(e.code), str(e.status or "any"), cell(e.message), cell(e.cure))
        for e in entries
    ]
    return [
        "", "## Refusals over HTTP", "",
        'A server answers `{"error": {"message", "type", "param", "code"}}`; this is its `code`.',
        *table(("Code", "Status", "Message", "Cure"), rows),
    ]  # fmt: skip
