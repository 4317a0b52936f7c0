"""The site: what is documented exists, what exists is documented, and no link leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cli_page
import errors_page
import http_page
import make_site
import page_text
import pytest
import python_page
import settings_page
import site_links
import yaml

from tinyforge.cli.failures import MACHINE_FAULTS
from tinyforge.cli.main import VERBS
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table, stages
from tinyforge.config.roots import families, root_of
from tinyforge.errors import SettingError
from tinyforge.recipes.error_catalogue import catalogue

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = dict(cli_page.commands())
FLAGS = {flag for command in COMMANDS.values() for flag in cli_page.flags_of(command)}
SETTINGS = {name for root in families() for name in settings_table(root)}
STAGES = {stage.partition(".")[0] for root in families() for stage in stages(root)}

FOREIGN_FLAGS = {
    "--limit",
    "--no-compile",
    "--no-deps",
    "--jinja",
    "--upgrade",
    "--editable",
    "--save",
    "--swaps",
}
"""Flags of other programs that the texts show."""

SHOWN_WRONG = {"train.epoch", "train.learning_rat", "NAME", "STAGE.NAME"}
"""Settings that pages show being refused, and what stands for any."""

FOREIGN_FILES = re.compile(
    r"\.(safetensors|gguf|json|jsonl|html|onnx|data|py|md|yaml|csv|txt|model)$"
)

_FENCE = re.compile(r"^ *(`{3,})([^\n`]*)\n(.*?)^ *\1 *$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Fenced blocks as language and text."""
    for _, info, body in _FENCE.findall(text):
        yield (info.split() or [""])[0], body


def spans(text: str) -> list[str]:
    """Pieces of code within the text."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _FENCE.sub("", text))


def command_lines(text: str) -> Iterator[str]:
    """Every ``tinyforge …`` that a page tells to type."""
    for language, body in blocks(text):
        if language in ("python", "pycon", "json", "jsonl", "yaml"):
            continue
        for line in re.sub(r"\\\n", " ", body).splitlines():
            yield from re.findall(r"(?:^|[\s$(;&|/])tinyforge ([a-z][^|;&#\n]*)", line)
    for span in spans(text):
        yield from re.findall(r"^tinyforge ([a-z][^|;&#]*)", span)


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", TEXTS, ids=page_id)
def test_commands_and_flags_in_the_texts_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for line in command_lines(text):
        words = line.split()
        verb = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        if verb not in COMMANDS:
            assert verb in VERBS or verb == "VERB", f"{path.name}: tinyforge {line}"
            continue
        known = cli_page.flags_of(COMMANDS[verb])
        asked = re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)
        assert set(asked) <= set(known), f"{path.name}: tinyforge {line}"
    for span in spans(text):
        if span.startswith("--"):
            assert span.split()[0].partition("=")[0] in FLAGS | FOREIGN_FLAGS, (path.name, span)


@pytest.mark.parametrize("path", TEXTS, ids=page_id)
def test_settings_in_the_texts_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    code = [*spans(text), *(body for _, body in blocks(text))]
    for piece in code:
        for name in re.findall(r"--set ['\"]?([\w.]+)=", piece):
            tables = ("model.shape.", "pretrain.weights.", "tune.search.", "shape.", "weights.")
            known = SETTINGS | SHOWN_WRONG
            assert name in known or name.startswith(tables), (path.name, name)
    for span in spans(text):
        name = span.partition("=")[0]
        if re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", name) and not FOREIGN_FILES.search(name):
            stage = name.partition(".")[0]
            python = name in PYTHON_NAMES
            assert stage not in STAGES or name in SETTINGS or python, (path.name, span)


PYTHON_NAMES = {
    # Attributes of objects in programs that have the name of a stage.
    "model.predict", "model.stream", "model.embed", "model.begin", "model.generate", "model.path",
    "model.can_embed", "model.shape", "model.stream_pieces", "train.jsonl", "prune.cut",
}  # fmt: skip


@pytest.mark.parametrize("path", TEXTS, ids=page_id)
def test_settings_files_in_the_texts_are_taken(path: Path, tmp_path: Path) -> None:
    for language, body in blocks(path.read_text("utf-8")):
        if language != "yaml":
            continue
        names = yaml.safe_load(body)
        if not isinstance(names, dict) or not set(names) & (STAGES | SETTINGS):
            continue  # of another program, or a prompt
        file = tmp_path / "settings.yaml"
        file.write_text(body, encoding="utf-8")
        problems = []
        for root in families():
            try:
                load_tree(root, file)
            except SettingError as problem:
                problems.append(str(problem))
        assert len(problems) < len(families()), (path.name, problems[0])


def test_everything_that_exists_says_what_it_is() -> None:
    assert cli_page.undescribed() == []
    assert settings_page.undescribed() == []
    assert python_page.undescribed() == []
    assert http_page.undescribed() == []


def test_the_reference_holds_everything() -> None:
    page = cli_page.page()
    for words, command in COMMANDS.items():
        assert f"\n## {words}" in page
        section = page.partition(f"\n## {words}")[2].partition("\n## ")[0]
        assert set(cli_page.flags_of(command)) - {"-h", "--help"} <= set(
            re.findall(r"--[a-z][a-z-]+", section)
        ), words
    page = settings_page.page()
    assert all(f"`{name}`" in page for name in SETTINGS)
    assert all(f'id="{verb}"' in page for verb in ("train", "serve"))
    page = errors_page.page()
    assert all(f"`{entry.code}`" in page for entry in catalogue())
    assert all(what in page for what, _ in MACHINE_FAULTS.values())
    page = python_page.page()
    for named in python_page.public():
        assert f"## tinyforge.{named.name} " in page
    results = ("Run", "Tuned", "Inspection", "Judgement", "Export", "AnsweringModel", "Prediction")
    assert all(f"## {name} " in page for name in (*results, "SettingError"))
    page = http_page.page()
    assert "## POST /predict " in page
    assert "## GET /metrics " in page


def test_a_thing_without_words_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above can fail: each is shown something that says nothing about itself."""
    train = COMMANDS["train"]
    option = next(each for each in train.params if "--resume" in each.opts)
    monkeypatch.setattr(option, "help", "")
    assert cli_page.undescribed() == ["train --resume"]
    root = root_of("serve")
    monkeypatch.setattr(
        settings_page, "settings_table", lambda kind: _silent(settings_table(kind), kind is root)
    )
    assert settings_page.undescribed() == ["port"]


