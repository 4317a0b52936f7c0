"""The results of the answering cases as Markdown; ``table`` has the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.speed import table
from benchmarks.speed.table import MIB, Result, counts, rows_of, spread, times


def decode(result: Result) -> str:
    """Tokens a second of one stream."""

    def cells(name: str, found: dict[str, Any]) -> list[str]:
        share = found.get("read_share")
        size = found["size_bytes"]
        return [
            spread(found["tokens_per_second"]),
            f"{1e3 * found['first_seconds']['median']:.0f}",
            f"{share['median']:.0%}" if share else "",
            f"{size / MIB:,.0f}" if size else "",
            f"{found['peak_bytes']['median'] / MIB:,.0f}",
            f"{found['fidelity']['error']:.2%}",
        ]

    header = (
        "tokens/s", "first token, ms", "of read rate", "on disk, MiB", "memory, MiB",
        "error of logits",
    )  # fmt: skip
    rates = [
        f"{name} {min(e[name] for e in result['extras']) / 1e9:.1f} to "
        f"{max(e[name] for e in result['extras']) / 1e9:.1f} GB/s"
        for name in ("read", "copy")
    ]
    return whole(result, header, cells) + f"\n\nMemory: {', '.join(rates)}." + _schemes(result)


def streams(result: Result) -> str:
    """Tokens a second of many streams."""

    def cells(name: str, found: dict[str, Any]) -> list[str]:
        return [
            spread(found["tokens_per_second"]), spread(found["first_p50"]),
            spread(found["first_p95"]), f"{found['peak_bytes']['median'] / MIB:,.0f}",
        ]  # fmt: skip

    header = ("tokens/s in all", "first token, s: median", "p95", "memory, MiB")
    waits = "; ".join(
        f"{one['peer']} {1 / one['first_p95']['ratio']:.2f}x ours" for one in result["comparisons"]
    )
    return whole(result, header, cells) + f"\n\nFirst token, p95: {waits}." + _schemes(result)


def rows(result: Result) -> str:
    """Rows a second, and how many answers are those of the reference."""

    def cells(name: str, found: dict[str, Any]) -> list[str]:
        return [
            spread(found["rows_per_second"]), f"{found['same']:.1%}",
            f"{found['peak_bytes']['median'] / MIB:,.0f}",
        ]  # fmt: skip

    header = ("rows/s", result["same_means"], "memory, MiB")
    return whole(result, header, cells) + _schemes(result)


def whole(
    result: Result, header: Sequence[str], cells: Callable[[str, dict[str, Any]], list[str]]
) -> str:
    """Every side, then every pair that is compared, then what is missing."""
    sides = [[name, *cells(name, found)] for name, found in result["figures"].items()]
    pairs = [
        [one["side"], one["peer"], times(one["speed"]), counts(one)]
        for one in result["comparisons"]
    ]
    lines = [table.heading(result) + rows_of(("side", *header), sides)]
    if pairs:
        lines.append(rows_of(("side", "beside", "is", "counts"), pairs))
    lines += [f"Left out: {name}: {why}." for name, why in sorted(result["left_out"].items())]
    return "\n\n".join(lines)


def _schemes(result: Result) -> str:
    named = ", ".join(f"{bits}: {name}" for bits, name in result.get("schemes", {}).items())
    return f" Our schemes: {named}." if named else ""
