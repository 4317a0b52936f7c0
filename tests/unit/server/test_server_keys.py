"""Keys: made, kept as hashes, read back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tinyforge.errors import FolderError, SettingError
from tinyforge.server.keys import Keys, new_key, read_keys


def test_a_new_key_opens_and_is_not_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first, second = new_key("anna", file), new_key("bob", file)
    assert first not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    keys = read_keys(file)
    assert (keys.owner(first), keys.owner(second)) == ("anna", "bob")
    assert keys.owner(first[:-1]) is None
    assert keys.owner("") is None


def test_a_key_in_plain_text_is_taken_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "keys").write_text("# mine\n\nplain-secret\n")
    with caplog.at_level(logging.WARNING, "tinyforge"):
        keys = read_keys(tmp_path / "keys")
    assert keys.owner("plain-secret") == "key-3"
    assert "plain text" in caplog.text
    assert "plain-secret" not in caplog.text


@pytest.mark.parametrize("text", ["", "# nothing\n", "short\n", "two words here\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(SettingError, match="--new-key"):
        read_keys(tmp_path / "keys")


def test_a_missing_file_and_a_taken_name_are_said(tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        read_keys(tmp_path / "none")
    new_key("anna", tmp_path / "keys")
    with pytest.raises(SettingError, match="of this name"):
        new_key("anna", tmp_path / "keys")
    with pytest.raises(SettingError):
        new_key("an na", tmp_path / "keys")


def test_without_keys_nobody_is_asked() -> None:
    assert not Keys().needed
