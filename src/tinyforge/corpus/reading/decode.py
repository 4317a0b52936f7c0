"""Bytes as text: the encoding by its mark, by declaration, by validity, else by likelihood."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any

from tinyforge.config.data import DataSettings
from tinyforge.corpus.reading.item import Unreadable
from tinyforge.data.files import find_encoding

_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\x0b\x0c\r\x1a\x1b")
_MOST_CONTROL = 0.01
_HIGH = re.compile(rb"[\x80-\xff]")
_STRANGE = re.compile(rb"[^\x00-\x7f\x85\x91-\x97\xa0\xa1\xa7\xab\xb0\xb4\xb7\xbb\xbf]")
"""Bytes that are neither ASCII nor what Western texts have for quotes, dashes and signs."""

_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_DAMAGED_SHARE = 0.2
"""With fewer wrong high bytes than this beside right ones, a text is UTF-8 that was damaged."""

_WESTERN_SHARE, _FEW = 0.25, 2
"""Western languages have a smaller share of letters than this that are not ASCII, or so few."""

_SIGN_SHARE, _FEW_SIGNS = 0.02, 5
_SIGN_IN_WORD = re.compile("(?<=[^\\W\\d_])[\x80-\xbf\xd7\xf7\ufffd](?<![ªºµ·´])(?=[^\\W\\d_])")
_LATIN = ("cp1252", "iso8859-2", "cp1250")
_OTHERS = (
    "cp1251", "koi8_r", "iso8859_5", "cp866", "iso8859_7", "cp1255", "cp1256", "cp874", "cp932",
    "euc_jp", "gb18030", "big5", "cp949", "cp1258",
)  # fmt: skip
_SAMPLE = 20_000
_META_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,100}encoding\s*=\s*[\"']([\w.:-]{2,40})", re.I)
_DECLARED = {
    # What browsers take these labels for (WHATWG Encoding Standard), a superset in each case.
    "ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "iso8859-1": "cp1252",
    "latin1": "cp1252", "latin-1": "cp1252", "iso-8859-9": "cp1254", "gb2312": "gb18030",
    "gbk": "gb18030", "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932",
    "x-sjis": "cp932", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "tis-620": "cp874",
    "iso-8859-11": "cp874",
}  # fmt: skip
_WIDE = ("utf-16", "utf-32")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text and how it was found.

    Attributes:
        encoding: a name that ``codecs`` knows.
        replaced: how many places were not valid and are U+FFFD now.
    """

    text: str
    encoding: str
    replaced: int = 0

    def meta(self) -> dict[str, Any]:
        """What is worth noting of it: nothing where it is plain UTF-8."""
        known: dict[str, Any] = {} if self.encoding == "utf-8" else {"encoding": self.encoding}
        return known | {"replaced": self.replaced} if self.replaced else known


def refuse_binary(head: bytes, encoding: str) -> None:
    """Raises Unreadable where the bytes are no text in ``encoding``."""
    if encoding.startswith(_WIDE) or not head:
        return
    control = len(head) - len(head.translate(None, _CONTROL))
    if control > _MOST_CONTROL * len(head):
        raise Unreadable("not text", f"{control:,} control bytes in {len(head):,}")


def encoding_of(head: bytes, setting: str | None = None, *, whole: bool = False) -> str:
    """The encoding of a plain text, from its first bytes.

    In this order: byte-order mark; the user's setting; UTF-16 by its zero bytes; UTF-8 where the
    bytes are valid, or were before a few were damaged; where the letters outside ASCII are few,
    Windows-1252, or ISO-8859-2 or Windows-1250 where these leave fewer signs within words; else
    what ``charset-normalizer`` finds likeliest of the other encodings in use.

    Args:
        whole: whether ``head`` is all there is; else a character may be cut at its end.

    Raises:
        SettingError: the setting names no encoding.
        Unreadable: no encoding fits, or it is no text.
    """
    found = find_encoding(head, DataSettings(encoding=setting))
    if found != "utf-8" or setting is not None or _is_utf8(head, whole):
        return found
    high = len(_HIGH.findall(head))
    right = sum(map(len, _UTF8.findall(head)))
    if high - right < _DAMAGED_SHARE * right:
        return "utf-8"
    refuse_binary(head[:_SAMPLE], "")
    return _single_byte(head)


