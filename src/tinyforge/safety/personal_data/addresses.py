"""Rules for e-mail and IPv6 addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

Place = tuple[int, int]

_LOCAL_BACKWARDS = re.compile(r"(?:[\w+%-][\w.+%'-]{0,62})?\w(?![\w.+%-])")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@-])")
_BEFORE, _AFTER = 66, 260
_RESERVED = re.compile(
    r"(?:.*[.@])?(?:example\.(?:com|net|org|edu)|[^.@]*\.?(?:example|test|invalid|localhost))",
    re.IGNORECASE,
)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_GIVEN_OUT = ipaddress.IPv6Network("2000::/3")


def emails(text: str) -> Iterator[Place]:
    """E-mail addresses (the common part of RFC 5322, domains with international letters).

    Addresses at names that RFC 2606 reserves (example.com, .test, .invalid) reach nobody;
    ``git@host`` is a way to reach a server.
    """
    done = 0
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + _AFTER)
        if domain:
            local = _LOCAL_BACKWARDS.match(text[max(done, at - _BEFORE) : at][::-1])
            if local:
                done = domain.end()
                address = text[at - local.end() : done]
                if not is_reserved(address) and not address.startswith("git@"):
                    yield at - local.end(), done
        at = text.find("@", max(at + 1, done))


def is_reserved(email: str) -> bool:
    """Whether an address or a host name is one that RFC 2606 keeps free."""
    return _RESERVED.fullmatch(email.partition("@")[2]) is not None


def ipv6(text: str, start: int, end: int) -> Iterator[Place]:
    """Public IPv6 addresses: eight groups, or shortened ones from the space that is given out."""
    for match in _IPV6.finditer(text, start, end):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        whole = "::" not in match[0]
        if address.is_global and (whole or address in _GIVEN_OUT):
            yield match.span()