def _silent(table: dict, change: bool) -> dict:  # type: ignore[type-arg]
    import dataclasses

    if not change:
        return table
    return {**table, "port": dataclasses.replace(table["port"], description=" ")}


def test_signs_of_markdown_in_texts_stay_signs() -> None:
    assert page_text.cell("a|b <DIR> *x* ``--set a|b`` [c]") == (
        "a\\|b &lt;DIR&gt; \\*x\\* <code>--set a&#124;b</code> \\[c\\]"
    )
    text, sections = page_text.sections_of(
        "What.\n\nMore.\n\nArgs:\n    one: first\n        goes on\n    *rest: all\n\n"
        "Returns:\n    A thing.\n"
    )
    assert text == "What.\n\nMore."
    assert sections == {"Args": [("one", "first goes on"), ("*rest", "all")],
                        "Returns": [("", "A thing.")]}  # fmt: skip


def test_a_page_is_filled_from_the_classes_it_names() -> None:
    page = python_page.filled((ROOT / "docs/reference/file_formats.md").read_text("utf-8"))
    assert "<!-- attributes" not in page
    assert "<!-- fields" not in page
    assert "| `similarity` | to that document. |" in page
    assert "| `graphs` |" in page
    assert "| `answer_prefix` |" in page


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="sub/a.html#here">a</a><a href="sub/a.html#gone">b</a>'
        '<a href="sub/none.html">c</a>'
        '<a href="https://elsewhere.example/">d</a><script src="https://cdn.example/x.js"></script>'
    )
    (tmp_path / "sub/a.html").write_text('<p id="here"></p><a href="../index.html">home</a>')
    assert list(site_links.broken_links(tmp_path)) == [
        "index.html: sub/a.html#gone: the page has no such place",
        "index.html: sub/none.html leads nowhere",
    ]
    assert list(site_links.foreign_parts(tmp_path)) == [
        "index.html: loads https://cdn.example/x.js from elsewhere"
    ]


def test_every_page_stands_in_the_menu() -> None:
    pages = [
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if "site" not in path.parts[-2]
    ]
    assert list(make_site.unlisted(pages)) == []
    text = repr(make_site.navigation(sorted(pages)))
    assert all(f"'{name}'" in text for name in pages)


def test_the_readmes_picture_is_the_one_that_is_drawn(tmp_path: Path) -> None:
    program = ROOT / "docs/pictures/first_run.py"
    subprocess.run([sys.executable, str(program), str(tmp_path)], check=True)
    kept = ROOT / "docs/pictures/first_run.svg"
    assert (tmp_path / "first_run.svg").read_bytes() == kept.read_bytes()
    assert "docs/pictures/first_run.svg" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_the_site_is_built_with_no_slip_and_no_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="needs the extra docs: pip install 'tinyforge[docs]'")
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/site/make_site.py"), "--output", str(tmp_path / "out")],
        cwd=tmp_path, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    built = tmp_path / "out/site"
    assert (built / "index.html").is_file()
    assert (built / "reference/errors.html").is_file()
