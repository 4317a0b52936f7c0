"""Puts the saved results as tables into a page, between its two markers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed import table
from benchmarks.speed.harness import ROOT, read_json

BEGIN = "<!-- begin: benchmarks.speed.report -->"
END = "<!-- end: benchmarks.speed.report -->"
PAGE = ROOT / "docs" / "explain" / "speed.md"
RESULTS = Path(__file__).parent / "results"


def render(results: list[dict[str, Any]]) -> str:
    """All tables; results of one machine and one set of versions stand under one sentence."""
    groups: dict[str, list[str]] = {}
    for result in results:
        groups.setdefault(table.machine(result), []).append(table.render(result))
    return "\n\n".join("\n\n".join([where, *tables]) for where, tables in groups.items())


def put(page: str, text: str) -> str:
    """The page with ``text`` between its markers.

    Raises:
        ValueError: the markers are not there, or not in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the tables: {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> None:
    """Write the page, or print with ``--print``."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--page", type=Path, default=PAGE)
    flags.add_argument("--print", action="store_true", help="print the tables instead")
    chosen = flags.parse_args()
    results = [read_json(path) for path in sorted(RESULTS.glob("*.json"))]
    if not results:
        flags.error(f"there are no results in {RESULTS}; run a case with --save")
    text = render(results)
    if chosen.print:
        sys.stdout.write(text + "\n")
        return
    try:
        page = put(chosen.page.read_text(encoding="utf-8"), text)
    except (OSError, ValueError) as error:
        flags.error(str(error))
    chosen.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
