"""The pages about comparing and about the verdict: flags and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinyforge.cli.main import VERBS, main

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "how_to" / "compare_models.md", DOCS / "explain" / "verdict.md"]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_named_flags_and_links_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text("utf-8")
    for line in re.findall(rf"tinyforge ((?:{'|'.join(VERBS)})\b[^`\n]*)", text):
        main([line.split()[0], "--help"])
        known = re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) <= set(known), line
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / link).exists(), link
