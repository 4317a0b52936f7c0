"""Line rules: which lines of a document go, the rest stays (C4: Raffel et al. 2020, 2.2)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_POLICIES = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies",
    "use cookies",
)  # fmt: skip
_POLICY = re.compile("|".join(_POLICIES), re.IGNORECASE)
_JAVASCRIPT = re.compile("javascript", re.IGNORECASE)
_CITATION = re.compile(r"\[(?:\d{1,3}|edit|citation needed)\]")
_CLOSERS = (".", "!", "?", '"', "'", "”", "’", "»", "…", "。", "！", "？", "।", "۔", "؟")
_BLANK_LINES = re.compile(r"\n{3,}")


def keep_lines(
    text: str, rules: Collection[str], limits: Mapping[str, float]
) -> tuple[str, dict[str, int]]:
    """A text without the lines that the rules turn away, and how many went by each.

    Args:
        rules: names of line rules, for example ``c4.javascript``.
        limits: the limit of each rule that has one.
    """
    changes: dict[str, int] = {}
    if "c4.citations" in rules and "[" in text:
        text, count = _CITATION.subn("", text)
        if count:
            changes["c4.citations"] = count
    checks = _checks(text, rules)
    few = int(limits.get("c4.few_words", 0)) if "c4.few_words" in rules else 0
    longest = limits["c4.long_words"] if "c4.long_words" in rules else None
    terminal = "c4.terminal" in rules
    if not (checks or few or terminal or longest is not None):
        return text, changes
    kept = []
    for line in text.split("\n"):
        fault = None
        if line:
            if few and len(line.split(None, few)) < few:
                fault = "c4.few_words"
            elif terminal and not line.endswith(_CLOSERS):
                fault = "c4.terminal"
            elif longest is not None and len(line) > longest and _longest_word(line) > longest:
                fault = "c4.long_words"
            else:
                fault = next((name for name, check in checks if check.search(line)), None)
        if fault is None:
            kept.append(line)
        else:
            changes[fault] = changes.get(fault, 0) + 1
    if not changes.keys() - {"c4.citations"}:
        return text, changes
    return _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n"), changes


def _checks(text: str, rules: Collection[str]) -> list[tuple[str, re.Pattern[str]]]:
    """Patterns that occur in the text at all."""
    if not ("c4.javascript" in rules or "c4.policy" in rules):
        return []
    low = text.encode("utf-8", "surrogatepass").lower()
    checks = []
    if "c4.javascript" in rules and b"javascript" in low:
        checks.append(("c4.javascript", _JAVASCRIPT))
    if "c4.policy" in rules and any(policy.encode() in low for policy in _POLICIES):
        checks.append(("c4.policy", _POLICY))
    return checks


def _longest_word(line: str) -> int:
    return max(map(len, line.split()))
