"""The page on file formats names the files, and the keys in them, that a run really leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import python_page

import tinyforge

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/file_formats.md"

ROWS = [
    {"text": f"{word} {place} in the {other}", "label": label}
    for word, label in (("good", "yes"), ("bad", "no"))
    for place in ("house", "garden", "street", "shop", "river", "hill")
    for other in ("morning", "evening", "night", "winter")
]


def named() -> set[str]:
    """Everything that the page shows as code."""
    text = python_page.filled(PAGE.read_text("utf-8"))
    return {
        word for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[\w.-]+", span)
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny run, and its export."""
    top = tmp_path_factory.mktemp("formats")
    run, export, rows = top / "run", top / "export", top / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {"text": ""}]), "utf-8")
    tinyforge.train(
        rows, model="scratch:bert-tiny", output_dir=run, epochs=1, task="classify",
        settings={"model.vocab_size": 100, "evaluate.baselines": False},
    )  # fmt: skip
    tinyforge.export(run, export)
    return run, export


@pytest.mark.slow
def test_every_file_is_named(folders: tuple[Path, Path]) -> None:
    found = {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert found - named() == set()


@pytest.mark.slow
def test_every_key_is_named(folders: tuple[Path, Path]) -> None:
    run, export = folders
    for path in (run / "tinyforge/run.json", run / "tinyforge/report.json",
                 run / "tinyforge/manifest.json", export / "tinyforge/export.json"):  # fmt: skip
        assert set(json.loads(path.read_text("utf-8"))) - named() == set(), path.name
    for path in (run / "tinyforge/metrics.jsonl", run / "tinyforge/timings.jsonl",
                 run / "tinyforge/rejected.jsonl", export / "tinyforge/golden.jsonl"):  # fmt: skip
        for line in path.read_text("utf-8").splitlines():
            assert set(json.loads(line)) - named() == set(), path.name
