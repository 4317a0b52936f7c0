"""Looks through a built site for links that lead nowhere, and for parts that need a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Tags whose target a browser fetches by itself."""


@dataclass
class _Page(HTMLParser):
    """The places of a page that can be linked to, its links, and what it loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for name in ("id", "name"):
            if found.get(name):
                self.ids.add(str(found[name]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in LOADED and found.get(LOADED[tag]):
            self.loads.append(str(found[LOADED[tag]]))
        if tag == "link" and found.get("href") and found.get("rel") not in ("canonical", "edit"):
            self.loads.append(str(found["href"]))


def broken_links(site: Path) -> Iterator[str]:
    """Links of the site's pages to pages, places and files that are not there."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":
            continue  # its links start at the root of wherever it is put
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{path.relative_to(site)}: {link} leads nowhere"
            elif target in pages and unquote(parts.fragment) not in {"", *pages[target].ids}:
                yield f"{path.relative_to(site)}: {link}: the page has no such place"


def foreign_parts(site: Path) -> Iterator[str]:
    """What pages would fetch from elsewhere: nothing may be, for the site is read offline too."""
    for path in sorted(site.rglob("*.html")):
        for target in _read(path).loads:
            if urlsplit(target).netloc:
                yield f"{path.relative_to(site)}: loads {target} from elsewhere"


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page
