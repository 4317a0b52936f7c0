"""Every place that raises an error is in the catalogue, and a raised error is found there."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

from tinyforge import errors
from tinyforge.cli.main import main
from tinyforge.config.load import load_settings
from tinyforge.errors import DataError, Interrupted, SettingError, TinyForgeError
from tinyforge.recipes.error_catalogue import (
    HOLE,
    LETTERS,
    PACKAGE,
    catalogue,
    code_for,
    code_of,
    find,
)
from tinyforge.recipes.error_cures import CURES, usual_cure


class OwnError(DataError):
    """A kind of error with a maker of its own."""

    def __init__(self, what: str) -> None:
        super().__init__(what, fix="Mend it")


def test_every_family_has_a_letter() -> None:
    families = {
        name for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, TinyForgeError) and kind is not Interrupted
    }  # fmt: skip
    assert families == set(LETTERS)
    assert len(set(LETTERS.values())) == len(LETTERS)


def test_every_call_that_makes_an_error_is_in_the_catalogue() -> None:
    parts = {(entry.family, file) for entry in catalogue() for file, _ in entry.parts}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        for family in LETTERS:
            if re.search(rf"raise {family}\(", text):
                assert (family, path.relative_to(PACKAGE).as_posix()) in parts
    assert len(catalogue()) > 400


def test_every_entry_says_what_it_is_and_what_to_do() -> None:
    for entry in catalogue():
        assert entry.message.replace(HOLE, "").strip(), entry
        assert len(entry.cure) > 8, entry
        assert entry.meaning.endswith("."), entry
        assert all(about for _, about in entry.parts), entry


def test_codes_are_short_and_say_the_family() -> None:
    codes = [entry.code for entry in catalogue() if entry.family in LETTERS]
    assert all(re.fullmatch(r"[A-Z]-[A-Z2-7]{4}", code) for code in codes)
    assert len(codes) == len(set(codes)), "two messages have one code: change a word of one"
    assert code_for("DataError", "a") == code_for("DataError", "a") != code_for("DataError", "b")


def test_a_raised_error_is_found_by_its_code() -> None:
    with pytest.raises(SettingError) as raised:
        load_settings(None, ["train.epoch=3"])
    code = code_of(raised.value)
    assert code is not None
    (entry,) = find(code)
    assert entry.message == "unknown setting"
    assert ("config/load.py", "Settings from a YAML file, ``--set`` options, flags and keywords; "
            "the later one wins") in entry.parts  # fmt: skip
    assert find(f"[{code.lower()}]") == [entry]


def test_an_error_of_elsewhere_has_no_code() -> None:
    assert code_of(DataError("made in a test")) is None
    assert code_of(Interrupted("stopped", signal_number=15)) is None
    assert find("S-0000") == []


def test_the_place_is_that_of_the_call_through_any_maker() -> None:
    error, line = OwnError("odd"), _line_of("OwnError(")
    assert error.place == (__file__, line)
    assert pickle.loads(pickle.dumps(DataError("odd"))).place[0] == __file__


def _line_of(text: str) -> int:
    tree = ast.parse(Path(__file__).read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return next(node.lineno for node in calls if ast.unparse(node).startswith(text))


def test_the_line_of_a_failure_ends_with_its_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "no.jsonl", "--output", "out", "--set", "train.epoch=3"]) == 2
    line = capsys.readouterr().err
    found = re.search(r"\[(S-\w{4})\]\n$", line)
    assert found is not None, line
    assert line.count("\n") == 1
    assert main(["explain", found[1]]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{found[1]}: unknown setting\n")
    assert "cure    " in told
    assert "tinyforge/config/load.py" in told


def test_a_cure_is_for_something_that_exists() -> None:
    silent = [entry for entry in catalogue() if not entry.cures]
    used = {usual_cure(entry.family, entry.code, entry.message) for entry in silent}
    unused = [
        pattern for family, pattern, cure in CURES if cure not in used and family != "Problem"
    ]
    assert not unused
