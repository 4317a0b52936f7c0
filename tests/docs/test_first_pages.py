"""Tutorials 1 to 5: their pictures can be drawn, and what they name exists.

That their blocks run as written is the matter of ``test_pages.py``.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tinyforge.cli.main import VERBS
from tinyforge.config.names import settings_table

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "tutorials").glob("0[1-5]_*.md"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that draws the pictures."""
    monkeypatch.syspath_prepend(str(DOCS / "pictures"))
    return importlib.import_module("first_tutorials")


def test_every_picture_is_shown_once_and_says_what_is_in_it(drawn: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = re.findall(r"!\[([^\]]*)\]\(\.\./pictures/(\w+)\.svg\)", text)
    assert sorted(name for _, name in found) == sorted(drawn.PICTURES)
    assert all(len(words) > 20 for words, _ in found)


def test_pictures_are_whole_and_nothing_sticks_out(drawn: ModuleType, tmp_path: Path) -> None:
    for path in drawn.write(tmp_path):
        root = ElementTree.parse(path).getroot()
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        assert root.findtext(f"{SVG}title")
        for circle in root.iter(f"{SVG}circle"):
            x, y = float(circle.attrib["cx"]), float(circle.attrib["cy"])
            assert 0 < x < width, path.name
            assert 0 < y < height, path.name
        for shape in root.iter(f"{SVG}rect"):
            right = float(shape.get("x", "0")) + float(shape.attrib["width"])
            assert right <= width, (path.name, shape.attrib)
        for text in root.iter(f"{SVG}text"):
            for line in text.iter(f"{SVG}tspan"):
                long = 0.6 * float(text.attrib["font-size"]) * len(line.text or "")
                share = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib["text-anchor"]]
                left = float(line.attrib["x"]) - share * long
                assert 0 <= left <= left + long <= width, (path.name, line.text)


def test_learning_rates_do_what_is_written_below_them(drawn: ModuleType) -> None:
    safe, right, wild = (drawn.descent(rate, 8) for rate in (0.02, 0.2, 1.06))
    assert abs(safe[-1]) > 0.5
    assert abs(right[-1]) < 0.05
    assert abs(wild[-1]) > abs(wild[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_settings_verbs_and_pages_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = set(settings_table())
    stages = {name.partition(".")[0] for name in known if "." in name}
    named = set(re.findall(rf"[`\s]((?:{'|'.join(stages)})\.[a-z_]+)\b(?!\()", text))
    assert named <= known | {"train.py", "train.learning_rat", "model.safetensors"}
    assert set(re.findall(r"(?:`|\$ )tinyforge ([a-z]+)", text)) <= set(VERBS)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        if not link.endswith(".svg"):  # drawn when the site is built
            assert (page.parent / link).is_file(), link


def test_there_are_five_tutorials() -> None:
    assert len(PAGES) == 5


def test_the_two_makers_of_rows_are_the_same() -> None:
    first, third = (
        re.findall(r'```python title="make_rows.py"\n(.*?)```', page.read_text("utf-8"), re.DOTALL)
        for page in (PAGES[0], PAGES[2])
    )
    assert first == third
