"""Test rows that stand in the training rows too, word for word or nearly, and the score without.

Texts are compared without case and punctuation. Candidates come from MinHash with banding (Broder
1997; see ``data/similar.py``). A candidate counts if the true Jaccard similarity of the shingles of
five characters reaches the threshold, as in the split, or if at least six of seven words are the
same in the same order: in a short text a single new word changes many shingles.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.similar import Comparer, Signatures, compared_text, short_hash
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.values import Value, score_on, value_of
from tinyforge.evaluate.wording import value_text
from tinyforge.metrics import METRICS
from tinyforge.records.examples import Example

MOST_TRAINING_ROWS = 500_000
"""More training rows are looked at for exact repeats only."""

_SHOWN = 20
_NEIGHBOURS = 16
_CHECKS = 8
_CANDIDATES = 0.5
_SAME_WORDS = 6 / 7
_LONGEST = 500
_EXCERPT = 300
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Leak:
    """A test row that training has seen.

    Attributes:
        row: its number among the examples that were judged.
        where, like: ``file:line`` of the test row and of the training row.
        similarity: of shingles or of words, whichever is higher; 1 for exact.
        kind: ``exact`` (but for case and punctuation) or ``near``.
    """

    row: int
    where: str
    like: str
    similarity: float
    input: str
    kind: str


@dataclass(frozen=True, slots=True)
class Leaks:
    """How many test rows training has seen, and what is left of the score without them.

    Attributes:
        tested: judged rows.
        exact, near: how many of them stand in training, exactly or nearly.
        all, without, leaked: the headline metric on all rows, the unseen ones and the seen ones,
            each with its 95 % interval; None where there are none of these.
        found: some of them, the most similar first.
    """

    tested: int
    exact: int
    near: int
    share: float
    metric: str
    all: Value | None
    without: Value | None
    leaked: Value | None
    found: tuple[Leak, ...]
    sentence: str


def find_leaks(
    evaluation: Evaluation,
    examples: Sequence[Example],
    train: Sequence[Example],
    *,
    threshold: float = 0.7,
    work: Path | None = None,
) -> Leaks:
    """Look for every judged row in the training rows.

    Args:
        examples: those that were judged.
        train: what the model learnt from.
        threshold: Jaccard similarity from which a row counts as seen; 1 counts exact repeats only.
        work: for temporary files; default: the system's folder.
    """
    judged = [examples[int(row)] for row in evaluation.rows]
    with tempfile.TemporaryDirectory(prefix="leaks-", dir=work) as folder:
        like, similarity = nearest_in(judged, train, threshold, Path(folder))
    seen = like >= 0
    order = np.flatnonzero(seen)[np.argsort(-similarity[seen], kind="stable")]
    found = tuple(
        Leak(
            row=int(evaluation.rows[row]),
            where=str(judged[row].source),
            like=str(train[int(like[row])].source),
            similarity=float(similarity[row]),
            input=(judged[row].input or judged[row].output or "")[:_EXCERPT],
            kind="exact" if similarity[row] == 1 else "near",
        )
        for row in order[:_SHOWN]
    )
    exact, near = int((similarity[seen] == 1).sum()), int((similarity[seen] < 1).sum())
    without = score_on(evaluation, ~seen) if seen.any() else value_of(evaluation.headline)
    return Leaks(
        tested=len(judged), exact=exact, near=near, share=(exact + near) / max(len(judged), 1),
        metric=evaluation.primary.name, all=value_of(evaluation.headline), without=without,
        leaked=score_on(evaluation, seen), found=found,
        sentence=_sentence(evaluation, exact, near, without),
    )  # fmt: skip


def nearest_in(
    rows: Sequence[Example], train: Sequence[Example], threshold: float, folder: Path
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row the most similar training row, where one is similar enough.

    Returns:
        Numbers in ``train`` (-1: none) and similarities, both of shape (rows,).
    """
    texts = [plain_text(row) for row in rows]
    like = np.full(len(texts), -1, dtype=np.int64)
    similarity = np.zeros(len(texts))
    hashes = np.fromiter(
        (short_hash(plain_text(train[i])) for i in range(len(train))), np.uint64, len(train)
    )
    order = np.argsort(hashes, kind="stable")
    wanted = np.array([short_hash(text) for text in texts], dtype=np.uint64)
    if len(train):
        place = np.minimum(np.searchsorted(hashes[order], wanted), len(train) - 1)
        same = hashes[order[place]] == wanted
        like[same], similarity[same] = order[place[same]], 1.0
    left = np.flatnonzero(like < 0)
    if threshold < 1 and len(left) and 0 < len(train) <= MOST_TRAINING_ROWS:
        _find_near([texts[row] for row in left], left, train, threshold, folder, like, similarity)
    return like, similarity


