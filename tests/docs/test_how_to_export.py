"""The pages on exporting are true: the program runs, flags and settings exist, limits are these."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyforge.cli.main import main
from tinyforge.config.export import ExportRunSettings
from tinyforge.config.names import settings_table
from tinyforge.export.gate.tolerance import TOLERANCES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "how_to" / "export_a_model.md").read_text(encoding="utf-8")
GATE = (DOCS / "explain" / "gate.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_program_runs_as_written(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    [program] = [text for language, text in BLOCKS if language == "python"]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("Ready: fp32 graphs.")
    assert last == "yes"


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
