"""Rules for what is written in digits: cards, accounts, national numbers, phones, IPv4.

Each rule looks at windows of text with enough digits in them and gives the places that pass its
check. Numbers that were never given out (documentation addresses, 555-01xx phones, wrong check
digits) are nobody's data and are left alone; ``fakes.py`` invents only such numbers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tinyforge.safety.personal_data import checksums

Place = tuple[int, int]

_CARD = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){11,18}(?![\w]|[ .-]?\d)")
_CARD_GROUPS = re.compile(
    r"\d+|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(\1\d{3})?|\d{4}([ -])\d{6}\3\d{4,5}"
)
_CARD_CUE = re.compile(r"\b(?:card|visa|mastercard|maestro|amex)", re.IGNORECASE)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,40}")
_IPV4 = re.compile(
    r"(?<![\w.-])(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
    r"(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}(?![\w-]|\.\d)"
)
_VERSION = re.compile(r"(?:version|release|section|v|ver\.?|§)\s*$", re.IGNORECASE)

_NATIONAL = re.compile(
    r"(?<![\w-])(?:"
    r"(?P<ssn>(?P<area>\d{3})(?P<gap>[- ]?)(?P<group>\d{2})(?P=gap)(?P<serial>\d{4}))"
    r"|(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2})"
    r"|(?P<dni>(?:\d{8}|[XYZ]\d{7})-?[A-Z])"
    r"|(?P<fiscale>[A-Z]{6}\d\d[ABCDEHLMPRST]\d\d[A-Z]\d{3}[A-Z])"
    r"|(?P<nir>[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d)"
    r")(?![\w-]|\.\d)"
)
_SSN_CUE = re.compile(r"\bssn\b|social[ -]security", re.IGNORECASE)

_GAP = "[ \u00a0.\u2010-\u2013-]"
_PHONE = re.compile(
    rf"(?<![\w+$€£#=/@-])(?<!\d{_GAP})(?<!\d[:,])(?:"
    # +46 (0)8 928 571 38: a country code
    rf"(?P<abroad>\+\d{{1,3}}(?:{_GAP}?\(\d{{1,4}}\))?(?:{_GAP}?\d++){{1,6}})"
    # 001-518-640-0854: the same as it is dialled
    rf"|(?P<dialled>00[1-9]\d{{0,2}}(?:{_GAP}\d{{2,5}}){{2,5}})"
    # (212) 555-1234, 1-212-555-1234: North America
    rf"|(?P<american>(?:1{_GAP})?(?:\([2-9]\d\d\){_GAP}?|[2-9]\d\d{_GAP})\d{{3}}{_GAP}\d{{4}})"
    # 0490 75 40 81, 03.93.92.16.85: a trunk prefix
    rf"|(?P<trunk>\(?0[1-9]\d{{0,3}}\)?(?:{_GAP}\d{{2,8}}){{1,5}}|0[1-9]\d{{8,9}})"
    # anything else, where a word before it says that it is a phone
    rf"|(?P<said>\(?\d{{2,11}}\)?(?:{_GAP}\d{{2,8}}){{0,4}})"
    r")(?P<extension>[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w@%€$£]|[-./,:]\d|[ ]\d)"
)
_PHONE_CUE = re.compile(
    r"phones?\b|\b(?:tel|mobile|cell|call(?:s|ed|ing)?|fax|dial|sms|whatsapp|hotline|ring|reach"
    r"|text(?:ed)?|contact|messages?|answering)\b",
    re.IGNORECASE,
)
_PHONE_CUE_AFTER = re.compile(
    r"[\s(,-]{0,3}(?:office|home|work|phone|tel|mobile|cell|fax)\b", re.IGNORECASE
)
_NO_PHONE_CUE = re.compile(
    r"(?:isbn|issn|doi|isrc|ean|upc|oclc|serial|order|invoice|pp?\.)[\s:#]*$", re.IGNORECASE
)
_DATE = re.compile(
    r"(?:(?:1[4-9]|2[01])\d\d\D[01]?\d\D[0-3]?\d"
    r"|[0-3]?\d\D[0-3]?\d\D(?:1[4-9]|2[01])\d\d)(?!\d)"
)
_CUE_DISTANCE = 40
_VERSION_DISTANCE = 10
_VERSION_NUMBERS = 64


def cards(text: str, start: int, end: int) -> Iterator[Place]:
    """Payment cards: the usual groups, Luhn's check, and a network's beginning and length.

    Where a word such as "card" stands before it, the beginning may be any.
    """
    for match in _CARD.finditer(text, start, end):
        digits = re.sub(r"\D", "", match[0])
        if not (_CARD_GROUPS.fullmatch(match[0]) and checksums.luhn(digits)):
            continue
        before = max(0, match.start() - _CUE_DISTANCE)
        if len(set(digits)) > 1 and (
            checksums.card_length_fits(digits) or _CARD_CUE.search(text, before, match.start())
        ):
            yield match.span()


def ibans(text: str, start: int, end: int) -> Iterator[Place]:
    """Bank accounts: the country's length and check digits modulo 97."""
    # The pattern may run on into the next words, so the search goes on within what it matched.
    while match := _IBAN.search(text, start, end):
        begin, start = match.start(), match.start() + 1
        length = checksums.IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        stop = begin + _nth_character(match[0], length)
        compact = text[begin:stop].replace(" ", "").upper()
        after = text[stop : stop + 1]
        if compact and not (after.isascii() and after.isalnum()) and checksums.iban(compact):
            yield begin, stop
            start = stop


