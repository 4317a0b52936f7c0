"""Web pages: the article without what is around it, or the whole page; nothing is fetched."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from reading_files import ARTICLE, html, page, read, reasons, texts, write

from tinyforge.corpus.reading.html import parse_html


def test_the_article_without_menu_and_footer(tmp_path: Path) -> None:
    kept, refused = read(write(tmp_path / "a.html", page()))
    assert not refused
    assert ARTICLE in kept[0].text
    assert "Cookies" not in kept[0].text
    assert "Shop" not in kept[0].text


def test_the_whole_page_by_choice(tmp_path: Path) -> None:
    source = html(
        "<nav>Menu</nav><p>One\n two</p><script>evil()</script><table><tr><td>a</td><td>b</td>"
        "</tr></table><pre>x\n  y</pre><!-- note -->"
    )
    path = write(tmp_path / "a.html", source)
    assert texts(path, html="page") == {"a.html": "Menu\nOne two\na\tb\nx\ny"}


def test_what_a_page_says_of_itself_is_kept(tmp_path: Path) -> None:
    head = (
        '<title>Fallback</title><meta property="og:title" content="The harbour">'
        '<meta property="article:published_time" content="2021-02-03T04:05:06Z">'
        '<meta name="author" content="Marta"><link rel="canonical" href="https://example.org/h">'
        '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
    )
    source = html(f"<p>{ARTICLE}</p>", head).replace("<html>", '<html lang="en">')
    kept, _ = read(write(tmp_path / "a.html", source))
    assert kept[0].meta == {
        "title": "The harbour",
        "date": "2021-02-03T04:05:06Z",
        "author": "Marta",
        "language": "en",
        "url": "https://example.org/h",
        "licence": "https://creativecommons.org/licenses/by/4.0/",
    }


def test_a_page_without_an_article_falls_back_to_its_text() -> None:
    text, _ = parse_html(html("<div>Hi</div>").encode(), {"want": "article"})
    assert text == "Hi"


def test_a_page_without_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "a.html", html("<script>run()</script><img src=x>"))
    write(tmp_path / "raw" / "b.html", "   ")
    assert reasons(tmp_path / "raw") == {"raw/a.html": "no text", "raw/b.html": "empty"}


def test_encodings_of_pages(tmp_path: Path) -> None:
    source = html(f"<p>{ARTICLE} Déjà vu.</p>", '<meta charset="iso-8859-1">')
    path = write(tmp_path / "a.html", source.encode("latin-1"))
    assert "Déjà vu." in texts(path)["a.html"]


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **values: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    source = page().replace(
        "<head>",
        '<head><base href="http://example.invalid/"><link rel="stylesheet" href="a.css">'
        '<link rel="alternate" type="application/rss+xml" href="/feed">',
    )
    text, _ = parse_html(source.encode(), {"want": "article"})
    assert ARTICLE in text


@pytest.mark.parametrize(
    "source",
    [
        "<html>" + "<div>" * 5_000 + "deep" + "</div>" * 5_000,
        "<html>" + "<p><b><i>" * 5_000 + "open",
        "<html><body>" + "&#0;&#xD800;&#x110000;" * 100 + "entities",
        "<!DOCTYPE html [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><html><p>&b;</p>entities",
        "<html><body><p>" + "x" * 3_000_000,
    ],
    ids=["deep", "unclosed", "references", "entities", "one word"],
)
def test_hostile_pages_end(tmp_path: Path, source: str) -> None:
    kept, refused = read(write(tmp_path / "a.html", source), parser_seconds=2)
    assert len(kept) + len(refused) == 1
