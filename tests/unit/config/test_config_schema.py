"""A setting that holds a JSON object: from the command line, a file, and Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyforge.config.check import check_settings
from tinyforge.config.load import load_settings
from tinyforge.config.names import settings_table
from tinyforge.errors import SettingError

NAME = "generate.json_schema"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}


def given(text: str) -> object:
    return load_settings(None, [f"{NAME}={text}"]).generate.json_schema


def test_json_and_yaml_are_read() -> None:
    text = '{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}'
    assert given(text) == SCHEMA
    assert given("{type: object, properties: {a: {type: integer, minimum: 1}}}") == SCHEMA
    assert given(r'{"const": "\ud83d\ude00\/"}') == {"const": "😀/"}
    assert given("{}") == {}
    assert given("null") is None


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("generate:\n  json_schema:\n    type: object\n", encoding="utf-8")
    assert load_settings(path).generate.json_schema == {"type": "object"}


def test_from_python() -> None:
    assert load_settings(None, (), {NAME: SCHEMA}).generate.json_schema == SCHEMA
    assert load_settings().generate.json_schema is None


@pytest.mark.parametrize("text", ["[1]", "3", "schema.json", "{broken", '"text"'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="must be a JSON object"):
        given(text)
    with pytest.raises(SettingError, match="unknown setting"):
        load_settings(None, [f"{NAME}.type=object"])


def test_what_it_takes_is_told() -> None:
    setting = settings_table()[NAME]
    assert (setting.kind, setting.nullable) == ("object", True)
    assert setting.allowed.startswith("a JSON object")


@pytest.mark.parametrize("override", [f"{NAME}={{}}", "generate.logprobs=0"])
def test_labels_have_neither(override: str) -> None:
    with pytest.raises(SettingError, match="generates no text"):
        check_settings(load_settings(None, [override]), task="classify")


@pytest.mark.parametrize("value", ["-1", "21", "1.5"])
def test_log_probabilities_are_bounded(value: str) -> None:
    with pytest.raises(SettingError, match=r"generate\.logprobs"):
        load_settings(None, [f"generate.logprobs={value}"])
