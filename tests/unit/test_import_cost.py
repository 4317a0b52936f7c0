"""``import tinyforge`` and the help stay light, and lazy names stay what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "tokenizers", "numpy", "pandas", "pyarrow", "sklearn", "pydantic"}


def loaded_by(program: str) -> set[str]:
    """The heavy packages that are loaded when a program ends."""
    program += "\nimport sys; print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return HEAVY & set(line.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import tinyforge; tinyforge.__version__; dir(tinyforge)") == set()


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["trian"]])
def test_the_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded_by(f"from tinyforge.cli.main import main; main({words!r})") == set()


@pytest.mark.parametrize(
    "verb",
    [
        "train",
        "pretrain",
        "inspect",
        "tokenizer",
        "predict",
        "evaluate",
        "compare",
        "export",
        "verify",
        "runs",
        "doctor",
        "new",
        "ui",
        "explain",
        "completion",
        "quickstart",
    ],
)
def test_the_help_of_a_verb_loads_no_torch(verb: str) -> None:
    program = f"from tinyforge.cli.main import main; assert main([{verb!r}, '--help']) == 0"
    assert not loaded_by(program) & {"torch", "transformers"}


def test_a_wrong_setting_is_refused_before_torch_is_loaded() -> None:
    words = ["train", "rows.jsonl", "--output", "out", "--set", "train.epoch=1"]
    program = f"from tinyforge.cli.main import main; assert main({words!r}) == 2"
    assert not loaded_by(program) & {"torch", "transformers"}


def test_the_public_names_exist() -> None:
    program = "import tinyforge\nfor name in tinyforge.__all__: getattr(tinyforge, name)"
    assert not loaded_by(program) & {"torch", "transformers"}


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_verb_stays_callable_when_the_package_of_its_name_is_loaded(verb: str) -> None:
    program = f"""
import tinyforge
assert callable(tinyforge.{verb})
import tinyforge.{verb}
assert callable(tinyforge.{verb}), tinyforge.{verb}
from tinyforge import {verb}
import tinyforge.api
tinyforge.api.{verb} = lambda *words, **more: (words, more)
assert tinyforge.{verb}("a", b=1) == (("a",), {{"b": 1}})
assert {verb}.__path__, "still the package"
"""
    loaded_by(program)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tinyforge

    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        tinyforge.exprot  # noqa: B018