def plain_text(example: Example) -> str:
    """What rows are compared by: the words of the input (or of raw text), without case."""
    text = compared_text(example)
    return " ".join(_WORD.findall(text)) or text


def _find_near(
    texts: list[str],
    rows: NDArray[np.int64],
    train: Sequence[Example],
    threshold: float,
    folder: Path,
    like: NDArray[np.int64],
    similarity: NDArray[np.float64],
) -> None:
    """Fill ``like`` and ``similarity`` for the rows that are no exact repeats."""
    learnt = len(train)
    both = chain((plain_text(train[i]) for i in range(learnt)), texts)
    characters = sum(map(len, texts)) * (1 + learnt // max(len(texts), 1))
    lowest = min(threshold, _CANDIDATES)
    signatures = Signatures(both, learnt + len(texts), characters, lowest, folder)
    comparer = Comparer(lambda i: texts[i - learnt] if i >= learnt else plain_text(train[i]))
    margin = lowest - signatures.margin(lowest)
    candidates: dict[int, dict[int, float]] = {}
    for keys in signatures.bands():
        for test, seen in _same_keys(keys, learnt):
            likely = signatures.estimate(seen, test + learnt)
            close = likely >= margin
            for one, other, estimate in zip(
                test[close].tolist(), seen[close].tolist(), likely[close].tolist(), strict=True
            ):
                candidates.setdefault(one, {})[other] = estimate
    for test_row, found in candidates.items():
        row = int(rows[test_row])
        for other in sorted(found, key=lambda o: (-found[o], o))[:_CHECKS]:
            true = comparer.jaccard(learnt + test_row, other)
            words = same_words(texts[test_row], plain_text(train[other]))
            if max(true, words) > similarity[row] and (true >= threshold or words >= _SAME_WORDS):
                like[row] = other
                similarity[row] = min(max(true, words), np.nextafter(1.0, 0.0))


def same_words(one: str, other: str) -> float:
    """Share of the longer text's words that stand in the other in the same order.

    0 where a text is too long for that (500 words); there the shingles tell.
    """
    first, second = one.split(), other.split()
    if max(len(first), len(second)) > _LONGEST:
        return 0.0
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(len(first), len(second), 1)


def _same_keys(
    keys: NDArray[np.uint64], learnt: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs (test text, training text) with the same key; of many, the first few."""
    order = np.argsort(keys[:learnt], kind="stable")
    ranked, wanted = keys[:learnt][order], keys[learnt:]
    start = np.searchsorted(ranked, wanted, side="left")
    end = np.searchsorted(ranked, wanted, side="right")
    for step in range(_NEIGHBOURS):
        test = np.flatnonzero(start + step < end)
        if not len(test):
            return
        yield test, order[start[test] + step]


def _sentence(evaluation: Evaluation, exact: int, near: int, without: Value | None) -> str:
    tested = len(evaluation.rows)
    if not exact + near:
        return f"None of the {tested:,} test rows stands in the training rows."
    text = (
        f"{exact + near:,} of {tested:,} test rows stand in the training rows "
        f"({exact:,} exactly but for case and punctuation, {near:,} nearly)."
    )
    if without is None or evaluation.headline is None:
        return f"{text} No unseen row is left to judge on."
    name = evaluation.primary.name
    return (
        f"{text} Without them {METRICS[name].title} is {without.text} (95 % interval "
        f"{without.interval}) on {without.rows:,} rows, instead of "
        f"{value_text(name, evaluation.headline.value)}."
    )
