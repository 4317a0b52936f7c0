"""Builds the documentation's site from Markdown and from the code, with no network.

``python docs/site/make_site.py`` makes the reference, draws the pictures, checks the spelling,
builds the site into ``build/site`` and checks every link of it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cli_page
import errors_page
import http_page
import python_page
import settings_page
from site_links import broken_links, foreign_parts

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

REFERENCE: dict[str, Callable[[], str]] = {
    "command_line.md": cli_page.page,
    "settings.md": settings_page.page,
    "python.md": python_page.page,
    "http.md": http_page.page,
    "errors.md": errors_page.page,
}
"""Page of ``reference/`` to what makes it."""

SECTIONS = (
    # Title and folder, in the order of the site's menu.
    ("Tutorials", "tutorials"), ("How to", "how_to"), ("Explanations", "explain"),
    ("Reference", "reference"), ("Decisions", "decisions"),
)  # fmt: skip

REFERENCE_ORDER = ("index.md", *REFERENCE, "file_formats.md")

NOT_OURS = "ines,discreet"
"""Right words, and names, that the spelling checker takes for slips."""


def main() -> int:
    """Build; 1 where a word or a link is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build", metavar="FOLDER")
    parser.add_argument("--pages-only", action="store_true", help="Markdown and pictures, no site.")
    words = parser.parse_args()
    pages = stage(words.output / "docs")
    print(f"{len(pages)} pages in {words.output / 'docs'}")
    if words.pages_only:
        return 0
    problems = misspelt(words.output / "docs")
    config = write_config(words.output, pages)
    # Its own check of links (--strict) stops at Markdown; ours looks at the pages that came of it.
    made = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "-f", str(config)],
        cwd=words.output, check=False, capture_output=True, text=True,
    )  # fmt: skip
    site = words.output / "site"
    if made.returncode or not (site / "index.html").is_file():
        problems.append(f"zensical ended with {made.returncode}: {made.stderr[-2000:]}")
    else:
        problems += [*broken_links(site), *foreign_parts(site)]
    for problem in problems:
        print(problem)
    print("no slip in spelling, no broken link" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def stage(folder: Path) -> list[str]:
    """Gather all pages and pictures in a new folder; return the pages' names."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(DOCS.rglob("*")):
        if path.suffix == ".md":
            target = folder / path.relative_to(DOCS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(python_page.filled(path.read_text("utf-8")), encoding="utf-8")
    shutil.copytree(DOCS / "site/assets", folder / "assets")
    for name, make in REFERENCE.items():
        (folder / "reference").mkdir(exist_ok=True)
        (folder / "reference" / name).write_text(make(), encoding="utf-8")
    for program in sorted((DOCS / "pictures").glob("*.py")):
        subprocess.run([sys.executable, str(program), str(folder / "pictures")], check=True)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))


def navigation(pages: list[str]) -> list[dict[str, object]]:
    """The site's menu: every page stands in it once."""
    menu: list[dict[str, object]] = [{"Home": "index.md"}]
    for title, folder in SECTIONS:
        own = [name for name in pages if name.startswith(f"{folder}/")]
        if folder == "reference":
            order = [f"{folder}/{name}" for name in REFERENCE_ORDER]
            own.sort(key=lambda name: order.index(name) if name in order else len(order))
        if own:
            menu.append({title: own})
    return menu


def write_config(folder: Path, pages: list[str]) -> Path:
    """The site's settings with its menu, beside the pages."""
    base = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    made = base.replace("nav = []", f"nav = {_toml(navigation(pages))}")
    if made == base:
        raise SystemExit("zensical.toml has no line 'nav = []'")
    path = folder / "zensical.toml"
    path.write_text(made, encoding="utf-8")
    return path


def misspelt(folder: Path) -> list[str]:
    """What codespell finds in the pages, and in the texts around the documentation."""
    texts = [folder, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples"]
    done = subprocess.run(
        [
            sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare", "--ignore-words-list",
            NOT_OURS, "--skip", "*.svg,*.ipynb", *map(str, texts),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if "==>" in line]
    if done.returncode and not found:
        found = [f"codespell: {done.stderr.strip()}"]
    return [re.sub(rf"^{re.escape(str(folder))}/", "", line) for line in found]


def _toml(value: object) -> str:
    """Lists and tables as TOML on one line; its texts are written like those of JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def unlisted(pages: list[str]) -> Iterator[str]:
    """Pages that no section of the menu holds."""
    folders = {folder for _, folder in SECTIONS}
    for name in pages:
        if name != "index.md" and name.partition("/")[0] not in folders:
            yield name


if __name__ == "__main__":
    sys.exit(main())
