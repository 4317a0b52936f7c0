"""Drift: the index, its alarm line, and that what is kept is little and says nothing of a text."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from tinyforge.artifacts.reference import read_reference, write_reference
from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.errors import FolderError
from tinyforge.records.predictions import Prediction
from tinyforge.safety.drift import FEWEST, Drift, chance_line, stability_index
from tinyforge.safety.drift_reference import (
    common_words,
    make_reference,
    observe,
    pack_words,
    unpack_words,
)

KNOWN = [
    "the", "cat", "sat", "on", "a", "mat", "while", "birds", "sang", "in", "old", "trees", "by",
    "our", "quiet", "river", "bank",
]  # fmt: skip
SETTINGS = SafeguardSettings(drift_window=400, drift_first=200)


def texts(seed: int, count: int, words: list[str] = KNOWN, longest: int = 20) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words, random.integers(3, longest))) for _ in range(count)]


def answers(seed: int, count: int, share: float = 0.5, low: float = 0.6) -> list[Prediction]:
    random = np.random.default_rng(seed)
    return [
        Prediction(label, confidence=float(random.uniform(low, 1)), labels=(label,))
        for label in random.choice(["yes", "no"], count, p=[share, 1 - share])
    ]


def reference(count: int = 1_000) -> dict[str, object]:
    words = common_words(texts(0, 500))
    seen = [
        observe(text, answer.confidence, answer.labels, words)
        for text, answer in zip(texts(1, count), answers(1, count), strict=True)
    ]
    return make_reference(seen, words, source="training")


def figures(drift: Drift, name: str = "drift_alarm") -> dict[str, float]:
    return {labels["of"]: value for each, labels, value in drift.figures() if each == name}


def fed(drift: Drift, asked: list[str], answered: list[Prediction]) -> Drift:
    for text, answer in zip(asked, answered, strict=True):
        drift.observe([text], [answer])
    return drift


def test_the_same_kind_of_texts_raises_no_alarm() -> None:
    drift = fed(Drift.from_reference(reference(), SETTINGS), texts(2, 400), answers(2, 400))
    alarms = figures(drift)
    assert {"input_length", "unknown_words", "confidence", "labels"} <= set(alarms)
    assert not any(alarms.values())
    assert all(value < 0.1 for value in figures(drift, "drift_index").values())


@pytest.mark.parametrize(
    ("figure", "asked", "answered"),
    [
        ("input_length", texts(2, 400, longest=60), answers(2, 400)),
        ("unknown_words", texts(2, 400, words=["zyx", "wvu", "tsr", "qpo"]), answers(2, 400)),
        ("confidence", texts(2, 400), answers(2, 400, low=0.0)),
        ("labels", texts(2, 400), answers(2, 400, share=0.95)),
    ],
)
def test_what_changed_raises_its_alarm_alone(
    figure: str, asked: list[str], answered: list[Prediction]
) -> None:
    drift = fed(Drift.from_reference(reference(), SETTINGS), asked, answered)
    alarms = figures(drift)
    assert alarms[figure] == 1
    others = set(alarms) - {figure, "language", "input_length"}
    assert not any(alarms[name] for name in others)
    assert figures(drift, "drift_index")[figure] > figures(drift, "drift_line")[figure]


def test_another_language_is_seen() -> None:
    pytest.importorskip("py3langid")
    words = common_words(texts(0, 500))
    english = [observe("the cat sat on a mat and went to sleep", 0.9, ("yes",), words)] * 300
    drift = Drift.from_reference(make_reference(english, words, source="training"), SETTINGS)
    german = "Wir möchten gerne wissen, wann die bestellten Karten bei uns ankommen werden"
    fed(drift, [german] * 200, answers(2, 200))
    assert figures(drift)["language"] == 1
    shares = {
        labels["name"]: value
        for name, labels, value in drift.figures()
        if name == "drift_share" and labels["of"] == "language"
    }
    assert shares == {"en": 0.0, "(other)": 1.0}


def test_only_the_latest_texts_count() -> None:
    drift = Drift.from_reference(reference(), SETTINGS)
    fed(drift, texts(2, 400, longest=60), answers(2, 400))
    assert figures(drift)["input_length"] == 1
    fed(drift, texts(3, 400), answers(3, 400))
    assert figures(drift)["input_length"] == 0


def test_few_texts_say_nothing_yet() -> None:
    drift = Drift.from_reference(reference(), SETTINGS)
    fed(drift, texts(2, FEWEST - 1, longest=90), answers(2, FEWEST - 1))
    assert figures(drift) == {}
    assert ("drift_window_texts", {}, FEWEST - 1.0) in drift.figures()


def test_without_a_reference_the_first_texts_are_it() -> None:
    drift = Drift.from_reference(None, SETTINGS)
    fed(drift, texts(2, 199), answers(2, 199))
    assert ("drift_reference_texts", {"source": "collecting"}, 199.0) in drift.figures()
    fed(drift, texts(3, 201), answers(3, 201))
    assert ("drift_reference_texts", {"source": "requests"}, 200.0) in drift.figures()
    assert ("drift_reference_texts", {"source": "collecting"}, 0.0) in drift.figures()
    assert not any(figures(drift).values())
    fed(drift, texts(4, 400, longest=80), answers(4, 400))
    assert figures(drift)["input_length"] == 1


def test_it_can_be_switched_off() -> None:
    drift = Drift.from_reference(reference(), SafeguardSettings(drift=False))
    fed(drift, texts(2, 200), answers(2, 200))
    assert drift.figures() == []


def test_observing_never_fails_a_request(caplog: pytest.LogCaptureFixture) -> None:
    drift = Drift.from_reference(reference(), SETTINGS)
    drift.observe(["fine", None, "secret"], [None] * 3)  # type: ignore[list-item]
    drift.observe([b"secret"], [None])  # type: ignore[list-item]
    assert caplog.text.count("drift cannot be observed") == 1
    assert "secret" not in caplog.text
    drift.observe(["more texts than answers"] * 5, answers(0, 2))


def test_a_request_of_many_texts_costs_little() -> None:
    drift = Drift.from_reference(reference(), SETTINGS)
    drift.observe(texts(2, 256), answers(2, 256))
    (seen,) = [value for name, _, value in drift.figures() if name == "drift_window_texts"]
    assert seen == 16


def test_several_threads_lose_nothing() -> None:
    drift = Drift.from_reference(None, SafeguardSettings(drift_first=100, drift_window=1_000))
    work = [
        threading.Thread(target=fed, args=(drift, texts(n, 150), answers(n, 150))) for n in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert ("drift_reference_texts", {"source": "requests"}, 100.0) in drift.figures()
    assert ("drift_window_texts", {}, 500.0) in drift.figures()


def test_the_index_is_the_population_stability_index() -> None:
    seen, expected = np.array([500.0, 500.0]), np.array([900.0, 100.0])
    by_hand = (0.5 - 0.9) * np.log(0.5 / 0.9) + (0.5 - 0.1) * np.log(0.5 / 0.1)
    assert stability_index(seen, expected) == pytest.approx(by_hand, rel=0.02)
    assert stability_index(expected, expected) == 0
    assert np.isfinite(stability_index(np.array([0.0, 9.0]), np.array([9.0, 0.0])))


def test_chance_exceeds_the_line_once_in_a_thousand() -> None:
    from scipy.stats import chi2

    for bins in (2, 5, 10, 77):
        exact = chi2.ppf(0.999, bins - 1) * (1 / 400 + 1 / 1_000)
        assert chance_line(400, 1_000, bins) == pytest.approx(exact, rel=0.05)
    random = np.random.default_rng(0)
    p = np.full(10, 0.1)
    draws = [
        stability_index(random.multinomial(400, p) * 1.0, random.multinomial(1_000, p) * 1.0)
        for _ in range(2_000)
    ]
    line = chance_line(400, 1_000, 10)
    assert np.mean(np.array(draws) > line) < 0.005
    assert np.mean(np.array(draws) > line / 2) > 0.005


def test_a_reference_holds_no_text_and_comes_back(tmp_path: Path) -> None:
    made = reference(200)
    assert "river" not in json.dumps(made)
    write_reference(tmp_path, made)
    back = read_reference(tmp_path)
    assert back == {"format": 1, **made}
    Drift.from_reference(back, SETTINGS)
    assert read_reference(tmp_path / "none") is None
    words = common_words(["a b c"])
    assert unpack_words(pack_words(words)) == words


@pytest.mark.parametrize(
    "damage",
    [{"words": "%%%"}, {"input_length": {"edges": [1], "counts": [1]}}, {"labels": ["yes"]},
     {"confidence": 3}, {"language": {"en": "many"}}],
)  # fmt: skip
def test_a_damaged_reference_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(FolderError, match="damaged"):
        Drift.from_reference({**reference(100), **damage}, SETTINGS)
