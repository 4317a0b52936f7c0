"""Tutorials 6 to 9 and three explanations: their pictures can be drawn, what they name exists.

That their blocks run as written is the matter of ``test_pages.py``.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tinyforge.config.names import settings_table
from tinyforge.config.prepare import PrepareSettings
from tinyforge.config.pretrain import PretrainRunSettings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *(DOCS / "tutorials" / f"{name}.md" for name in (
        "06_from_scratch_or_fine_tuning", "07_judging_honestly", "08_prompts",
        "09_responsible_models",
    )),
    *(DOCS / "explain" / f"{name}.md" for name in ("loop", "resume", "splits")),
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 0.6
"""Of a character, as a share of the font's size: more than the fonts in use take on average."""


@pytest.fixture(scope="module")
def drawn() -> ModuleType:
    """The program that draws the pictures."""
    path = DOCS / "pictures" / "later_tutorials.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_is_shown_once_and_says_what_is_in_it(drawn: ModuleType) -> None:
    found = re.findall(
        r"!\[([^\]]*)\]\(\.\./pictures/(\w+)\.svg\)", "".join(page.read_text() for page in PAGES)
    )
    assert sorted(name for _, name in found) == sorted(drawn.PICTURES)
    assert all(len(words) > 20 for words, _ in found)


def test_pictures_are_whole_and_nothing_sticks_out(drawn: ModuleType, tmp_path: Path) -> None:
    for path in drawn.write(tmp_path):
        root = ElementTree.parse(path).getroot()
        title = root.find(f"{SVG}title")
        assert title is not None
        assert title.text
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for shape in root.iter(f"{SVG}rect"):
            right = float(shape.get("x", "0")) + float(shape.attrib["width"])
            assert right <= width, (path.name, shape.attrib)
        for text in root.iter(f"{SVG}text"):
            size, y = float(text.attrib["font-size"]), float(text.attrib["y"])
            for line in text.iter(f"{SVG}tspan"):
                y += float(line.attrib["dy"])
                long = WIDTH * size * len(line.text or "")
                share = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib["text-anchor"]]
                left = float(line.attrib["x"]) - share * long
                assert 0 <= left <= left + long <= width, (path.name, line.text)
                assert y <= height - 4, (path.name, line.text)


def test_the_drawn_intervals_are_those_of_the_tutorial(drawn: ModuleType) -> None:
    text = (DOCS / "tutorials" / "07_judging_honestly.md").read_text(encoding="utf-8")
    for rows in (10, 100, 1_000):
        low, high = drawn.bootstrap(round(0.8 * rows), rows)
        assert f"80 % of {rows:>5,} rows: somewhere between {low:.0%} and {high:.0%}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_settings_and_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = set(settings_table())
    for root in (PrepareSettings, PretrainRunSettings):
        known |= set(settings_table(root))
    stages = {name.partition(".")[0] for name in known if "." in name}
    named = set(re.findall(rf"[`\s]((?:{'|'.join(stages)})\.[a-z_]+)\b(?!\()", text))
    assert named <= known
    for file in re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", text):
        assert (ROOT / file).exists(), file
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        if not link.endswith(".svg"):  # drawn when the site is built
            assert (page.parent / link).is_file(), link
