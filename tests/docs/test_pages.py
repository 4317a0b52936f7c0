"""Every block of code in the documentation runs as written, and prints what the page shows."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_blocks import PageMistake, is_slow, read_page
from pages import ROOT, documentation, reader, run_page

SOURCE = ROOT / "src"


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
EXAMPLES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
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
    print(f"{path.relative_to(ROOT)}: {len(ran)} blocks and commands", *ran, sep="\n")


def test_the_pages_that_have_to_be_there_are() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in documentation() if _runs(path)}
    tutorials = {"introduction", "preparing_data", "first_model", "understanding_lora"}
    tutorials |= {"deploying_an_api"}
    found = {Path(name).stem.partition("_")[2] for name in names if "/tutorials/" in name}
    assert tutorials <= found
    assert "README.md" in names


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.DocTestFinder(exclude_empty=True).find(module, name)
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in found:
        runner.run(test)
    assert runner.tries, "the examples stand where nobody finds them"
    assert not runner.failures
