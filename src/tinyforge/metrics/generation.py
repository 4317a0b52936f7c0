"""How near written answers come to the expected ones.

Counts come from sacrebleu (Post 2018) and rouge-score; only the last step, from summed counts to
BLEU, chrF and TER, is written here once more, for many resamples at a time (the tests compare it
with sacrebleu). A row may have several references: BLEU, chrF and TER use them as sacrebleu does,
all other metrics take the one that suits the answer best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from tinyforge.errors import DataError, MissingPackageError
from tinyforge.metrics.edits import edit_distance
from tinyforge.metrics.numeric import is_numeric, same_number
from tinyforge.metrics.simplification import Simplification
from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Floats, Means, RowMetric, Tally, divide
from tinyforge.metrics.words import mostly_unspaced, same_text, split_words, squad_words

References = Sequence[str] | str
"""What a row's answer may be: one text, or several."""

_BLEU_ORDER = 4
_CHRF_ORDER, _CHRF_BETA = 6, 2
_NUMERIC_SHARE = 0.95
"""From this share of rows with a number as their answer on, the numbers are compared."""

_MEANS = (
    "exact_match", "token_f1", "rouge1", "rouge2", "rougeL", "edit_distance", "numeric_match",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Generation:
    """The metrics of some answers.

    Attributes:
        tallies: exact_match, token_f1, chrf, bleu, rouge1, rouge2, rougeL and edit_distance;
            numeric_match where answers are numbers; ter and sari where they were asked for.
        signatures: sacrebleu's signature for bleu, chrf and ter, with which others can repeat
            them.
    """

    tallies: dict[str, RowMetric]
    signatures: dict[str, str]


class Writing:
    """Scores answers part by part.

    BLEU cuts into words as sacrebleu's ``13a`` does, and into characters where the expected
    texts are in a script without spaces.

    Args:
        unspaced: whether they are.
        ter: also translation edit rate, which takes long for long texts.
        sari: also SARI, for which each answer's input is needed.
    """

    def __init__(self, *, unspaced: bool = False, ter: bool = False, sari: bool = False) -> None:
        self._counters = _counters(unspaced, ter)
        self._columns: dict[str, Column] = {}
        self._reference_counts: set[int] = set()
        self._rouge = _rouge_scorer()
        self._simple = Simplification() if sari else None
        self._means = Means([*_MEANS, "sari"] if sari else _MEANS)
        self._rows = self._numbers = 0

    def add(
        self, gold: Sequence[References], answers: Sequence[str], inputs: Sequence[str] = ()
    ) -> Floats:
        """Score some rows.

        Args:
            gold: each row's expected text, or texts, best first.
            inputs: what was asked; for SARI only.

        Returns:
            how good each answer is: 1 where exact, else its chrF / 100, at most 0.999.
        """
        wanted = [(texts,) if isinstance(texts, str) else tuple(texts) for texts in gold]
        self._reference_counts |= {len(texts) for texts in wanted}
        streams = [list(stream) for stream in zip_longest(*wanted)]
        quality = np.zeros(len(wanted))
        for name, (counter, _) in self._counters.items():
            found = np.array(counter._extract_corpus_statistics(list(answers), streams), np.float64)
            if name not in self._columns:
                self._columns[name] = Column(np.float64, found.shape[1])
            self._columns[name].extend(found)
            if name == "chrf":
                quality = chrf_score(found) / 100
        self._rows += len(wanted)
        self._numbers += sum(is_numeric(texts[0]) for texts in wanted)
        scored = [self._row(*row) for row in zip_longest(wanted, answers, inputs)]
        self._means.add({name: [row[name] for row in scored] for name in self._means.names})
        exact = np.array([row["exact_match"] for row in scored])
        return np.where(exact > 0, 1.0, np.minimum(quality, 0.999))

    def _row(self, wanted: tuple[str, ...], answer: str, asked: str | None) -> dict[str, float]:
        rouge = self._rouge.score_multi(wanted, answer)
        exact = float(any(same_text(text) == same_text(answer) for text in wanted))
        numbers = [text for text in wanted if is_numeric(text)]
        values = {
            "exact_match": exact,
            "token_f1": max(token_f1(text, answer) for text in wanted),
            "rouge1": rouge["rouge1"].fmeasure,
            "rouge2": rouge["rouge2"].fmeasure,
            "rougeL": max(rouge_l(text, answer) for text in wanted),
            "edit_distance": min(edit_distance(text, answer) for text in wanted),
            "numeric_match": float(any(same_number(text, answer) for text in numbers))
            if numbers
            else exact,
        }
        if self._simple is not None:
            values["sari"] = 100 * self._simple.score(asked or "", answer, wanted)
        return values

    def close(self) -> Generation:
        """The tallies of all rows."""
        tallies = self._means.close()
        if self._numbers < _NUMERIC_SHARE * self._rows or not self._numbers:
            tallies.pop("numeric_match", None)
        signatures = {}
        for name, (counter, score) in self._counters.items():
            tallies[name] = Tally(self._columns[name].close(), score)
            several = len(self._reference_counts) > 1
            counter.num_refs = -1 if several else min(self._reference_counts)
            signatures[name] = str(counter.get_signature())
        return Generation(tallies, signatures)


def generation_tallies(
    gold: Sequence[References],
    answers: Sequence[str],
    inputs: Sequence[str] = (),
    *,
    ter: bool = True,
) -> Generation:
    """Score answers against their expected texts; empty answers are simply wrong.

    Args:
        inputs: what was asked; SARI is measured where they are given.

    Raises:
        DataError: there is no row.
    """
    if not gold:
        raise DataError("there are no rows to score", fix="Give at least one row with an answer")
    first = (text if isinstance(text, str) else text[0] for text in gold)
    writing = Writing(unspaced=mostly_unspaced(first), ter=ter, sari=bool(inputs))
    writing.add(gold, answers, inputs)
    return writing.close()


def token_f1(gold: str, answer: str) -> float:
    """F1 over the bags of words of SQuAD 1.1; 1 where both are empty, 0 where one is."""
    expected, given = squad_words(gold), squad_words(answer)
    if not expected or not given:
        return float(expected == given)
    shared = sum((Counter(expected) & Counter(given)).values())
    return 2 * shared / (len(expected) + len(given))


def _counters(unspaced: bool, ter: bool) -> dict[str, tuple[Any, Any]]:
    """sacrebleu's metrics, which count, and the functions from counts to values."""
    try:
        from sacrebleu.metrics import BLEU, CHRF

        from tinyforge.metrics.edit_rate import FastTER
    except ImportError as error:
        raise MissingPackageError(
            "sacrebleu", needed_for="Scoring written answers", extra="training"
        ) from error
    chrf = CHRF(char_order=_CHRF_ORDER, word_order=0, beta=_CHRF_BETA)
    bleu = BLEU(tokenize="char" if unspaced else "13a", force=True)
    found: dict[str, tuple[Any, Any]] = {"chrf": (chrf, chrf_score), "bleu": (bleu, bleu_score)}
    if ter:
        found["ter"] = (FastTER(), ter_score)
    return found


def bleu_score(sums: Floats) -> Floats:
    """BLEU (Papineni et al. 2002), exponential smoothing, from sacrebleu's ten counts.

    Args:
        sums: shape (..., 10): length of the answers, of the expected texts, matching n-grams and
            all n-grams of the answers, n = 1 to 4.

    Returns:
        shape (...), from 0 to 100.
    """
    length, expected = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + _BLEU_ORDER], sums[..., 2 + _BLEU_ORDER :]
    halvings = np.cumsum((right == 0) & (total > 0), axis=-1)
    precision = np.where(
        right > 0, divide(right, total), divide(np.ones_like(total), total) / 2.0**halvings
    )
    possible = right.any(axis=-1) & (total > 0).all(axis=-1)
    logs = np.log(np.where(precision > 0, precision, 1.0)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - divide(expected, length))
    return np.where(possible, 100 * np.exp(logs + brevity), 0.0)


