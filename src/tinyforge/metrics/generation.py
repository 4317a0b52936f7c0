"""How near written answers come to the expected ones.

Counts come from sacrebleu (Post 2018) and rouge-score; only the last step, from summed counts to
BLEU and chrF, is written here once more, for many resamples at a time (the tests compare it with
sacrebleu).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyforge.errors import DataError, MissingPackageError
from tinyforge.metrics.tally import Floats, Tally, divide, mean_tally
from tinyforge.metrics.words import mostly_unspaced, same_text, split_words, squad_words

_BLEU_ORDER = 4
_CHRF_ORDER, _CHRF_BETA = 6, 2


@dataclass(frozen=True, slots=True)
class Generation:
    """The metrics of some answers.

    Attributes:
        tallies: exact_match, token_f1, chrf, bleu, rouge1, rouge2, rougeL.
        signatures: sacrebleu's signature for bleu and chrf, with which others can repeat them.
    """

    tallies: dict[str, Tally]
    signatures: dict[str, str]


def generation_tallies(gold: Sequence[str], answers: Sequence[str]) -> Generation:
    """Score answers against one expected text each; empty answers are simply wrong.

    BLEU cuts into words as sacrebleu's ``13a`` does, and into characters where the expected
    texts are in a script without spaces.
    """
    if not gold:
        raise DataError("there are no rows to score", fix="Give at least one row with an answer")
    exact = [same_text(a) == same_text(b) for a, b in zip(gold, answers, strict=True)]
    tallies = {
        "exact_match": mean_tally(np.array(exact)),
        "token_f1": mean_tally(
            np.array([token_f1(a, b) for a, b in zip(gold, answers, strict=True)])
        ),
    }
    signatures = _sacrebleu(gold, answers, tallies)
    _rouge(gold, answers, tallies)
    return Generation(tallies, signatures)


def token_f1(gold: str, answer: str) -> float:
    """F1 over the bags of words of SQuAD 1.1; 1 where both are empty, 0 where one is."""
    expected, given = squad_words(gold), squad_words(answer)
    if not expected or not given:
        return float(expected == given)
    shared = sum((Counter(expected) & Counter(given)).values())
    return 2 * shared / (len(expected) + len(given))


def _sacrebleu(
    gold: Sequence[str], answers: Sequence[str], tallies: dict[str, Tally]
) -> dict[str, str]:
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise MissingPackageError(
            "sacrebleu", needed_for="Scoring written answers", extra="training"
        ) from error
    bleu = BLEU(tokenize="char" if mostly_unspaced(gold) else "13a", force=True)
    chrf = CHRF(char_order=_CHRF_ORDER, word_order=0, beta=_CHRF_BETA)
    for name, metric, score in (("chrf", chrf, chrf_score), ("bleu", bleu, bleu_score)):
        counts = metric._extract_corpus_statistics(list(answers), [list(gold)])
        tallies[name] = Tally(np.array(counts, dtype=np.float64), score)
    return {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}


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


class _Words:
    """The tokenizer that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return split_words(text)


def _rouge(gold: Sequence[str], answers: Sequence[str], tallies: dict[str, Tally]) -> None:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingPackageError(
            "rouge-score", needed_for="Scoring written answers", extra="training"
        ) from error
    kinds = ["rouge1", "rouge2"]
    scorer = RougeScorer(kinds, tokenizer=_Words())
    scored = [scorer.score(a, b) for a, b in zip(gold, answers, strict=True)]
    for kind in kinds:
        tallies[kind] = mean_tally(np.array([row[kind].fmeasure for row in scored]))
    tallies["rougeL"] = mean_tally(
        np.array([rouge_l(a, b) for a, b in zip(gold, answers, strict=True)])
    )


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
