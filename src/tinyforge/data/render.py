"""An inspection as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDTH = 96
_BAR = 40
_LABELS = 30
_TOKENS = 80
_TAIL = 10
_TEXT = 600


def render(inspection: Mapping[str, Any]) -> str:
    """The text of an ``Inspection.to_json()``."""
    report = inspection["report"]
    sections = (
        ("Columns", _columns(inspection)),
        ("Rows", _rows(report)),
        ("Labels", _labels(report)),
        ("Duplicates and leaks", _duplicates(report)),
        ("Split", _split(report)),
        ("Lengths", _lengths(inspection)),
        ("Token X-ray", _xrays(inspection["samples"])),
    )
    parts = []
    for title, lines in sections:
        body = [f"  {line}" for line in lines]
        if body:
            parts.append("\n".join([title, *body]))
    return "\n\n".join(parts)


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False) or [""]


def _columns(inspection: Mapping[str, Any]) -> Iterator[str]:
    columns = inspection["report"]["columns"]
    roles = ", ".join(f"{part} = {name!r}" for part, name in columns["roles"].items())
    yield f"understood as {columns['convention']}: {roles}"
    yield from _wrapped(columns["why"])
    if inspection["why"]:
        yield from _wrapped(inspection["why"])


def _rows(report: Mapping[str, Any]) -> Iterator[str]:
    for file in report["files"]:
        yield (
            f"{file['part']}: {file['source']}: {file['read']:,} read, {file['kept']:,} kept, "
            f"{file['rejected']:,} rejected"
        )
    for reason, count in report["reasons"].items():
        yield f"rejected {count:,}: {reason}"
        for bad in report["first_rejected"]:
            if bad["reason"] == reason:
                detail = f" ({bad['detail']})" if bad["detail"] else ""
                yield f"    {bad['file']}:{bad['line']}{detail} {bad['excerpt'][:60]!r}"


def _labels(report: Mapping[str, Any]) -> Iterator[str]:
    counts = report["labels"].get("train", {})
    if not counts:
        return
    ranked = sorted(counts, key=lambda name: -counts[name])
    most = max(1, counts[ranked[0]])
    yield f"{len(ranked)} labels in the training rows, the commonest first"
    shown = ranked if len(ranked) <= _LABELS else [*ranked[: _LABELS - 5], *ranked[-5:]]
    width = min(30, max(map(len, shown)))
    for place, name in enumerate(shown):
        if len(ranked) > _LABELS and place == _LABELS - 5:
            yield f"… {len(ranked) - _LABELS} more …"
        bar = "#" * round(_BAR * counts[name] / most)
        yield f"{name[:30]:<{width}} {counts[name]:>8,} {bar}".rstrip()


def _duplicates(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"rows that repeat an earlier row: {report['duplicate_rows']:,}"
    yield f"rows that repeat an earlier row's input: {report['duplicate_inputs']:,}"
    yield f"rows with a near-duplicate: {report['near_duplicates']:,}"
    conflicts = report["conflicts"]
    if conflicts["inputs"]:
        yield (
            f"conflicting labels: {conflicts['inputs']:,} inputs stand with different labels, "
            f"in {conflicts['rows']:,} rows"
        )
        for example in conflicts["examples"]:
            yield f"    {' / '.join(example['labels'])}: {example['input'][:60]!r}"
            yield f"        {', '.join(example['where'])}"
    for leak in report["leaks"]:
        found = leak["exact"] + leak["near"]
        line = f"leaks: {found:,} of {leak['rows']:,} {leak['part']} rows also stand in training"
        yield line + f" ({leak['exact']:,} exactly, {leak['near']:,} nearly)"
        if leak["examples"]:
            yield f"    such as {', '.join(leak['examples'])}"


def _split(report: Mapping[str, Any]) -> Iterator[str]:
    split = report["split"]
    yield ", ".join(f"{part}: {split[part]:,}" for part in ("train", "validation", "test"))
    if split["dropped"]:
        yield f"left out, because a like row is held out: {split['dropped']:,}"
    for note in report["notes"]:
        yield from _wrapped(f"note: {note}")


def _lengths(inspection: Mapping[str, Any]) -> Iterator[str]:
    for facts in inspection["lengths"]:
        yield (
            f"{facts['side']} in {facts['unit']}: mean {facts['mean']}, median {facts['median']}, "
            f"longest {facts['longest']:,} ({facts['rows']:,} rows measured)"
        )
        most = max((count for _, count in facts["histogram"]), default=1) or 1
        low, begun = 0, False
        for high, count in facts["histogram"]:
            begun = begun or count > 0
            if not begun:
                low = high + 1
                continue
            bar = "#" * round(_BAR * count / most)
            yield f"  {low:>6,} to {high:>6,} {count:>9,} {bar}".rstrip()
            low = high + 1
        for cut in facts["cuts"]:
            yield (
                f"  a limit of {cut['length']:,} would cut {cut['rows']:,} rows, "
                f"the first at {cut['first']}"
            )
    limits = inspection["limits"]
    if limits is not None:
        yield from _limits(limits)


def _limits(limits: Mapping[str, Any]) -> Iterator[str]:
    line = f"limits: input {limits['max_length']:,} tokens"
    if limits["max_output_length"] != limits["max_length"]:
        line += f", answer {limits['max_output_length']:,} tokens"
    if limits["in_pieces"]:
        yield line + "; longer rows are trained in pieces, nothing is cut"
    else:
        yield line + (
            f"; they cut {limits['cut_inputs']:,} inputs and {limits['cut_outputs']:,} answers"
        )
    if limits["first_cut"]:
        yield f"  the first cut answer: {limits['first_cut']}"
    if limits["nothing_rows"]:
        yield (
            f"  rows with no token to learn from: {limits['nothing_rows']:,}, "
            f"the first at {limits['nothing_to_learn'][0]}"
        )


def _xrays(samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if samples:
        yield "tokens in [brackets] carry loss"
    for sample in samples:
        yield ""
        yield sample["where"]
        if sample["text"]:
            yield f"  text: {_shown(sample['text'])}"
        if sample["labels"] or sample["ends"] is None:
            yield f"  to learn: {', '.join(sample['labels']) or 'no label'}"
        else:
            yield f"  answer: {_shown(sample['answer'])}"
        if sample["rejected"]:
            yield f"  rejected: {_shown(sample['rejected'])}"
        yield from _tokens(sample)
        if sample["length"] > len(sample["ids"]):
            yield f"  {sample['length']:,} tokens in all"
        if sample["ends"] is not None:
            yield f"  end token learnt: {'yes' if sample['ends'] else 'no'}"
        if sample["cut"]:
            yield f"  cut: {sample['cut']:,} tokens"


def _tokens(sample: Mapping[str, Any]) -> Iterator[str]:
    start = sample["answer_start"]
    whole = list(zip(sample["tokens"], sample["ids"], sample["learnt"], strict=True))
    parts = [("tokens", whole)]
    if start is not None:
        parts = [("input tokens", whole[:start]), ("answer tokens", whole[start:])]
    elif len(whole) > _TOKENS and True in sample["learnt"][1:]:
        # A long prompt must not push what is learnt out of sight.
        start = sample["learnt"].index(True)
        parts = [
            ("prompt tokens", whole[:start]),
            ("tokens from the first learnt one", whole[start:]),
        ]
    for title, tokens in parts:
        shown = _ends([f"[{token}]" if learnt else token for token, _, learnt in tokens])
        numbers = _ends([str(number) for _, number, _ in tokens])
        for line in (f"{title}: {shown}", f"ids: {numbers}"):
            for part in textwrap.wrap(line, _WIDTH - 4, break_on_hyphens=False):
                yield f"  {part}"


def _ends(words: list[str]) -> str:
    """The beginning and the end of a long list, with the number of those left out."""
    if len(words) <= _TOKENS:
        return " ".join(words)
    left_out = len(words) - _TOKENS
    head, tail = words[: _TOKENS - _TAIL], words[-_TAIL:]
    return f"{' '.join(head)} … {left_out} more … {' '.join(tail)}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _TEXT else text[:_TEXT] + "…")