def chrf_score(sums: Floats) -> Floats:
    """chrF2 (Popović 2015) from sacrebleu's counts.

    Args:
        sums: shape (..., 18): for n = 1 to 6 the character n-grams of the answers, of the
            expected texts, and of both.

    Returns:
        shape (...), from 0 to 100.
    """
    given, expected, both = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    used = (given > 0) & (expected > 0)
    orders = used.sum(axis=-1).astype(np.float64)
    precision = divide(np.where(used, divide(both, given), 0.0).sum(axis=-1), orders)
    recall = divide(np.where(used, divide(both, expected), 0.0).sum(axis=-1), orders)
    factor = _CHRF_BETA**2
    return 100 * divide((1 + factor) * precision * recall, factor * precision + recall)


def ter_score(sums: Floats) -> Floats:
    """TER (Snover et al. 2006) from sacrebleu's counts.

    Args:
        sums: shape (..., 2): edits and words of the references, on average over a row's.

    Returns:
        shape (...), 0 for equal texts; may exceed 100.
    """
    edits, words = sums[..., 0], sums[..., 1]
    return 100 * np.where(words > 0, divide(edits, words), (edits > 0).astype(np.float64))


class _Words:
    """The tokenizer that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return split_words(text)


def _rouge_scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingPackageError(
            "rouge-score", needed_for="Scoring written answers", extra="training"
        ) from error
    return RougeScorer(["rouge1", "rouge2"], tokenizer=_Words())


def rouge_l(gold: str, answer: str) -> float:
    """F1 of the longest common subsequence of words; equal to rouge-score's ``rougeL``.

    rouge-score fills a table cell by cell in Python, minutes for a thousand long answers; here a
    row of the table is one big integer (Hyyrö 2004, bit-parallel LCS).
    """
    expected, given = split_words(gold), split_words(answer)
    if not expected or not given:
        return 0.0
    places: dict[str, int] = {}
    for i, word in enumerate(expected):
        places[word] = places.get(word, 0) | 1 << i
    mask = (1 << len(expected)) - 1
    row = mask
    for word in given:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & mask
    length = len(expected) - row.bit_count()
    return 2 * length / (len(expected) + len(given))
