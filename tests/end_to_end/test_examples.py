"""The example programs and notebooks: each runs as it stands, in a fresh folder.

The hub id in them, DistilBERT's, is a tiny random model in a cache here, so nothing is asked of
what it answers; the programs that learn from nothing have to learn what they promise.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LEARNS = {
    "faq_bot": None,
    "spam_filter": None,
    "support_router": None,
    "text_to_fields": "better",
    "dialogue_summary": "better",
    "translation": "better",
    "style_gpt_lora": None,
    "own_documents": None,
}
"""Program to the verdict it has to reach; None: whichever."""

SAYS = {
    "faq_bot": "Do you like music?",
    "spam_filter": "of the spam",
    "support_router": "a person",
    "text_to_fields": "'city': 'Oslo'",
    "dialogue_summary": "Ella and Gus meet for tennis on Friday at five.",
    "translation": "die alte Katze sieht einen schnellen Vogel",
    "style_gpt_lora": "log-writer:",
    "own_documents": "The for statement is used to",
}
"""What has to stand in a program's output."""

ROWS = ("spam_filter", "support_router", "text_to_fields", "dialogue_summary", "translation")


def notebooks() -> Any:
    """The program that writes the notebooks."""
    return runpy.run_path(str(EXAMPLES / "make_notebooks.py"))


def test_every_program_is_tested() -> None:
    programs = {path.stem for path in EXAMPLES.glob("*.py")} - {"make_notebooks"}
    assert programs == set(LEARNS) == set(SAYS)


@pytest.mark.parametrize("name", LEARNS)
def test_a_program_says_how_to_run_it(name: str) -> None:
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert f"    python {name}.py\n" in source
    assert "# %% " in source
    assert len(source.splitlines()) <= 110


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_are_made_alike_every_time(name: str, tmp_path: Path) -> None:
    """The program up to where it trains, twice."""
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    beginning = tmp_path / "beginning.py"
    beginning.write_text(source.partition("# %% Train")[0], encoding="utf-8")
    rows, again = (runpy.run_path(str(beginning))["rows"] for _ in range(2))
    assert rows == again
    assert len({json.dumps(row) for row in rows}) > 200
    assert all(text.strip() for row in rows for text in row.values())


@pytest.mark.parametrize("name", notebooks()["NOTEBOOKS"])
def test_notebooks_are_the_programs(name: str) -> None:
    made = notebooks()["written"](name)
    assert (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8") == made
    cells = json.loads(made)["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    program = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert "".join(code.split()) in "".join(
        line for line in program.replace(" ", "").splitlines() if not line.startswith("#")
    )


def run(program: Path, folder: Path, hub_cache: Path) -> str:
    """What a program prints, run as a reader would."""
    environment = {**os.environ, "HF_HOME": str(hub_cache), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNS)
def test_the_program_runs(name: str, tmp_path: Path, hub_cache: Path) -> None:
    said = run(EXAMPLES / f"{name}.py", tmp_path, hub_cache)
    assert SAYS[name] in said
    reports = [json.loads(path.read_text()) for path in tmp_path.glob("*/tinyforge/report.json")]
    verdicts = [report["verdict"]["word"] for report in reports if "verdict" in report]
    assert verdicts
    if LEARNS[name] is not None:
        assert LEARNS[name] in verdicts, said


@pytest.mark.slow
@pytest.mark.parametrize("name", notebooks()["NOTEBOOKS"])
def test_the_notebook_runs(name: str, tmp_path: Path, hub_cache: Path) -> None:
    """Cell by cell, in one session."""
    session = tmp_path / "session.py"
    session.write_text(
        "import json, pathlib\n"
        f"cells = json.loads(pathlib.Path({str(EXAMPLES / f'{name}.ipynb')!r}).read_text())\n"
        "for cell in cells['cells']:\n"
        "    if cell['cell_type'] == 'code':\n"
        "        exec(''.join(cell['source']), globals())\n",
        encoding="utf-8",
    )
    assert SAYS[name] in run(session, tmp_path, hub_cache)
