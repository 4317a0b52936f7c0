"""Runs the documentation as a reader would: each page in a fresh folder, its blocks in order.

``python tests/docs/pages.py`` runs every page with the real commands, and the examples in
docstrings, and lists what was run, with times (``--list FILE`` keeps the list, as JSON or as a
table); names of pages after it run these alone. The tests (``test_pages.py``) do the same, with
commands that start sooner (``warm.py``). Which blocks are run, and how, is said in
``page_blocks.py``.

Hub ids are served from a cache of tiny random models with the same architectures
(``hub_cache.py``), and port 8000 is exchanged for a free one, in commands and in what they print.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import replace
from pathlib import Path

from page_blocks import Block, Command, Page, PageMistake, commands_of, is_slow, matches, read_page
from page_docstrings import modules_with_examples, run_docstrings
from page_list import PageFailure, PageRun, Ran, Whole
from page_sessions import Notebook, Outcome, SessionEnded, Shell
from warm import Warm

ROOT = Path(__file__).resolve().parents[2]
HUB_CACHE = Path(__file__).with_name("hub_cache.py")
PLACES = (
    "README.md", "docs/*.md", "docs/tutorials/*.md", "docs/how_to/*.md", "docs/explain/*.md",
    "docs/reference/*.md", "docs/decisions/*.md",
)  # fmt: skip
_PORT = re.compile(r"(:|\bport\W{1,3})8000\b", re.IGNORECASE)
_SERVE = re.compile(r"\btinyforge serve\b(?!.*--(?:new-key|help|port)\b)[^\n|&;#]*")
_SERVERS = re.compile(r"\s*tinyforge (?:serve|ui)\b(?!.*--(?:new-key|help)\b)")


def documentation() -> list[Path]:
    """Every page whose blocks are run, README first."""
    return [path for place in PLACES for path in sorted(ROOT.glob(place))]


@contextmanager
def reader(*, warm: bool) -> Iterator[dict[str, str]]:
    """The environment of somebody who reads at this machine, offline.

    Args:
        warm: commands and Python sessions are started from one process that has imported what
            they need, and not each from nothing.
    """
    with ExitStack() as stack:
        hub = stack.enter_context(tempfile.TemporaryDirectory(prefix="pages-hub-"))
        environment = {
            **os.environ,
            "HF_HOME": hub,
            "HF_HUB_OFFLINE": "1",
            "NO_PROXY": "localhost,127.0.0.1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        }
        environment.pop("PYTEST_CURRENT_TEST", None)
        if warm:
            environment = stack.enter_context(Warm(environment))
        subprocess.run(["python", str(HUB_CACHE), hub], env=environment, check=True)
        yield environment


def run_page(
    page: Page, folder: Path, environment: Mapping[str, str], ran: list[Ran] | None = None
) -> list[Ran]:
    """Run a page's blocks in ``folder``, in order, and compare what the page shows.

    Args:
        ran: what was run is added to it, so that it is known also where a block fails.

    Raises:
        PageFailure: at the first block that fails or prints something else.
    """
    with tempfile.TemporaryDirectory(prefix="pages-") as work:
        run = _Run(page, folder, Path(work), environment, [] if ran is None else ran)
        try:
            for block in page.blocks:
                run.block(block)
        finally:
            run.close()
        return run.ran


class _Run:
    """The sessions of one page, begun when they are needed."""

    def __init__(
        self,
        page: Page,
        folder: Path,
        work: Path,
        environment: Mapping[str, str],
        ran: list[Ran],
    ) -> None:
        self.ran = ran
        self._page, self._folder, self._work = page, folder, work
        self._environment = environment
        self._port = str(_free_port())
        self._shell: Shell | None = None
        self._notebook: Notebook | None = None
        self._block: Block | None = None

    def close(self) -> None:
        """End the sessions."""
        for session in (self._notebook, self._shell):
            if session is not None:
                session.close()

    def block(self, block: Block) -> None:
        """Save or run one block."""
        self._block = block
        if block.kind == "file":
            path = self._folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._ported(block.text), encoding="utf-8")
        elif block.kind == "python":
            self._python(block)
        elif block.kind == "bash":
            command = Command(block.line, block.text, block.expected)
            self._command(command, whole=True, next_text="")
        else:
            try:
                commands = commands_of(block)
            except PageMistake as mistake:
                raise PageFailure(f"{self._page.path}: {mistake}") from None
            texts = [*(command.text for command in commands[1:]), ""]
            for command, following in zip(commands, texts, strict=True):
                self._command(command, whole=False, next_text=following)

    def _python(self, block: Block) -> None:
        if self._notebook is None:
            work = self._work / "notebook"
            self._notebook = Notebook(self._folder, work, self._environment)
        name = f"<{self._page.path.name}:{block.line}>"
        with self._timed(block.line, "python", block.text):
            outcome = self._notebook.run(self._ported(block.text), name)
        if outcome.code:
            self._fail(block.line, "the block failed", block.text, outcome.err)
        self._compare(block.line, block.text, block.expected, outcome)

    def _command(self, command: Command, *, whole: bool, next_text: str) -> None:
        if self._shell is None:
            self._shell = Shell(self._folder, self._work / "shell", self._environment)
        text = _with_port(self._ported(command.text), self._port)
        own_terminal = _SERVERS.match(text) is not None
        aside = text.rstrip().endswith("&")
        with self._timed(command.line, "bash" if whole else "console", command.text):
            if (aside or own_terminal) and len(text.strip().splitlines()) == 1:
                outcome = self._shell.start(text, terminal=own_terminal and not aside)
                if command.expected and not outcome.code:  # it goes on, and so does what it says
                    command = replace(command, expected=f"{command.expected.rstrip()}\n…\n")
            else:
                outcome = self._shell.run(text, whole=whole)
        if outcome.code and next_text.strip() != "echo $?":
            self._compare_failure(command, outcome)
        else:
            self._compare(command.line, command.text, command.expected, outcome)

    def _compare_failure(self, command: Command, outcome: Outcome) -> None:
        """A command may fail where the page shows the whole of what it then prints."""
        shown = (command.expected or "…").rstrip().splitlines()
        if shown[-1].strip() == "…":
            told = outcome.err or outcome.out
            self._fail(command.line, f"exit code {outcome.code}", command.text, told)
        whole = Outcome(outcome.code, outcome.err + outcome.out, "")
        self._compare(command.line, command.text, command.expected, whole)

    def _compare(self, line: int, text: str, expected: str | None, outcome: Outcome) -> None:
        if expected is None:
            return
        wanted = self._ported(expected)
        if not any(matches(wanted, shown) for shown in outcome.shown()):
            found = {
                "the page shows": wanted,
                "standard output": outcome.out + outcome.echo,
                "standard error": outcome.err,
            }
            told = "\n".join(f"--- {name}\n{shown.rstrip()}" for name, shown in found.items())
            self._fail(line, "it prints something else", text, told)

    def _fail(self, line: int, what: str, text: str, more: str) -> None:
        raise PageFailure(
            f"{self._page.path}:{line}: {what}\n--- run\n{text.rstrip()}\n{more.rstrip()}"
        )

    @contextmanager
    def _timed(self, line: int, kind: str, text: str) -> Iterator[None]:
        begun, block = time.monotonic(), self._block
        assert block is not None
        try:
            yield
        except SessionEnded as ended:
            self._fail(line, f"the session ended: {ended}", text, "")
        finally:
            seconds = time.monotonic() - begun
            self.ran.append(Ran(line, kind, text, seconds, block.line, block.shown))

    def _ported(self, text: str) -> str:
        return _PORT.sub(rf"\g<1>{self._port}", text)


def _with_port(text: str, port: str) -> str:
    """``tinyforge serve`` without ``--port`` would take 8000."""
    return _SERVE.sub(lambda found: f"{found[0].rstrip()} --port {port} ", text)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def main() -> int:
    """Run pages, list what was run, and say how long it took."""
    parser = argparse.ArgumentParser(description="Run the documentation's blocks of code.")
    parser.add_argument("pages", nargs="*", type=Path, help="default: all, and docstrings")
    parser.add_argument("--fast", action="store_true", help="leave the slow pages out")
    parser.add_argument("--warm", action="store_true", help="start commands as the tests do")
    parser.add_argument("--list", type=Path, metavar="FILE", help="keep the list: .json or .md")
    asked = parser.parse_args()
    paths = asked.pages or documentation()
    pages = [read_page(path) for path in paths if not (asked.fast and is_slow(path))]
    whole = Whole()
    with reader(warm=asked.warm) as environment:
        for page in pages:
            if page.runs:
                _report(_page_run(page, environment), whole, asked.list)
    for module in [] if asked.pages else modules_with_examples():
        _report(_module_run(module), whole, asked.list)
    print(whole.sentence)
    return 1 if whole.failed else 0


def _page_run(page: Page, environment: Mapping[str, str]) -> PageRun:
    """A page in a fresh folder."""
    ran: list[Ran] = []
    failure, begun = "", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="page-") as folder:
        try:
            run_page(page, Path(folder), environment, ran)
        except PageFailure as problem:
            failure = str(problem)
    name = page.path.resolve().relative_to(ROOT).as_posix()
    return PageRun(name, ran, time.monotonic() - begun, failure)


def _module_run(name: str) -> PageRun:
    """A module's docstrings, in a fresh folder."""
    ran: list[Ran] = []
    failure, begun = "", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="page-") as folder, chdir(folder):
        try:
            ran = run_docstrings(name)
        except PageFailure as problem:
            failure = str(problem)
    return PageRun(name, ran, time.monotonic() - begun, failure)


def _report(run: PageRun, whole: Whole, kept: Path | None) -> None:
    """Tell of a page, and keep the list so far: a run of all pages takes a while."""
    whole.add(run)
    if kept:
        whole.write(kept)
    print(run, *([f"FAILED {run.failure}\n"] if run.failure else []), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
