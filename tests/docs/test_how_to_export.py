"""The pages on exporting are true: flags and settings exist, limits are these."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.export import ExportRunSettings
from tinyforge.config.names import settings_table
from tinyforge.export.gate.tolerance import TOLERANCES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "how_to" / "export_a_model.md").read_text(encoding="utf-8")
GATE = (DOCS / "explain" / "gate.md").read_text(encoding="utf-8")


def test_named_settings_and_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"\bexport\.[a-z_]+\b", PAGE)) - {"export.json"}
    assert named
    assert named <= set(settings_table(ExportRunSettings))
    shown = ""
    for verb in ("export", "predict", "evaluate", "verify"):
        main([verb, "--help"])
        shown += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE + GATE))
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", shown))


def test_the_limits_are_those_of_the_code() -> None:
    for precision, allowed in TOLERANCES.items():
        row = next(line for line in GATE.splitlines() if line.startswith(f"| {precision} |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        wanted = [allowed.noise, allowed.worst, allowed.slope]
        assert cells == ["–" if value is None else f"{100 * value:g} %" for value in wanted]
