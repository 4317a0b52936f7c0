"""The page of a prepared corpus: safe to open, readable without seeing it, and complete."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from tinyforge.artifacts.bars import Bar, bar_chart, histogram
from tinyforge.artifacts.prepare_page import render_preparation
from tinyforge.config.prepare import PrepareSettings
from tinyforge.corpus.ledger import Entry
from tinyforge.corpus.report import Tally
from tinyforge.corpus.stages.accounting import Account

EVIL = '<script>alert("x")</script>'


def report_of(accounts: list[Account]) -> dict[str, Any]:
    tally = Tally()
    for _ in tally.passing(accounts):
        pass
    sources = [{"name": EVIL, "files": 3, "bytes": 5_000_000, "weight": 2.0},
               {"name": "b", "files": 1, "bytes": 10, "weight": 1.0}]  # fmt: skip
    report = tally.report(sources)
    return report | {
        "settings": PrepareSettings().model_dump(mode="json"), "notes": [f"a note {EVIL}"],
    }  # fmt: skip


ACCOUNTS = [
    Account(Entry(f"{EVIL}/{i}", EVIL, "train", "en", 900 * i, 800 * i, '{"mended":2}'), 850 * i)
    for i in range(1, 40)
] + [
    Account(Entry("b", "b", "dropped", size=50, step="clean", reason=EVIL, detail=EVIL,
                  excerpt=EVIL)),
    Account(Entry(f"{EVIL}/x", EVIL, "dropped", "de", 500, step="duplicates",
                  reason="near-duplicate", duplicate_of="b", similarity=0.83, excerpt=EVIL),
            480, kept_source="b"),
]  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_hostile_text_is_shown_and_never_run() -> None:
    text = render_preparation(report_of(ACCOUNTS))
    page = Page(text)
    assert "<script" not in text
    assert not {"script", "img", "iframe", "link"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in text
    assert "://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_everything_is_said() -> None:
    text = render_preparation(report_of(ACCOUNTS))
    for words in (
        "39 documents",
        "near-duplicate",
        "mended",
        "0.83",
        "a note",
        "clean.normal_form",
        "Documents that stand in two sources",
        "prefers-color-scheme: dark",
    ):
        assert words in text, words


def test_the_page_can_be_read_without_seeing_it() -> None:
    text = render_preparation(report_of(ACCOUNTS))
    page = Page(text)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for name, value in page.attributes if name == "href"]
    assert {str(link)[1:] for link in links} <= set(ids)
    assert page.tags.count("table") == page.tags.count("caption")
    assert page.tags.count("svg") == len(re.findall(r'<svg[^>]*aria-label="[^"]+"', text)) == 5
    assert page.tags.count("h1") == page.tags.count("main") == 1


def test_an_empty_corpus_has_a_page() -> None:
    text = render_preparation(report_of([]))
    assert "0 documents" in text
    assert "Nothing was dropped" in text


def test_bars_are_in_proportion() -> None:
    chart = bar_chart([Bar("a", 100, "100"), Bar("b", 25, "25", part=5)], title="t")
    widths = [float(w) for w in re.findall(r'<rect[^>]*width="([\d.]+)"', chart)]
    assert widths[0] == 4 * (widths[1] + widths[2])
    assert widths[1] == 4 * widths[2]
    assert bar_chart([], title="t") == ""
    assert bar_chart([Bar("a", 0, "0")], title="t") == ""
    assert histogram([], [], [], title="t") == ""
    assert histogram(["1", "2"], [1, 3], [2, 4], title="t").count("<rect") == 4


def test_samples_do_not_depend_on_the_order() -> None:
    dropped = [
        Account(Entry(f"x/{i}", "x", "dropped", step="clean", reason="short", size=i))
        for i in range(200)
    ]
    first, second = (report_of(order) for order in (dropped, dropped[::-1]))
    assert first["reasons"] == second["reasons"]
    (reason,) = first["reasons"]
    assert (reason["documents"], len(reason["samples"])) == (200, 5)
