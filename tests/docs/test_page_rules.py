"""The runner of the documentation's blocks: it finds them, and sees what a reader would miss."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from page_blocks import PageMistake, commands_of, is_slow, matches, read_page
from page_docstrings import run_docstrings
from page_list import PageFailure, PageRun, Ran, Whole
from pages import run_page

Runner = Callable[[str], list[Ran]]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Run a page of this text in ``tmp_path``, with the commands of this machine."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def page(text: str) -> list[Ran]:
        path = tmp_path / "page.md"
        path.write_text(text, encoding="utf-8")
        return run_page(read_page(path), tmp_path, environment)

    return page


def test_blocks_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "<!-- run: slow -->\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        '```yaml title="a/b.yaml" hl_lines="1"\nx: 1\n```\n\n```\nillustration\n```\n\n'
        "- in a list\n\n    ```bash\n    true\n    ```\n\n"
        "<!-- given: bash\ntouch there\n-->\n\n```python\n2\n```\n\nwords\n\n```text\n3\n```\n",
        encoding="utf-8",
    )
    page = read_page(path)
    assert is_slow(path)
    assert page.runs
    assert [(b.line, b.kind, b.title, b.expected) for b in page.blocks] == [
        (3, "python", "", "1\n"), (11, "file", "a/b.yaml", None), (21, "bash", "", None),
        (25, "bash", "", None), (29, "python", "", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "!!! note\n\n    ```python\n    1\n    ```\n",
        "```sh\nls\n```\n",
        "<!-- given: ruby\nputs 1\n-->\n",
        "<!-- given: nothing -->\n",
    ],
)
def test_blocks_that_would_not_run_are_a_mistake(text: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(PageMistake):
        read_page(tmp_path / "page.md")


def test_commands_and_their_output(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "```console\n$ echo a \\\n    b\na b\n\n$ cat <<END\n> x\n> END\nx\n> y\n$ true\n```\n",
        encoding="utf-8",
    )
    (block,) = read_page(path).blocks
    assert [(c.line, c.text, c.expected) for c in commands_of(block)] == [
        (2, "echo a \\\n    b", "a b\n"), (6, "cat <<END\nx\nEND", "x\n> y"), (11, "true", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\nb\n", "a  \nb\n\n", True),
        ("a\nb", "a\nc", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("…\nd", "a\nd\ne", False),
        ("loss …, rate 1", "loss 0.3, rate 1", True),
        ("loss …, rate 1", "loss 0.3, rate 2", False),
        ("a…b", "a\nb", False),
        ("(x.y)", "(x+y)", False),
        ("…", "", True),
        ("a", "", False),
    ],
)
def test_outputs_are_compared(expected: str, actual: str, same: bool) -> None:
    assert matches(expected, actual) is same


def test_sessions_last_as_long_as_the_page(run: Runner, tmp_path: Path) -> None:
    ran = run(
        "```console\n$ mkdir in && cd in\n$ name=world\n```\n"
        '```bash\necho "hello $name" > file\ncat file\n```\n\n```text\nhello world\n```\n'
        "```python\nimport pathlib\nx = 20\n```\n"
        '```python\nprint(x + 1)\npathlib.Path("in/file").read_text()\n```\n'
        "```text\n21\n'hello world\\n'\n```\n"
        "```python\nx\n```\n```text\n20\n```\n"
        "```python\nimport sys\nprint('said', file=sys.stderr)\n```\n```text\nsaid\n```\n"
    )
    assert [(part.kind, part.line) for part in ran] == [
        ("console", 2), ("console", 3), ("bash", 5), ("python", 13), ("python", 17),
        ("python", 25), ("python", 31),
    ]  # fmt: skip
    assert (tmp_path / "in" / "file").is_file()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```console\n$ echo a\nb\n```\n", "page.md:2: it prints something else"),
        ("```console\n$ false\n```\n", "exit code 1"),
        ("```console\n$ ls nothing-here\n…\n```\n", "exit code 2"),
        ("```bash\nfalse\ntrue\n```\n", "exit code 1"),
        ("```python\nprint(1)\n```\n```text\n2\n```\n", "it prints something else"),
        ("```python\nx = 1 / 0\n```\n", "ZeroDivisionError"),
        ("```python\nimport os\nos._exit(3)\n```\n", "exit code 3"),
        ("```console\nls\n```\n", "begins with a command"),
    ],
)
def test_what_does_not_hold_fails(text: str, told: str, run: Runner) -> None:
    with pytest.raises(PageFailure, match=told):
        run(text)


def test_a_failing_command_has_to_be_shown(run: Runner) -> None:
    run("```console\n$ (echo no; exit 3)\n$ echo $?\n3\n```\n")
    run("```console\n$ (echo no; echo never >&2; exit 3)\nnever\nno\n```\n")
    with pytest.raises(PageFailure):
        run("```console\n$ (echo no; echo never >&2; exit 3)\nno\n```\n")
    with pytest.raises(PageFailure):
        run("```console\n$ (exit 3)\n$ echo $?\n2\n```\n")


def test_the_list_has_every_block_with_its_page_and_line(run: Runner, tmp_path: Path) -> None:
    ran = run(
        "<!-- given: bash\ntouch there\n-->\n\n"
        "```console\n$ echo 'a | b'\n$ ls there\nthere\n```\n```python\n1 + 1\n```\n"
    )
    whole = Whole([PageRun("page.md", ran, 2.04), PageRun("other.md", [], 1.0, "line 3: no")], 3.6)
    assert whole.sentence.startswith("2 pages, 3 blocks, 4 commands and programs in them, 4 s on")
    assert whole.sentence.endswith("pages failed: 1")
    whole.write(tmp_path / "list.json")
    kept = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    assert (kept["blocks"], kept["commands"], kept["seconds"]) == (3, 4, 3.6)
    assert [page["failure"] for page in kept["pages"]] == [None, "line 3: no"]
    assert [(each["line"], each["block"], each["kind"], each["shown"], each["text"])
            for each in kept["pages"][0]["run"]] == [
        (1, 1, "bash", False, "touch there\n"), (6, 5, "console", True, "echo 'a | b'"),
        (7, 5, "console", True, "ls there"), (10, 10, "python", True, "1 + 1\n"),
    ]  # fmt: skip
    whole.write(tmp_path / "list.md")
    table = (tmp_path / "list.md").read_text(encoding="utf-8")
    assert "| page.md | 3 | 4 | 2.0 | passed |" in table
    assert "| other.md | 0 | 0 | 1.0 | FAILED |" in table
    assert "<code>echo 'a &#124; b'</code> |" in table
    assert "| page.md:1 | bash, not shown |" in table


def test_what_ran_before_a_failure_is_in_the_list(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("```bash\ntrue\n```\n\n```bash\nfalse\n```\n", encoding="utf-8")
    ran: list[Ran] = []
    with pytest.raises(PageFailure):
        run_page(read_page(path), tmp_path, os.environ, ran)
    assert [part.line for part in ran] == [1, 5]


def test_a_wrong_example_in_a_docstring_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    examples = {"page_right": ">>> 1 + 1\n2", "page_wrong": ">>> 1 + 1\n3", "page_none": ""}
    for name, text in examples.items():
        (tmp_path / f"{name}.py").write_text(f'"""What.\n\n{text}\n"""\n', encoding="utf-8")
    (part,) = run_docstrings("page_right")
    assert (part.line, part.kind, part.text) == (3, "docstring", "1 + 1\n")
    for name in ("page_wrong", "page_none"):
        with pytest.raises(PageFailure, match=name):
            run_docstrings(name)


SERVER = """\
import http.server

PORT = 8000
address = ("127.0.0.1", PORT)
server = http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler)
print("serving at http://127.0.0.1:8000", flush=True)
server.serve_forever()
"""


ASK = """\
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8000/hello.txt").read().decode(), end="")
""".replace("\n", ";").rstrip(";")


def test_the_port_is_a_free_one(run: Runner, tmp_path: Path) -> None:
    run(
        f'```python title="server.py"\n{SERVER}```\n'
        '```text title="hello.txt"\nhello 8000\n```\n'
        "```console\n$ python server.py &\nserving at http://127.0.0.1:8000\n"
        f"$ python -c '{ASK}'\nhello 8000\n"
        "$ kill %1\n$ wait $!\n$ echo $?\n143\n```\n"
    )
    assert "8000" not in (tmp_path / "server.py").read_text(encoding="utf-8")
