"""Invented data in place of real data: the same kind and form, and nobody's.

The same value becomes the same invention everywhere, so a text stays consistent. Inventions come
from what is kept free for that: domains of RFC 2606, addresses of RFC 5737 and RFC 3849, phone
numbers 555-01xx, and numbers with wrong check digits. The rules therefore do not find them again.
"""

from __future__ import annotations

import hashlib
import random
import re

from tinyforge.safety.personal_data.finding import find

FAKE_NAMES = (
    "Alex Archer", "Casey Brook", "Dana Field", "Jamie Hill", "Jordan Lake", "Kim Marsh",
    "Lee Meadow", "Morgan Reed", "Pat Rivers", "Robin Shaw", "Sam Stone", "Taylor Wood",
)  # fmt: skip

_TRIES = 20
_EXTENSION = re.compile(r"\s?(?:x|ext).*", re.DOTALL)


def fake(value: str, kind: str) -> str:
    """An invention in place of a value, which no rule takes for personal data."""
    digest = hashlib.blake2b(f"{kind}:{value}".encode("utf-8", "surrogatepass"), digest_size=8)
    chooser = random.Random(int.from_bytes(digest.digest(), "little"))
    if kind == "name":
        return value if value in FAKE_NAMES else chooser.choice(FAKE_NAMES)
    for _ in range(_TRIES):
        invented = _invent(value, kind, chooser)
        if not find(invented):
            return invented
    return re.sub(r"[^\W_]", "X", value)


def _invent(value: str, kind: str, chooser: random.Random) -> str:
    if kind == "email":
        return f"user{chooser.randrange(10_000):04d}@example.com"
    if kind == "ip":
        host = chooser.randrange(1, 255)
        return f"2001:db8::{host:x}" if ":" in value else f"203.0.113.{host}"
    if kind == "key":
        return value[:4] + re.sub(r"[^\W_]", "X", value[4:])
    if kind == "phone":
        number = _EXTENSION.sub("", value)
        digits = re.sub(r"\D", "", number)
        return _with_digits(number, f"{digits[:-7]}55501{chooser.randrange(100):02d}")
    # No network's cards begin with 0, the check digits of an IBAN are 02 to 98, and 000 is no
    # area of an SSN; other national numbers are tried until their check fails.
    start = {"card": "0", "iban": "00", "national_id": "000"}[kind]
    count = sum(character.isdigit() for character in value) - len(start)
    return _with_digits(value, start + "".join(str(chooser.randrange(10)) for _ in range(count)))


def _with_digits(form: str, digits: str) -> str:
    """The form with its digits replaced one by one."""
    rest = iter(digits)
    return re.sub(r"\d", lambda match: next(rest), form)
