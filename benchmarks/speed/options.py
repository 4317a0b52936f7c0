"""The flags that every case takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.speed.harness import ROOT


def parser(about: str | None) -> argparse.ArgumentParser:
    """A parser with the shared flags."""
    found = argparse.ArgumentParser(description=about)
    found.add_argument("--json", action="store_true", help="print the whole result as JSON")
    found.add_argument("--save", action="store_true", help="keep the result for the report")
    found.add_argument("--repeat", type=int, default=3, help="runs of each side (3)")
    found.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    found.add_argument("--threads", type=int, default=2, help="of every side (2)")
    found.add_argument(
        "--data-folder", type=Path, default=ROOT.parent / "shared/data",
        help="where the public data sets lie (../shared/data)",
    )  # fmt: skip
    return found


def parse(flags: argparse.ArgumentParser) -> argparse.Namespace:
    """The values; ``--quick`` runs each side once and keeps nothing.

    A quick result is no measurement, so that it is never saved.
    """
    options = flags.parse_args()
    if options.quick:
        if options.save:
            flags.error("--quick measures nothing, and --save would keep it")
        options.repeat = 1
    return options
