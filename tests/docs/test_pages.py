"""Every block of code in the documentation runs as written, and prints what the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import hub_cache
import pytest
from page_blocks import PageMistake, is_slow, read_page
from page_docstrings import modules_with_examples, run_docstrings
from page_list import PageRun
from pages import ROOT, documentation, reader, run_page


def _runs(path: Path) -> bool:
    try:
        return read_page(path).runs
    except PageMistake:
        return True  # its own test says what is wrong


PAGES = [
    pytest.param(path, marks=pytest.mark.slow if is_slow(path) else [], id=path.stem)
    for path in documentation()
    if _runs(path)
]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with reader(warm=True) as found:
        yield found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_as_written(
    path: Path, tmp_path: Path, environment: dict[str, str], record_property: object
) -> None:
    ran = run_page(read_page(path), tmp_path, environment)
    assert ran
    print(PageRun(str(path.relative_to(ROOT)), ran, sum(part.seconds for part in ran)))


def test_the_pages_that_have_to_be_there_are() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in documentation() if _runs(path)}
    tutorials = {"introduction", "preparing_data", "first_model", "understanding_lora"}
    tutorials |= {"deploying_an_api"}
    found = {Path(name).stem.partition("_")[2] for name in names if "/tutorials/" in name}
    assert tutorials <= found
    assert "README.md" in names


def test_pages_say_what_stands_for_the_models_of_the_hub() -> None:
    names = "|".join(map(re.escape, hub_cache.MODELS))
    found = 0
    for path in documentation():
        run = "\n".join(block.text for block in read_page(path).blocks)
        if re.search(rf"(?<![\w./-])(?:{names})(?![\w-])", run):
            found += 1
            text = " ".join(path.read_text(encoding="utf-8").split())
            assert re.search(r"\btested\b.{0,150}\btiny\b|\btiny\b.{0,150}\btested\b", text), path
    assert found >= 5


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_docstrings(name)
