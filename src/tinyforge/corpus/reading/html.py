"""Web pages: the article by trafilatura, or all text of the page. Nothing is ever fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tinyforge.corpus.reading.decode import decode_html
from tinyforge.corpus.reading.isolated import parse_apart
from tinyforge.corpus.reading.item import Item, Unreadable, Work
from tinyforge.records.documents import Document, Dropped

_META = {
    "title": ("og:title", "twitter:title", "dc.title"),
    "date": (
        "article:published_time", "datepublished", "dc.date", "dc.date.issued", "date", "pubdate",
    ),
    "author": ("author", "article:author", "dc.creator"),
    "language": ("og:locale", "language", "content-language"),
}  # fmt: skip
_LONGEST = 500
_LITTLE = 250
"""Characters of an article; with fewer the page is read again (trafilatura's own measure)."""

_SILENT = ("script", "style", "noscript", "template", "head", "svg", "iframe", "object")
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "li", "main", "nav", "ol", "option", "p", "pre", "section", "summary",
    "table", "tr", "ul",
))  # fmt: skip
_CELLS = frozenset(("td", "th"))


def read_html(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A web page; its title, date, author and language, where it names them, go to ``meta``."""
    data = item.content.whole(work.settings.max_file_bytes)
    yield from read_page(data, "", item, work)


def read_page(
    data: bytes, charset: str, item: Item, work: Work, number: str = ""
) -> Iterator[Document | Dropped]:
    """The document of one page, with the charset that its HTTP header named.

    Raises:
        Unreadable: it has no text, or its parser refuses it.
    """
    options = {
        "charset": charset, "encoding": work.settings.encoding, "want": work.settings.html,
    }  # fmt: skip
    yield from parse_apart("html", data, options, item, work, number)


def parse_html(data: bytes, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A page's text and what it says of itself; runs in the parser's own process.

    The article is found by trafilatura (Barbaresi 2021, ACL demo); where it finds nothing, the
    page's whole text is taken and ``meta["extracted"]`` says so.

    Raises:
        Unreadable: the page has no text.
    """
    from lxml.html import HTMLParser, document_fromstring

    page = decode_html(data, options.get("charset", ""), options.get("encoding")).text
    page = re.sub(r"^\s*<\?xml[^>]*\?>", "", page.replace("\0", ""))
    if not page.strip():
        raise Unreadable("empty")
    parser = HTMLParser(remove_comments=True, remove_pis=True, encoding="utf-8")
    tree = document_fromstring(page.encode("utf-8", "replace"), parser=parser)
    meta = _meta(tree)
    text = _article(page) if options.get("want") != "page" else ""
    if not text:
        text = page_text(tree)
        if options.get("want") != "page":
            meta["extracted"] = "page"
    if not text:
        raise Unreadable("no text", "the page shows none")
    return text, meta


def _article(page: str) -> str:
    """The article as trafilatura is sure of it, as FineWeb was made (Penedo 2024); a page of
    which little is left so is read again by all its rules."""
    import trafilatura

    found = ""
    for sure in (True, False):
        text = trafilatura.extract(
            page, favor_precision=sure, include_comments=False, include_tables=True,
            include_images=False, include_links=False, deduplicate=False, with_metadata=False,
        )  # fmt: skip
        found = max(found, (text or "").strip(), key=len)
        if len(found) >= _LITTLE:
            break
    return found


def _meta(tree: Any) -> dict[str, Any]:
    """What the page's head says, each value as it stands there."""
    named: dict[str, str] = {}
    for element in tree.iter("meta"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or ""
        name = name or element.get("http-equiv") or ""
        named.setdefault(name.strip().lower(), (element.get("content") or "").strip())
    meta = {
        key: next((named[name] for name in names if named.get(name)), "")
        for key, names in _META.items()
    }
    title = tree.find(".//title")
    if not meta["title"] and title is not None:
        meta["title"] = " ".join((title.text or "").split())
    meta["language"] = tree.get("lang") or meta["language"]
    for link in tree.iter("link", "a"):
        relation = (link.get("rel") or "").lower().split()
        if "canonical" in relation:
            meta.setdefault("url", link.get("href") or "")
        if "license" in relation:
            meta.setdefault("licence", link.get("href") or "")
    return {key: value[:_LONGEST] for key, value in meta.items() if value}


def page_text(tree: Any) -> str:
    """All text that a page shows: a line for each block, a tab between cells."""
    parts: list[str] = []
    body = tree.find("body")
    stack = [(tree if body is None else body, False)]
    while stack:  # no recursion: pages are nested as deeply as their author likes
        element, leaving = stack.pop()
        tag = element.tag if isinstance(element.tag, str) else ""
        if leaving:
            parts.append("\n" if tag in _BLOCKS else "\t" if tag in _CELLS else "")
            parts.append(re.sub(r"\s+", " ", element.tail or ""))
            continue
        stack.append((element, True))
        if tag in _SILENT or not tag:
            continue
        if tag in _BLOCKS:
            parts.append("\n")
        text = element.text or ""
        parts.append(text if tag in ("pre", "textarea") else re.sub(r"\s+", " ", text))
        stack.extend((child, False) for child in reversed(element))
    lines = (re.sub(r"[ \t]*\t[ \t]*", "\t", line).strip() for line in "".join(parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if line))
