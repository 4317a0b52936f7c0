"""PDF: the text of its pages by pypdf, in a process with limits."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from tinyforge.corpus.reading.isolated import parse_apart
from tinyforge.corpus.reading.item import Item, Unreadable, Work
from tinyforge.records.documents import Document, Dropped

_MAGIC_WITHIN = 1024


def read_pdf(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A PDF file; title, author, date and number of pages go to ``meta``."""
    data = item.content.whole(work.settings.max_file_bytes)
    if b"%PDF" not in data[:_MAGIC_WITHIN]:
        raise Unreadable("damaged", "it does not begin like a PDF")
    yield from parse_apart("pdf", data, {}, item, work)


def parse_pdf(data: bytes, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The pages' text, a blank line between pages; runs in the parser's own process.

    A page that cannot be read is left out and counted in ``meta["pages_lost"]``.

    Raises:
        Unreadable: encrypted, without text (scanned pages), or no page can be read.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("encrypted", "it asks for a password")
        pages = list(reader.pages)
    except (FileNotDecryptedError, DependencyError) as error:
        raise Unreadable("encrypted", str(error)[:200]) from None
    except PyPdfError as error:
        limit = type(error).__name__ == "LimitReachedError"  # older versions have none
        reason = "unpacks to too much" if limit else "damaged"
        raise Unreadable(reason, f"{type(error).__name__}: {str(error)[:200]}") from None
    texts, lost = [], ""
    failed = 0
    for page in pages:
        try:
            texts.append(page.extract_text().strip())
        except MemoryError:
            raise
        except Exception as error:  # one broken page does not cost the others
            failed += 1
            lost = lost or f"{type(error).__name__}: {str(error)[:150]}"
    text = "\n\n".join(text for text in texts if text)
    if not text:
        if failed:
            raise Unreadable("damaged", lost)
        raise Unreadable("no text", f"{len(pages)} pages, maybe scanned")
    return text, _meta(reader, len(pages), failed)


def _meta(reader: Any, pages: int, failed: int) -> dict[str, Any]:
    meta: dict[str, Any] = {"pages": pages}
    if failed:
        meta["pages_lost"] = failed
    try:
        known = reader.metadata or {}
        for key, name in (("title", "/Title"), ("author", "/Author"), ("date", "/CreationDate")):
            value = str(known.get(name) or "").replace("\0", "").strip()
            if value:
                meta[key] = value[:500]
    except Exception:  # the text is what counts; a broken information dictionary is common
        return meta
    if match := re.match(r"D:(\d{4})(\d{2})(\d{2})", meta.get("date", "")):
        meta["date"] = "-".join(match.groups())
    return meta
