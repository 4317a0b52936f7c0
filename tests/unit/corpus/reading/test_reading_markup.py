"""Markdown and reStructuredText, kept and turned to text."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from reading_files import read, texts, write

from tinyforge.corpus.reading.markup import markdown_text, parse_rst

MARKDOWN = """---
title: "A day"
license: MIT
tags: [a, b]
---
# A *fine* day

Some **bold** and _soft_ words, a [link](http://example.org "there"), `code` and snake_case_name.
<!-- hidden -->

> Quoted \\*words\\*.

- one
- two

![A boat](boat.png)

```python
def f(*args): return "**kept**"
```

* * *

[ref]: http://example.org
"""

RST = """
A fine day
==========

Some **bold** and *soft* words, ``code``, and a `link <http://example.org>`_.

.. comment that nobody reads

.. include:: /etc/hostname

.. raw:: html

   <b>raw</b>

- one
- two

::

    def f(): pass

.. versionadded:: 3.2
   New here.

:class:`Thing` stays.
"""


def test_markup_is_kept_by_default(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.md", MARKDOWN)
    write(tmp_path / "raw" / "b.rst", RST)
    assert texts(tmp_path / "raw") == {"raw/a.md": MARKDOWN, "raw/b.rst": RST}


def test_markdown_as_text(tmp_path: Path) -> None:
    kept, _ = read(write(tmp_path / "a.md", MARKDOWN), markup="text")
    assert kept[0].text == (
        "A fine day\n\nSome bold and soft words, a link, code and snake_case_name.\n\n"
        'Quoted *words*.\n\n- one\n- two\n\nA boat\n\ndef f(*args): return "**kept**"'
    )
    assert kept[0].meta == {"title": "A day", "licence": "MIT"}


@given(st.text(alphabet="*_`[]()!<>#\\~ab\n-", max_size=200))
def test_markdown_of_any_shape_ends_with_its_letters(source: str) -> None:
    text, _ = markdown_text(source)
    # A tag may take letters away with it; without tags and link targets all of them stay.
    if not set(source) & set("<[]()`~"):
        assert [c for c in text if c in "ab"] == [c for c in source if c in "ab"]


def test_rst_as_text_includes_and_runs_nothing(tmp_path: Path) -> None:
    kept, refused = read(write(tmp_path / "a.rst", RST), markup="text")
    assert not refused
    text = kept[0].text
    for part in ("A fine day", "Some bold and soft words, code, and a link.", "one", "two",
                 "def f(): pass", "New here.", "Thing stays."):  # fmt: skip
        assert part in text, part
    for part in ("nobody reads", "raw", "**", "==", "include", "http"):
        assert part not in text, part
    assert Path("/etc/hostname").read_text().strip() not in text
    assert kept[0].meta == {"title": "A fine day"}


def test_rst_substitutions_that_multiply_do_not_last(tmp_path: Path) -> None:
    lines = [".. |a0| replace:: " + "ha " * 10]
    lines += [f".. |a{i + 1}| replace:: " + f"|a{i}| " * 10 for i in range(5)]
    path = write(tmp_path / "a.rst", "\n".join(lines) + "\n\n|a5|\n")
    kept, refused = read(path, markup="text", parser_seconds=1)
    assert len(kept) + len(refused) == 1
    assert not kept or len(kept[0].text) < 1_000_000


def test_rst_keeps_the_text_when_it_is_wrong_markup() -> None:
    text, _ = parse_rst(b"Title\n==\n\nUnclosed **bold and `ref.\n\n   Odd indent\n back\n", {})
    for word in ("Title", "Unclosed", "bold and", "ref.", "Odd indent", "back"):
        assert word in text
