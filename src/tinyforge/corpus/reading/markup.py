"""Markdown and reStructuredText: as written, or only what a reader of the page would read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tinyforge.corpus.reading.decode import decode
from tinyforge.corpus.reading.isolated import parse_apart
from tinyforge.corpus.reading.item import Item, Work, documents
from tinyforge.corpus.reading.plain_text import read_text
from tinyforge.records.documents import Document, Dropped

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.S)
_FRONT_KEYS = ("title", "date", "author", "license", "licence", "url")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HTML_BLOCK = re.compile(r"<!--.*?-->|<(?:script|style)\b.*?</(?:script|style)>", re.S | re.I)
_WHOLE_LINE = re.compile(
    r"\s{0,3}(?:\[[^\]]{1,100}\]:\s*\S.*|(?:[-*_][ \t]*){3,}|[|:\s-]*-{3,}[|:\s-]*|=+)\s*"
)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~-])")
_HELD = re.compile("[\ue000-\ue07f]")
_ROLE = re.compile(r"^:[\w:+.-]{1,60}:`([^`<]+?)(?:\s*<[^`]*>)?`$")
_NO_CONTENT = re.compile(r"\.\.\s+(?:raw|include|literalinclude)::")
_LONGEST_LINE = 50_000
"""Longer lines are not parsed; it also bounds what substitutions inside each other may become."""

_INLINE = (
    (re.compile(r"!\[([^\]]{0,500})\](?:\([^()\s]{0,1000}(?:\s\"[^\"]{0,500}\")?\)|\[[^\]]{0,100}\])"),
     r"\1"),
    (re.compile(r"\[([^\[\]]{1,500})\](?:\([^()\s]{0,1000}(?:\s\"[^\"]{0,500}\")?\)|\[[^\]]{0,100}\])"),
     r"\1"),
    (re.compile(r"<((?:https?|mailto):[^<>\s]{1,1000})>"), r"\1"),
    (re.compile(r"</?[A-Za-z][\w-]{0,30}(?:\s[^<>]{0,500})?/?>"), ""),
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]{1,500}?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<!\w)(_{1,3})(?=\S)([^_\n]{1,500}?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"~~([^~\n]{1,500})~~"), r"\1"),
    (re.compile(r"(`+)([^`\n]{1,500})\1"), r"\2"),
)  # fmt: skip


def read_markdown(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A Markdown file. Title, date, author and licence of its front matter go to ``meta``."""
    if work.settings.markup == "keep" or work.settings.lines:
        yield from read_text(item, work)
        return
    found = decode(item.content.whole(work.settings.max_file_bytes), work.settings.encoding)
    text, meta = markdown_text(found.text)
    yield from documents(item, text, work.settings, meta={**found.meta(), **meta})


def markdown_text(source: str) -> tuple[str, dict[str, Any]]:
    """The readable text of Markdown, and its front matter.

    Headings, emphasis, links, images (their description stays), quotes and code lose their marks;
    lists keep their bullets; comments, rules and link targets go. Code blocks stay word by word.
    """
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    meta: dict[str, Any] = {}
    if front := _FRONT.match(text):
        meta = _front_matter(front[1])
        text = text[front.end() :]
    lines: list[str] = []
    prose: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
            else:
                lines.append(line)
        elif mark:
            lines += _prose(prose)
            prose, fence = [], mark[1]
        else:
            prose.append(line)
    lines += _prose(prose)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), meta


def _front_matter(source: str) -> dict[str, Any]:
    """Plain ``name: value`` lines; nothing is evaluated, so no YAML can do harm."""
    meta: dict[str, Any] = {}
    for line in source.split("\n"):
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if colon and key in _FRONT_KEYS and value.strip():
            meta["licence" if key == "license" else key] = value.strip().strip("\"'")[:500]
    return meta


def _prose(lines: list[str]) -> list[str]:
    text = _HTML_BLOCK.sub("", "\n".join(lines))
    kept = []
    for line in text.split("\n"):
        if line.startswith(("    ", "\t")):
            kept.append(line)
            continue
        if _WHOLE_LINE.fullmatch(line):
            kept.append("")
            continue
        line = re.sub(r"^(?: {0,3}> ?)+", "", line)
        line = re.sub(r"^ {0,3}#{1,6}[ \t]+|[ \t]+#+[ \t]*$", "", line)
        # An escaped mark steps aside, to where no pattern sees it, until the others are gone.
        line = _ESCAPED.sub(lambda match: chr(0xE000 + ord(match[1])), line)
        for pattern, shape in _INLINE:
            line = pattern.sub(shape, line)
        line = _HELD.sub(lambda match: chr(ord(match[0]) - 0xE000), line)
        kept.append(line.rstrip())
    return kept


def read_rst(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A reStructuredText file; to text by docutils, which includes and fetches nothing."""
    if work.settings.markup == "keep" or work.settings.lines:
        yield from read_text(item, work)
        return
    data = item.content.whole(work.settings.max_file_bytes)
    yield from parse_apart("rst", data, {"encoding": work.settings.encoding}, item, work)


def parse_rst(data: bytes, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The readable text of reStructuredText, and its title; runs in the parser's own process.

    Comments, link targets and raw blocks go; what docutils does not know (Sphinx's directives and
    roles) stays as its plain content.
    """
    from docutils import nodes
    from docutils.core import publish_doctree

    found = decode(data, options.get("encoding"))
    if max(map(len, found.text.split("\n"))) > _LONGEST_LINE:
        return found.text, found.meta()  # docutils would refuse it, and nobody wrote it by hand
    tree = publish_doctree(
        found.text,
        settings_overrides={
            "file_insertion_enabled": False, "raw_enabled": False, "report_level": 5,
            "halt_level": 5, "_disable_config": True, "input_encoding": "unicode",
            "smart_quotes": False, "pep_references": False, "rfc_references": False,
            "warning_stream": "", "line_length_limit": _LONGEST_LINE,
        },
    )  # fmt: skip
    title = str(tree.get("title", ""))
    silent = (nodes.comment, nodes.raw, nodes.target, nodes.substitution_definition, nodes.pending)
    for node in list(tree.findall(lambda node: isinstance(node, silent))):
        node.parent.remove(node)
    for node in list(tree.findall(nodes.system_message)):
        kept = [child for child in node.children if isinstance(child, nodes.literal_block)]
        node.parent.replace(node, [_unknown_directive(child, nodes) for child in kept])
    for node in list(tree.findall(nodes.problematic)):
        node.parent.replace(node, nodes.Text(_ROLE.sub(r"\1", node.astext())))
    text = re.sub(r"\n{3,}", "\n\n", tree.astext()).strip()
    return text, found.meta() | ({"title": title} if title else {})


def _unknown_directive(block: Any, nodes: Any) -> Any:
    """The content of a directive that docutils does not know, without its first lines."""
    lines = block.astext().split("\n")
    if _NO_CONTENT.match(lines[0]):
        return nodes.Text("")
    inside = [line.strip() for line in lines[1:] if not re.match(r"\s+:[\w-]+:", line)]
    text = "\n".join(inside).strip()
    return nodes.paragraph(text, text)
