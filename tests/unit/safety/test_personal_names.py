"""Names by Presidio: a clear line without it, and its answers in place with it."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tinyforge.errors import SettingError
from tinyforge.safety.personal_data import check_names_model, mask, names


@dataclass
class _Hit:
    start: int
    end: int


class _Engine:
    seen: list[str]

    def __init__(self, **kwargs: Any) -> None:
        _Engine.seen = []

    def analyze(self, *, text: str, entities: list[str], language: str) -> list[_Hit]:
        assert (entities, language) == (["PERSON"], "en")
        _Engine.seen.append(text)
        place = text.find("Ann Lee")
        return [_Hit(place, place + 7)] if place >= 0 else []


class _Provider:
    def __init__(self, nlp_configuration: dict[str, Any]) -> None:
        assert nlp_configuration["models"] == [{"lang_code": "en", "model_name": "toy_model"}]

    def create_engine(self) -> object:
        return object()


@pytest.fixture
def presidio(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stand-in for the package and its model."""
    package: Any = types.ModuleType("presidio_analyzer")
    package.AnalyzerEngine = _Engine
    engine: Any = types.ModuleType("presidio_analyzer.nlp_engine")
    engine.NlpEngineProvider = _Provider
    monkeypatch.setitem(sys.modules, "presidio_analyzer", package)
    monkeypatch.setitem(sys.modules, "presidio_analyzer.nlp_engine", engine)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    names._analyzer.cache_clear()
    yield
    names._analyzer.cache_clear()


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"clean\.find_names: .*presidio-analyzer.*pip install"):
        check_names_model("toy_model")


@pytest.mark.usefixtures("presidio")
def test_names_are_masked_beside_the_rest() -> None:
    text = "Ann Lee, ann@firm.de"
    assert mask(text, names_model="toy_model") == ("<name>, <email>", {"name": 1, "email": 1})
    assert mask(text) == ("Ann Lee, <email>", {"email": 1})


@pytest.mark.usefixtures("presidio")
def test_an_invented_name_stays() -> None:
    once = mask("Ann Lee", label=None, names_model="toy_model")[0]
    assert once != "Ann Lee"
    assert names.find_names(once, "toy_model") == []


@pytest.mark.usefixtures("presidio")
def test_long_texts_are_cut_between_lines() -> None:
    text = "x" * 60_000 + "\n" + "y" * 60_000 + "\nAnn Lee"
    [span] = names.find_names(text, "toy_model")
    assert span.text == "Ann Lee"
    assert [len(piece) for piece in _Engine.seen] == [60_000, 60_009]
