"""SARI: how well a text was made simpler, judged by what was kept, deleted and added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from tinyforge.errors import MissingPackageError
from tinyforge.metrics.words import split_words

_ORDER = 4


class Simplification:
    """SARI of single sentences (Xu et al. 2016), as the authors' ``SARI.py`` computes it.

    n-grams of one to four words. Kept n-grams are judged by F1, added ones by F1, deleted ones by
    precision; each n-gram counts by the share of references that agree; SARI is the mean of the
    three. Texts are cut into words by sacrebleu's ``13a`` and put in lower case, which leaves
    texts that are cut into words already as they are. A quotient of zero by zero is zero.
    """

    def __init__(self) -> None:
        try:
            from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
        except ImportError as error:
            raise MissingPackageError(
                "sacrebleu", needed_for="Scoring written answers", extra="training"
            ) from error
        self._cut = Tokenizer13a()

    def score(self, source: str, answer: str, references: Sequence[str]) -> float:
        """From 0 to 1, for one answer."""
        before, after = self._words(source), self._words(answer)
        wanted = [self._words(text) for text in references]
        parts = [
            _operations(
                _ngrams(before, n), _ngrams(after, n), [_ngrams(text, n) for text in wanted]
            )
            for n in range(1, _ORDER + 1)
        ]
        return fmean(fmean(values) for values in zip(*parts, strict=True))

    def _words(self, text: str) -> list[str]:
        words: list[str] = self._cut(text.strip()).lower().split()
        return words


def looks_simplified(inputs: Sequence[str], gold: Sequence[str]) -> bool:
    """Whether answers look like their inputs told in simpler words.

    That is: inputs of eight words or more on average; answers 0.4 to 1.2 times as long; most
    words of an answer (60 %) stand in its input; and most answers are neither the input itself
    nor its words in another order.
    """
    pairs = [(split_words(a), split_words(b)) for a, b in zip(inputs, gold, strict=True)]
    before, after = (sum(len(pair[i]) for pair in pairs) for i in (0, 1))
    if before < 8 * len(pairs) or not 0.4 * before <= after <= 1.2 * before:
        return False
    shared = sum((Counter(a) & Counter(b)).total() for a, b in pairs)
    changed = sum(bool(Counter(b) - Counter(a)) for a, b in pairs)
    return shared >= 0.6 * after and changed >= 0.5 * len(pairs)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _operations(
    source: Counter[tuple[str, ...]],
    answer: Counter[tuple[str, ...]],
    references: Sequence[Counter[tuple[str, ...]]],
) -> tuple[float, float, float]:
    """Keeping (F1), deleting (precision) and adding (F1) for one n.

    Counts of source and answer are multiplied by the number of references, so that they can be
    compared with the references' counts together.
    """
    wanted = sum(references, Counter[tuple[str, ...]]())
    many = len(references)
    before = Counter({gram: many * times for gram, times in source.items()})
    after = Counter({gram: many * times for gram, times in answer.items()})
    kept, keepable = before & after, before & wanted
    well_kept = kept & wanted
    precision = _ratio(sum(well_kept[gram] / kept[gram] for gram in well_kept), len(kept))
    recall = _ratio(sum(well_kept[gram] / keepable[gram] for gram in well_kept), len(keepable))
    deleted = before - after
    well_deleted = deleted - wanted
    deletion = _ratio(
        sum(well_deleted[gram] / deleted[gram] for gram in well_deleted), len(deleted)
    )
    added, addable = set(answer) - set(source), set(wanted) - set(source)
    right = len(added & addable)
    addition = _f1(_ratio(right, len(added)), _ratio(right, len(addable)))
    return _f1(precision, recall), deletion, addition


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0


def _f1(precision: float, recall: float) -> float:
    return _ratio(2 * precision * recall, precision + recall)
