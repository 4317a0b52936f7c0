"""Answers that are numbers: alone, or at the end of a worked solution."""

from __future__ import annotations

import re
from decimal import Decimal

MARK = "####"
"""Stands before the result of a worked solution in GSM8K (Cobbe et al. 2021)."""

_CURRENCY = r"[$€£¥]"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?P<sign>(?<![\w.)])[-−])?(?:{_CURRENCY}\s?)?(?P<digits>{_DIGITS})")
_ALONE = re.compile(rf"[-−+]?\s?(?:{_CURRENCY}\s?)?(?P<digits>{_DIGITS})\s?(?:%|{_CURRENCY})?\.?")


def is_numeric(text: str) -> bool:
    """Whether an expected answer is one number, or ends in ``#### number``.

    A currency sign, a percent sign and commas between thousands may stand with it. Digits with a
    zero in front are a code and no number.
    """
    alone = _ALONE.fullmatch(text.rpartition(MARK)[2].strip())
    if alone is None:
        return False
    digits = alone["digits"]
    return len(digits) == 1 or digits[0] != "0" or digits[1] == "."


def last_number(text: str) -> Decimal | None:
    """The last number of a text; after ``####`` where that stands in it. None where none is.

    Commas between thousands, currency and percent signs are left out, as GSM8K's own scoring
    does; 50 % is therefore 50.
    """
    found = list(_NUMBER.finditer(text.rpartition(MARK)[2]))
    if not found:
        return None
    number = Decimal(found[-1]["digits"].replace(",", ""))
    return -number if found[-1]["sign"] else number


def same_number(expected: str, answer: str) -> bool:
    """Whether the answer's last number is the expected one."""
    wanted = last_number(expected)
    return wanted is not None and wanted == last_number(answer)
