"""What ``compress`` gives: the smaller model's folder, what was cut, and the page's figures."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import read_json
from tinyforge.artifacts.words import bytes_text, duration_text
from tinyforge.errors import SettingError

RECORD, PAGE, FIGURES = "compress.json", "pareto.html", "pareto.json"
"""In ``tinyforge/``: what was cut, the page to choose from, and its figures."""


@dataclass(frozen=True)
class Compressed:
    """A model that was made smaller.

    Attributes:
        output_dir: the folder of the smaller model.
        cuts: what went, as in ``tinyforge/compress.json``.
        report: the figures of the page, as in ``tinyforge/pareto.json``.
    """

    output_dir: Path
    cuts: dict[str, Any] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    @property
    def page(self) -> Path:
        """The page to choose from."""
        return self.output_dir / "tinyforge" / PAGE

    def result(self) -> dict[str, Any]:
        """One object for a program; what ``tinyforge compress --json`` prints."""
        kept = ("task", "metric", "unit", "pick", "points", "recovery", "held", "notes")
        return {
            "output_dir": str(self.output_dir), "page": str(self.page), "cuts": self.cuts,
            **{name: self.report[name] for name in kept},
        }  # fmt: skip

    def summary(self) -> str:
        """A few lines for a person."""
        lines = textwrap.wrap(self.report["pick"]["sentence"], 100)
        for extra in (self.report["recovery"], self.cuts.get("vocabulary")):
            lines += textwrap.wrap(extra["sentence"], 100) if extra else []
        return "\n".join([*lines, "", *self._table(), "", f"Page: {self.page}"])

    def _table(self) -> list[str]:
        title = self.report["metrics"][self.report["metric"]]["title"]
        unit = self.report["unit"].partition(",")[0]
        rows = [("", "size", unit, "one row", title, "against the whole model")]
        for point in self.report["points"]:
            found = point["difference"]
            told = f"{found['text']} ({found['interval']}): {found['word']}" if found else ""
            rows.append((
                ("* " if point["front"] else "  ") + point["name"], bytes_text(point["bytes"]),
                f"{point['rate']['median']:,.0f}", duration_text(point["latency"]["median"]),
                point["score"]["text"], told,
            ))  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = [
            f"  {row[0]:<{widths[0]}}  "
            + "  ".join(
                cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5], strict=True)
            )
            + f"  {row[5]}"
            for row in rows
        ]
        return [line.rstrip() for line in lines] + [
            "  * no other one is smaller, faster and better"
        ]


def read_compressed(folder: Path) -> Compressed:
    """What a finished call left.

    Raises:
        SettingError: the folder is another verb's.
    """
    meta = folder / "tinyforge"
    if not (meta / RECORD).is_file():
        raise SettingError(
            "the folder holds a finished run that compress did not make", where=str(folder),
            fix="Give another --output",
        )  # fmt: skip
    return Compressed(folder, read_json(meta / RECORD), read_json(meta / FIGURES))