def _nth_character(text: str, count: int) -> int:
    """Where the first ``count`` characters that are no spaces end; 0 where there are fewer."""
    for place, character in enumerate(text if count else ""):
        count -= character != " "
        if not count:
            return place + 1
    return 0


def ipv4(text: str, start: int, end: int) -> Iterator[Place]:
    """Public IPv4 addresses.

    Private, reserved and documentation addresses and whole networks lead to nobody. Four numbers
    below 64, or a word such as "version" before them, are taken for a section or version number;
    of 256 addresses, one is lost by that.
    """
    if text.count(".", start, end) < 3:
        return
    for match in _IPV4.finditer(text, start, end):
        octets = [int(octet) for octet in match[0].split(".")]
        before = max(0, match.start() - _VERSION_DISTANCE)
        if max(octets) < _VERSION_NUMBERS or _VERSION.search(text, before, match.start()):
            continue
        address = ipaddress.IPv4Address(match[0])
        if address.is_global and not address.is_multicast and octets[3]:
            yield match.span()


def national_ids(text: str, start: int, end: int) -> Iterator[Place]:
    """Numbers of persons whose form or check digits leave little doubt.

    United States (SSN with dashes, or named before it), Brazil (CPF), Spain (DNI, NIE), Italy
    (codice fiscale), France (NIR).
    """
    for match in _NATIONAL.finditer(text, start, end):
        if _is_national(match, text):
            yield match.span()


def _is_national(match: re.Match[str], text: str) -> bool:
    value = match[0]
    if match["ssn"]:
        if not checksums.social_security(match["area"], match["group"], match["serial"]):
            return False
        before = max(0, match.start() - _CUE_DISTANCE)
        return match["gap"] == "-" or _SSN_CUE.search(text, before, match.start()) is not None
    if match["cpf"]:
        return checksums.cpf(re.sub(r"\D", "", value))
    if match["dni"]:
        return checksums.dni(value.replace("-", ""))
    if match["fiscale"]:
        return checksums.codice_fiscale(value)
    return checksums.nir(value.replace(" ", ""))


def phones(text: str, start: int, end: int) -> Iterator[Place]:
    """Phone numbers: with a country code, in North American form, with a trunk 0, or announced.

    There is no check digit; a number with none of these marks needs a word such as "call" before
    it, or "fax" behind. Dates, ranges, prices, book and version numbers do not pass.
    """
    for match in _PHONE.finditer(text, start, end):
        number = match[0].removesuffix(match["extension"] or "")
        digits = re.sub(r"\D", "", number)
        if is_fictional(digits) or _DATE.match(number):
            continue
        before = max(0, match.start() - _CUE_DISTANCE)
        if _NO_PHONE_CUE.search(text, before, match.start()):
            continue
        said = _PHONE_CUE.search(text, before, match.start()) or _PHONE_CUE_AFTER.match(
            text, match.end()
        )
        if _has_phone_form(match, digits) or (said and 7 <= len(digits) <= 13):
            yield match.span()


def _has_phone_form(match: re.Match[str], digits: str) -> bool:
    if match["abroad"] or match["dialled"]:
        return 8 <= len(digits) <= 15
    if match["american"]:
        # In spaces only, it could be three numbers of a table.
        return " " not in match[0][3:] or "(" in match[0] or digits[-7] in "23456789"
    if match["trunk"]:
        postcode = re.fullmatch(r"\d{5}-\d{4}", match[0])
        return 9 <= len(digits) <= 12 and postcode is None
    return False


def is_fictional(digits: str) -> bool:
    """Whether it is no phone: 555-01xx is for invented people; 000 begins none; 0101 is binary."""
    return digits[-7:-2] == "55501" or digits.startswith("000") or not digits.strip("01")
