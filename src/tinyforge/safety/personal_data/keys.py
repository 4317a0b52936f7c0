"""Rules for secrets: keys and tokens by their known beginnings, passwords by their randomness."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

Place = tuple[int, int]

LEAST_LENGTH = 16
"""Characters without white space from which a word can be a secret."""

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"  # Amazon Web Services
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}"  # GitHub
    r"|glpat-[\w-]{20,}"  # GitLab
    r"|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{20,}"  # Slack
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}"  # Google
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{20,}"  # Stripe
    r"|sk-(?:ant-|proj-|svcacct-)?[\w-]{20,}"  # OpenAI, Anthropic
    r"|hf_[A-Za-z0-9]{30,}"  # Hugging Face
    r"|npm_[A-Za-z0-9]{36}|pypi-AgEIcHlwaS5vcmc[\w-]{50,}"  # package registries
    r"|SG\.[\w-]{22}\.[\w-]{43}"  # SendGrid
    r"|dop_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"  # DigitalOcean, Shopify
    r"|\d{8,10}:AA[\w-]{33}"  # Telegram
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"  # JSON web tokens (RFC 7519)
    r")(?![A-Za-z0-9])"
)
_PRIVATE = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[A-Za-z0-9+/=\s:,.()@\\]|-(?!-)){40,20000}"
    r"-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
)
_NAMED = re.compile(
    r"(?:api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|pwd|credential)s?"
    r"[\"']?\s{0,3}(?:=|:|=>|:=)\s{0,3}[\"']?(?P<value>[A-Za-z0-9+/=_.~!@#$%^&*-]{16,200})",
    re.IGNORECASE,
)
_NAME_DISTANCE = 40
_KNOWN_BITS = 2.5
_NAMED_BITS = 3.5


def keys(text: str, start: int, end: int) -> Iterator[Place]:
    """Secrets in a window that holds a long word.

    A known beginning needs 2.5 bits of entropy a character, which a run of X has not; a value
    after a name such as ``password =`` needs 3.5, and letters as well as digits.
    """
    for match in _KNOWN.finditer(text, start, end):
        if entropy(match[0]) >= _KNOWN_BITS and "XXXX" not in match[0].upper():
            yield match.span()
    for match in _NAMED.finditer(text, max(0, start - _NAME_DISTANCE), end):
        value = match["value"]
        mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if mixed and entropy(value) >= _NAMED_BITS:
            yield match.span("value")


def private_keys(text: str) -> Iterator[Place]:
    """Private keys as PEM (RFC 7468) or OpenPGP blocks."""
    if "PRIVATE KEY" in text:
        for match in _PRIVATE.finditer(text):
            yield match.span()


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