def _is_utf8(data: bytes, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, whole)
    except UnicodeDecodeError:
        return False
    return True


def _single_byte(data: bytes) -> str:
    """A legacy encoding for bytes that are not UTF-8."""
    sample = data[:_SAMPLE]
    strange = len(_STRANGE.findall(sample))
    letters = strange + sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    if strange <= _FEW or strange < _WESTERN_SHARE * letters:
        signs = {name: _signs_in_words(sample, name) for name in _LATIN}
        # Western texts have signs within words now and then; Polish or Czech ones read as
        # Western have them everywhere.
        few = signs["cp1252"] <= max(_FEW_SIGNS, _SIGN_SHARE * strange)
        return "cp1252" if few else min(signs, key=signs.__getitem__)
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return "cp1252"
    best = from_bytes(sample, cp_isolation=list(_OTHERS)).best()
    if best is None and strange < 2 * _WESTERN_SHARE * letters:
        return "cp1252"
    if best is None:
        raise Unreadable("unknown encoding", "name it with read.encoding")
    return codecs.lookup(best.encoding).name


def _signs_in_words(data: bytes, encoding: str) -> int:
    """How often a sign that is no letter stands between two letters."""
    return len(_SIGN_IN_WORD.findall(data.decode(encoding, "replace")))


def decode(data: bytes, setting: str | None = None) -> Decoded:
    """A whole text.

    Raises:
        Unreadable: it is no text.
    """
    encoding = encoding_of(data, setting, whole=True)
    refuse_binary(data[:_SAMPLE], encoding)
    return as_text(data, encoding)


def as_text(data: bytes, encoding: str) -> Decoded:
    """Bytes in a known encoding, without byte-order mark; what is not valid becomes U+FFFD."""
    if encoding == "utf-8":
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        if encoding == "cp1252":
            # Five bytes are free in Windows-1252; browsers read them as control characters.
            text = "".join(_WINDOWS[byte] for byte in data)
            return Decoded(text, encoding)
        text = data.decode(encoding, "replace")
        return Decoded(text, encoding, text.count("\ufffd"))


_WINDOWS = [bytes((code,)).decode("cp1252", "ignore") or chr(code) for code in range(256)]


def decode_html(data: bytes, declared: str = "", setting: str | None = None) -> Decoded:
    """A web page: byte-order mark, HTTP header, its own declaration, then as plain text.

    A declaration is not believed where the page is valid UTF-8 with letters outside ASCII, or is
    not valid in the declared encoding while another fits.

    Args:
        declared: the charset of the HTTP header.
    """
    marked = find_encoding(data[:4096], DataSettings())
    if marked.startswith(_WIDE) or data.startswith(codecs.BOM_UTF8):
        return as_text(data, marked)
    if _is_utf8(data, whole=True):
        return as_text(data, "utf-8")
    for name in (setting or "", declared, *_named_in(data[:4096])):
        encoding = _known(name)
        if encoding and encoding != "utf-8":
            try:
                return Decoded(data.decode(encoding), encoding)
            except UnicodeDecodeError:
                if encoding == "cp1252":
                    return as_text(data, encoding)
    return decode(data)


def _named_in(head: bytes) -> list[str]:
    found = [_META_CHARSET.search(head), _XML_ENCODING.search(head)]
    return [match[1].decode("ascii", "ignore") for match in found if match]


def _known(name: str) -> str:
    name = name.strip().strip("\"'").lower()
    try:
        found = codecs.lookup(_DECLARED.get(name, name))
    except (LookupError, ValueError):
        return ""
    is_text = getattr(found, "_is_text_encoding", True)
    return "" if not is_text or found.name.startswith(_WIDE) else found.name
