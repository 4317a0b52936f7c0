"""What the cases that answer rows share: rows a second, and answers beside a reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.speed import answers, figures
from benchmarks.speed.answers import Rounds, Run, Side

Rate = Callable[[Run], float]


def agreement(
    rounds: Rounds, reference: str, same: Callable[[str, str], tuple[int, int]]
) -> dict[str, float]:
    """Of each side the share of its answers that are the reference's, in its worst run.

    Args:
        same: of two answers, how many parts are the same, and how many there are.
    """
    wanted = rounds.runs[reference][0]["answers"]

    def share(run: Run) -> float:
        pairs = [same(one, other) for one, other in zip(run["answers"], wanted, strict=True)]
        return sum(found for found, _ in pairs) / max(1, sum(parts for _, parts in pairs))

    return {name: min(share(run) for run in runs) for name, runs in rounds.runs.items()}


def row_figures(
    sides: Sequence[Side], rounds: Rounds, rate: Rate, same: Mapping[str, float]
) -> dict[str, Any]:
    """Rows a second, agreement and memory of each side."""
    return {
        side.name: {
            "rows_per_second": figures.summary([rate(run) for run in rounds.runs[side.name]]),
            "peak_bytes": figures.summary([run["peak_bytes"] for run in rounds.runs[side.name]]),
            "same": same[side.name],
        }
        for side in sides
    }


def row_comparisons(
    sides: Sequence[Side],
    rounds: Rounds,
    rate: Rate,
    same: Mapping[str, float],
    limits: Mapping[str, float],
    noise: float,
) -> list[dict[str, Any]]:
    """Ours beside every peer of the same bits, and beside those of more.

    Args:
        same: by side, the share of answers that are the reference's.
        limits: the least such share of ours, by bits.
        noise: by so much ours may have a smaller share than a peer of the same bits.
    """
    found = []
    for ours in (side for side in sides if side.ours):
        for peer in (side for side in sides if not side.ours):
            if ours.bits == "fp32" and peer.bits != "fp32":
                continue
            if peer.spec.get("export", ours.bits) != ours.bits:
                continue  # it runs the graph of the other export of ours
            why = []
            if same[ours.name] < limits[ours.bits]:
                why.append(f"{same[ours.name]:.1%} of our answers are those of float32")
            if peer.bits == ours.bits and same[ours.name] < same[peer.name] - noise:
                why.append(f"of the peer's {same[peer.name]:.1%}, of ours {same[ours.name]:.1%}")
            found.append(answers.compared(ours, peer, rounds, rate, why))
    return found
