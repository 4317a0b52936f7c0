"""The pages about comparing and about the verdict: programs run, flags and links exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyforge.cli.main import VERBS, main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "how_to" / "compare_models.md", DOCS / "explain" / "verdict.md"]
BLOCKS = [
    (page, number, text)
    for page in PAGES
    for number, text in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    )
]


@pytest.mark.parametrize(
    ("page", "number", "text"), BLOCKS, ids=[f"{page.stem}-{number}" for page, number, _ in BLOCKS]
)
def test_programs_run_as_written(page: Path, number: int, text: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=environment, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_named_flags_and_links_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text("utf-8")
    for line in re.findall(rf"tinyforge ((?:{'|'.join(VERBS)})\b[^`\n]*)", text):
        main([line.split()[0], "--help"])
        known = re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) <= set(known), line
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
