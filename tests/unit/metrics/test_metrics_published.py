"""Figures that others have published, and the reference packages on real sentences."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tinyforge.metrics.generation import generation_tallies, rouge_l

REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]
SYSTEM = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]


def test_figures_in_sacrebleus_readme() -> None:
    """The example of "Using sacreBLEU from Python" in its README: BLEU = 48.53, chrF2 = 59.73."""
    tallies = generation_tallies(REFERENCES, SYSTEM).tallies
    assert round(tallies["bleu"].value(), 2) == 48.53
    assert round(tallies["chrf"].value(), 2) == 59.73


def test_figures_in_the_rouge_paper() -> None:
    """Lin 2004, section 3.1: ROUGE-L of two sentences is 3/4 and 2/4, ROUGE-2 is the same."""
    reference = "police killed the gunman"
    candidates = ["police kill the gunman", "the gunman kill police"]
    assert [rouge_l(reference, c) for c in candidates] == [0.75, 0.5]
    pairs = [generation_tallies([reference], [c]).tallies["rouge2"].value() for c in candidates]
    assert pairs == [pytest.approx(1 / 3)] * 2


def read(path: Path, rows: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n") for line, _ in zip(lines, range(rows), strict=False)]


def worsened(text: str, row: int) -> str:
    """The same sentence with a word missing, two exchanged, or its end cut off."""
    parts = text.split()
    if row % 3 == 0:
        del parts[len(parts) // 2 : len(parts) // 2 + 1]
    elif row % 3 == 1 and len(parts) > 3:
        parts[1], parts[-2] = parts[-2], parts[1]
    else:
        parts = parts[: len(parts) // 2]
    return " ".join(parts)


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_real_captions_equal_the_reference_packages(shared_folder: Path, language: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF, TER

    gold = read(shared_folder / f"data/t2t/multi30k/val.{language}.gz", 200)
    answers = [worsened(text, row) for row, text in enumerate(gold)]
    tallies = generation_tallies(gold, answers).tallies
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF()), ("ter", TER())):
        assert tallies[name].value() == pytest.approx(metric.corpus_score(answers, [gold]).score)
    if language == "en":
        scorer = RougeScorer(["rougeL"])
        scores = [scorer.score(a, b)["rougeL"].fmeasure for a, b in zip(gold, answers, strict=True)]
        assert tallies["rougeL"].value() == pytest.approx(sum(scores) / len(scores))
