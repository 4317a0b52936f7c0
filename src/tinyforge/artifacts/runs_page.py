"""The page that lists runs, with the way to each one's report and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.artifacts.html import fill


def runs_page(top: str, runs: Sequence[Mapping[str, Any]], problem: str = "") -> str:
    """The page as HTML.

    Args:
        top: the folder that was searched.
        runs: what the table shows of each run: ``name``, ``key`` (its part of the address),
            ``date``, ``task``, ``model``, ``metric``, ``value``, ``verdict``, ``state``,
            ``problem``, and whether it ``has_report`` and ``can_answer``.
        problem: what did not work, shown above the table.
    """
    return fill("runs.html.jinja", {"top": top, "runs": list(runs), "problem": problem})
