"""What is measured for each task, and which number is the headline.

The numbers come from per-row statistics (see ``tally.py``), so every metric has a bootstrap
interval and two systems can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tinyforge.metrics.words import split_words

Scale = Literal["share", "points", "free"]
"""``share``: 0 to 1; ``points``: 0 to 100; ``free``: no upper bound."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name and how to read it.

    Attributes:
        title: what a person calls it.
        definition: how it is computed, in one clause.
        proportion: True where a row is simply right or wrong and the metric is the share right.
        margin: a difference up to this size is too small to matter, in the metric's own unit.
        resolution: an interval with this half width would have shown any worthwhile difference.
    """

    name: str
    title: str
    definition: str
    scale: Scale = "share"
    higher_is_better: bool = True
    proportion: bool = False
    margin: float = 0.005
    resolution: float = 0.05


_ALL = (
    Metric("accuracy", "Accuracy", "share of rows with the right label", proportion=True),
    Metric(
        "macro_f1",
        "Macro F1",
        "mean of the labels' F1, each label counting the same, over labels that occur in the "
        "rows or in the answers",
    ),
    Metric("micro_f1", "Micro F1", "F1 of all single label decisions together"),
    Metric("weighted_f1", "Weighted F1", "mean of the labels' F1, weighted by their rows"),
    Metric(
        "subset_accuracy",
        "Exact set",
        "share of rows whose set of labels is exactly right",
        proportion=True,
    ),
    Metric(
        "ece",
        "Calibration error",
        "expected calibration error: mean gap between confidence and accuracy in 15 bins of "
        "equal width (Guo et al. 2017)",
        higher_is_better=False,
    ),
    Metric(
        "exact_match",
        "Exact match",
        "share of answers equal to the expected one, but for spaces",
        proportion=True,
    ),
    Metric(
        "token_f1",
        "Token F1",
        "mean F1 over words, lower case, without punctuation and the articles a, an, the "
        "(SQuAD 1.1)",
    ),
    Metric("bleu", "BLEU", "sacrebleu's corpus BLEU", scale="points", margin=0.5, resolution=3.0),
    Metric("chrf", "chrF", "sacrebleu's corpus chrF2", scale="points", margin=0.5, resolution=3.0),
    Metric("rouge1", "ROUGE-1", "mean F1 over words, no stemming (Lin 2004)"),
    Metric("rouge2", "ROUGE-2", "mean F1 over word pairs, no stemming (Lin 2004)"),
    Metric("rougeL", "ROUGE-L", "mean F1 of the longest common subsequence of words (Lin 2004)"),
    Metric(
        "perplexity",
        "Perplexity",
        "exp of the mean negative log-likelihood per token; comparable only between models with "
        "the same tokenizer",
        scale="free",
        higher_is_better=False,
        margin=0.05,
        resolution=0.5,
    ),
    Metric(
        "bits_per_byte",
        "Bits per byte",
        "negative log2-likelihood per UTF-8 byte of the text; comparable between any models",
        scale="free",
        higher_is_better=False,
        margin=0.005,
        resolution=0.05,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

_GENERATION = ("exact_match", "token_f1", "chrf", "bleu", "rouge1", "rouge2", "rougeL")
_LIKELIHOOD = ("bits_per_byte", "perplexity")

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "classify": ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "ece"),
    "classify-multi-label": ("micro_f1", "macro_f1", "weighted_f1", "subset_accuracy"),
    "text2text": (*_GENERATION, *_LIKELIHOOD),
    "instruct": (*_GENERATION, *_LIKELIHOOD),
    "language-model": _LIKELIHOOD,
}
"""Task to the metrics it is measured by. Likelihoods only where the predictor gives them."""


@dataclass(frozen=True, slots=True)
class Primary:
    """The headline metric, and why it is that one."""

    name: str
    why: str


LOPSIDED = 0.8
"""From this share of one label on, accuracy says little and macro F1 is the headline."""


def primary_for_labels(gold: Sequence[str]) -> Primary:
    """Headline for one label a row: accuracy, or macro F1 where one label dominates."""
    label, count = Counter(gold).most_common(1)[0]
    share = count / len(gold)
    if share > LOPSIDED:
        return Primary(
            "macro_f1",
            f"{share:.0%} of the rows are {label!r}, so that accuracy would say little",
        )
    return Primary("accuracy", "no label dominates the rows")


def primary_for_label_sets() -> Primary:
    """Headline for several labels a row: micro F1."""
    return Primary("micro_f1", "a row may carry several labels; each decision counts the same")


def primary_for_answers(inputs: Sequence[str], gold: Sequence[str]) -> Primary:
    """Headline for written answers: exact match where one answer is right, else chrF.

    One answer is taken to be right where answers are short (three words or fewer on average),
    come from a closed set (at most half as many different ones as rows), are made from few
    different words (at most 100), or are nearly always the input's own words in another order.
    """
    words = [split_words(text) for text in gold]
    count = sum(len(row) for row in words)
    if count <= 3 * len(gold):
        return Primary("exact_match", "answers are short")
    if len(gold) >= 20:
        if len(set(gold)) <= len(gold) / 2:
            return Primary("exact_match", "answers come from a closed set")
        if count >= 500 and len({word for row in words for word in row}) <= 100:
            return Primary("exact_match", "answers are made from few different words")
    moved = sum(_reordered(split_words(a), b) for a, b in zip(inputs, words, strict=True))
    if moved >= 0.9 * len(gold):
        return Primary("exact_match", "answers are the input's words in another order")
    return Primary("chrf", "answers are free text, in which many wordings are right")


def primary_for_likelihoods() -> Primary:
    """Headline for raw text: bits per byte, which no choice of tokenizer can flatter."""
    return Primary("bits_per_byte", "comparable between models with different tokenizers")


def _reordered(source: list[str], target: list[str]) -> bool:
    extra = Counter(source)
    extra.subtract(target)
    return min(extra.values(), default=-1) >= 0 and len(source) - len(target) <= 2


def better_first(values: Mapping[str, float], metric: str) -> list[str]:
    """The names of ``values``, the best value of ``metric`` first; ties in the given order."""
    sign = -1 if METRICS[metric].higher_is_better else 1
    return sorted(values, key=lambda name: sign * values[name])
