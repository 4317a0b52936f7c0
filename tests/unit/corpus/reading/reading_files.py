"""Files of every format, built in code, and a short way to read them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find_units, read_unit
from tinyforge.records.documents import Document, Dropped

ARTICLE = (
    "The harbour was quiet that morning, and the fishing boats had not yet gone out. Old Marta "
    "stood on the pier, as she had done every day for forty years, and counted the gulls. She "
    "knew each of the captains by name, and most of their fathers too. When the first engine "
    "started, she nodded to herself, turned round, and walked slowly back to the town, where the "
    "baker was just opening his shop and the smell of new bread lay over the street."
)


def write(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(*sources: Path | str, **values: Any) -> tuple[list[Document], list[Dropped]]:
    """All documents of some sources, and all that was refused."""
    settings = ReadSettings(**values)
    found = [
        result
        for unit in find_units([str(source) for source in sources], settings)
        for result in read_unit(unit, settings)
    ]
    kept = [result for result in found if isinstance(result, Document)]
    names = [result.id for result in found]
    assert len(set(names)) == len(names), "an id came twice"
    assert all(result.step == "read" for result in found if isinstance(result, Dropped))
    return kept, [result for result in found if isinstance(result, Dropped)]


def texts(*sources: Path | str, **values: Any) -> dict[str, str]:
    """Id to text, where nothing may be refused."""
    kept, refused = read(*sources, **values)
    assert not refused
    return {document.id: document.text for document in kept}


def reasons(*sources: Path | str, **values: Any) -> dict[str, str]:
    """Id to reason, where nothing may be kept."""
    kept, refused = read(*sources, **values)
    assert not kept
    return {item.id: item.reason for item in refused}


def html(body: str, head: str = "<title>A page</title>") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


def page(text: str = ARTICLE) -> str:
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/shop'>Shop</a></li></ul></nav>"
    foot = "<footer><p>Copyright, all rights reserved. Cookies.</p></footer>"
    return html(f"{menu}<article><h1>The harbour</h1><p>{text}</p></article>{foot}")


def pdf(pages: Sequence[str], *, title: str = "", objects: Mapping[int, bytes] = {}) -> bytes:
    """A PDF of plain pages; ``objects`` replaces single objects by number."""
    first = 4
    kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(pages)))
    parts: dict[int, bytes] = {
        1: b"<< /Type /Catalog /Pages 2 0 R >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    for i, text in enumerate(pages):
        lines = "".join(f"({_escaped(line)}) Tj T* " for line in text.split("\n"))
        content = f"BT /F1 12 Tf 72 720 Td 14 TL {lines}ET".encode("cp1252")
        number = first + 2 * i
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        parts[number] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources} "
            f"/Contents {number + 1} 0 R >>"
        ).encode()
        parts[number + 1] = stream(content)
    info = first + 2 * len(pages)
    parts[info] = f"<< /Title ({title}) /CreationDate (D:20240229120000Z) >>".encode()
    parts.update(objects)
    return pdf_file(parts, info)


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def stream(content: bytes, extra: str = "") -> bytes:
    head = f"<< {extra} /Length {len(content)} >>\nstream\n".encode()
    return head + content + b"\nendstream"


def pdf_file(parts: Mapping[int, bytes], info: int) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = {}
    for number, body in sorted(parts.items()):
        places[number] = out.tell()
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    size = max(parts) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n".encode())
    for number in range(1, size):
        kind = "n" if number in places else "f"
        out.write(f"{places.get(number, 0):010d} 00000 {kind} \n".encode())
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {info} 0 R >>\n"
    out.write(f"{trailer}startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def encrypted_pdf(password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["A secret page."]))))
    writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def exponential_pdf() -> bytes:
    """Pages whose form draws ten forms that each draw ten, and so on: text without end."""
    levels = 12
    forms = {}
    for level in range(levels):
        number = 10 + level
        inner = f"{number + 1} 0 R"
        calls = b" ".join([b"/X Do"] * 10) if level < levels - 1 else b"BT (ha) Tj ET"
        extra = (
            "/Type /XObject /Subtype /Form /BBox [0 0 9 9] "
            f"/Resources << /Font << /F1 3 0 R >> /XObject << /X {inner} >> >>"
        )
        forms[number] = stream(calls, extra)
    start = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources "
    start += b"<< /XObject << /X 10 0 R >> >> /Contents 5 0 R >>"
    pages = b"<< /Type /Pages /Kids [" + b"4 0 R " * 200 + b"] /Count 200 >>"
    return pdf(["x"], objects={2: pages, 4: start, 5: stream(b"/X Do"), **forms})


def docx(paragraphs: Sequence[str], rows: Sequence[Sequence[str]] = (), title: str = "") -> bytes:
    import docx as package

    document = package.Document()
    document.core_properties.title = title
    for text in paragraphs:
        document.add_paragraph(text)
    if rows:
        table = document.add_table(len(rows), len(rows[0]))
        for i, row in enumerate(rows):
            for j, cell in enumerate(row):
                table.cell(i, j).text = cell
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def zipped(members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def tarred(members: Mapping[str, bytes | str], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            content = data.encode() if isinstance(data, str) else data
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return out.getvalue()


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet as package

    out = io.BytesIO()
    package.write_table(pyarrow.Table.from_pylist(list(rows)), out)
    return out.getvalue()


def warc_record(
    payload: bytes | str,
    *,
    url: str = "http://example.org/",
    kind: str = "response",
    content_type: str = "text/html; charset=utf-8",
    status: str = "200 OK",
    headers: str = "",
) -> bytes:
    body = payload if isinstance(payload, bytes) else payload.encode()
    block, block_type = body, content_type
    if kind == "response":
        block_type = "application/http; msgtype=response"
        http = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}\r\n"
        block = http.encode() + body
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        f"Content-Type: {block_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def zlib_bomb(size: int) -> bytes:
    """``size`` zero bytes, packed by deflate."""
    packer = zlib.compressobj(9)
    block = b"\0" * 1_000_000
    parts = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.flush()])


def gzip_bomb(size: int) -> bytes:
    """``size`` letters, packed by gzip."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as file:
        for _ in range(size // 1_000_000):
            file.write(b"a" * 1_000_000)
    return out.getvalue()
