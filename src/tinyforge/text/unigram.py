"""A Unigram vocabulary learnt the same way every time.

Method: Kudo 2018, "Subword regularization" (arXiv:1804.10959): start from many frequent substrings,
re-estimate their probabilities, drop those whose loss costs the text least, repeat. Here the
expectation step counts the single best segmentation of every distinct word (hard EM), so that all
counts are integers and two runs agree to the last bit; the parallel sums of the ``tokenizers``
trainer do not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

LONGEST = 16
"""Longest piece, in characters."""

SEEDS_PER_PIECE = 8
"""Candidates at the start for each piece that is wanted."""

KEPT_EACH_ROUND = 0.75
UNSEEN = -1e4


def learn_unigram(
    words: Mapping[str, int], size: int, alphabet: list[str]
) -> list[tuple[str, float]]:
    """The best ``size`` pieces for these words, with their log-probabilities.

    Args:
        words: every distinct word, with its marker of a word's start, and how often it occurs.
        size: pieces wanted; fewer come back where the words do not have so many.
        alphabet: single characters that are always pieces.

    Returns:
        Pieces, the likeliest first (ties: by text).
    """
    known = set(alphabet)
    ordered = sorted((w, n) for w, n in words.items() if n > 0)
    scores = _seeds(ordered, size, known)
    while True:
        for _ in range(2):
            counts = _count(ordered, scores)
            scores = _estimate(counts, scores, known)
        if len(scores) <= size:
            return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        keep = max(size, int(len(scores) * KEPT_EACH_ROUND))
        scores = _prune(scores, counts, keep, known)


def _seeds(words: list[tuple[str, int]], size: int, known: set[str]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for word, n in words:
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + LONGEST) + 1):
                counts[word[start:end]] += n
    pieces = [(p, n) for p, n in counts.items() if len(p) > 1 and n > 1 and set(p) <= known]
    pieces.sort(key=lambda item: (-item[1] * len(item[0]), item[0]))
    chosen = dict(pieces[: size * SEEDS_PER_PIECE])
    chosen.update({c: counts[c] for c in sorted(known)})
    total = math.log(sum(chosen.values()) or 1)
    return {p: math.log(n) - total if n else UNSEEN for p, n in chosen.items()}


def segment(word: str, scores: Mapping[str, float], *, without: str = "") -> list[str]:
    """The likeliest pieces that make the word (Viterbi); [] where none do."""
    best = [0.0] + [-math.inf] * len(word)
    back = [0] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - LONGEST), end):
            piece = word[start:end]
            score = scores.get(piece)
            if score is None or piece == without or best[start] == -math.inf:
                continue
            if best[start] + score > best[end]:
                best[end], back[end] = best[start] + score, start
    if best[-1] == -math.inf:
        return []
    pieces, end = [], len(word)
    while end:
        pieces.append(word[back[end] : end])
        end = back[end]
    return pieces[::-1]


def _count(words: list[tuple[str, int]], scores: Mapping[str, float]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, n in words:
        for piece in segment(word, scores):
            counts[piece] += n
    return counts


def _estimate(
    counts: Counter[str], scores: Mapping[str, float], known: set[str]
) -> dict[str, float]:
    total = math.log(sum(counts.values()) or 1)
    kept = [p for p in scores if counts[p] > 0 or p in known]
    return {p: math.log(counts[p]) - total if counts[p] else UNSEEN for p in kept}


def _prune(
    scores: dict[str, float], counts: Counter[str], keep: int, known: set[str]
) -> dict[str, float]:
    """Drops the pieces without which the text's likelihood falls least."""
    losses = []
    for piece, score in scores.items():
        if piece in known:
            continue
        parts = segment(piece, scores, without=piece)
        loss = counts[piece] * (score - sum(scores[p] for p in parts)) if parts else math.inf
        losses.append((loss, piece))
    losses.sort(key=lambda item: (-item[0], item[1]))
    kept = {piece for _, piece in losses[: max(0, keep - len(known))]} | known
    return {p: s for p, s in scores.items() if p in kept}
