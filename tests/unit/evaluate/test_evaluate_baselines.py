"""Baselines: made from training rows only, and as strong as they should be."""

from __future__ import annotations

import math

import pytest
from evaluate_fakes import SETTINGS, Surprised

from tinyforge.evaluate.baselines import TITLES, baselines, score_baselines
from tinyforge.evaluate.byte_model import ByteNgram
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Source

WORDS = {"weather": ["rain", "sun", "wind", "snow"], "money": ["card", "bank", "cash", "loan"]}


def rows(count: int, start: int = 0) -> list[Example]:
    found = []
    for i in range(start, start + count):
        label = "weather" if i % 3 else "money"
        words = WORDS[label]
        text = f"{words[i % 4]} and {words[(i // 4) % 4]} number {i}"
        found.append(Example(text, label, source=Source("train.jsonl", i + 1)))
    return found


def answers(task: str, train: list[Example], asked: Example, **options: bool) -> dict[str, str]:
    found = baselines(task, train, **options)
    return {name: found[name].predict_examples([asked])[0].output for name in found}


def test_classification_baselines() -> None:
    scored = score_baselines(
        baselines("classify", rows(120)), rows(60, 200), task="classify",
        labels=("money", "weather"), settings=SETTINGS,
    )  # fmt: skip
    assert set(scored) == {
        "majority", "tfidf_logistic_regression", "naive_bayes", "nearest_example",
    }  # fmt: skip
    assert scored["majority"].scores["accuracy"].value == pytest.approx(2 / 3)
    assert scored["tfidf_logistic_regression"].scores["accuracy"].value == 1
    assert scored["nearest_example"].scores["accuracy"].value > 0.9
    assert scored["naive_bayes"].scores["accuracy"].value > 0.9
    assert scored["tfidf_logistic_regression"].fit_seconds > 0
    assert scored["majority"].name == TITLES["majority"]


def test_approximate_solver_for_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.evaluate.text_features._EXACT_SOLVER_COST", 0)
    found = baselines("classify", rows(120))["tfidf_logistic_regression"]
    test = rows(60, 200)
    assert [p.output for p in found.predict_examples(test)] == [e.output for e in test]


def test_several_labels_are_given_from_a_chosen_probability() -> None:
    train = [
        Example(f"{'rain' if i % 2 else 'sun'} {'card' if i % 5 == 0 else 'x'} {i}",
                labels=("weather", "money") if i % 5 == 0 else ("weather",))
        for i in range(300)
    ]  # fmt: skip
    found = baselines("classify", train, multi_label=True)
    model = found["tfidf_logistic_regression"]
    both, one = model.predict_examples([Example("card sun"), Example("rain x")])
    assert both.labels == ("money", "weather")
    assert one.labels == ("weather",)
    assert found["majority"].predict_examples([Example("a")])[0].labels == ("weather",)
    scored = score_baselines(
        found, train[:20], task="classify", multi_label=True, settings=SETTINGS
    )
    assert any("from probability" in note for note in scored["tfidf_logistic_regression"].notes)


def test_one_label_only_and_texts_without_words() -> None:
    train = [Example("!!!", "a"), Example("???", "a")]
    got = answers("classify", train, Example("..."))
    assert set(got.values()) == {"a"}


def test_writing_baselines() -> None:
    train = [
        Example("capital of France", "Paris"),
        Example("capital of Italy", "Rome"),
        Example("where is the tower", "Paris"),
    ]
    got = answers("text2text", train, Example("what is the capital of Italy"))
    assert got == {
        "majority": "Paris",
        "nearest_example": "Rome",
        "copy_input": "what is the capital of Italy",
    }
    assert answers("text2text", train, Example("zzz"))["nearest_example"] == "Paris"


def test_a_chat_is_compared_by_its_question_only() -> None:
    def chat(question: str, answer: str) -> Example:
        messages = (Message("user", question), Message("assistant", answer))
        return Example(question, answer, messages=messages)

    train = [chat("how to bake bread", "use flour"), chat("how to fix a car", "call a mechanic")]
    asked = chat("bake bread", "call a mechanic, who knows how to fix a car")
    assert answers("instruct", train, asked)["nearest_example"] == "use flour"


def test_expected_answers_are_not_looked_at() -> None:
    train = rows(60)
    asked = Example("sun and wind", "money", source=Source("f", 1))
    assert answers("classify", train, asked) == answers("classify", train, Example("sun and wind"))


def test_no_training_rows() -> None:
    assert baselines("classify", []) == {}
    assert set(baselines("text2text", [])) == {"copy_input"}
    assert baselines("classify", [Example("a")]) == {}
    assert baselines("language-model", []) == {}


def test_many_rows_are_sampled_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.evaluate.baselines.MOST_ROWS", 50)
    scored = score_baselines(
        baselines("classify", rows(120)), rows(10, 200), task="classify", settings=SETTINGS
    )
    assert "learnt from a random 50 of 120 training rows" in scored["majority"].notes


def test_long_texts_are_cut_into_words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.text.features.CHARACTERS_FOR_NGRAMS", 10)
    assert answers("classify", rows(60), Example("sun"))["nearest_example"] == "weather"


@pytest.mark.parametrize(
    ("task", "multi_label"),
    [("classify", False), ("classify", True), ("text2text", False), ("language-model", False)],
)
def test_every_baseline_tells_its_cost(task: str, multi_label: bool) -> None:
    found = baselines(task, rows(40), multi_label=multi_label)
    for baseline in found.values():
        assert baseline.fit_seconds >= 0
        assert baseline.size_bytes >= (0 if baseline.parameters is None else baseline.parameters)
    assert any(baseline.size_bytes > 0 for baseline in found.values())


def test_untuned_model_joins_in() -> None:
    examples = [Example(output=f"a text, number {i}") for i in range(20)]
    found = baselines("language-model", examples, untuned=Surprised(3.0))
    scored = score_baselines(found, examples, task="language-model", settings=SETTINGS)
    assert scored["untuned_model"].scores["bits_per_byte"].value == pytest.approx(3)
    assert set(scored["byte_ngram"].scores) == {"bits_per_byte", "bits_per_character"}
    assert scored["byte_ngram"].scores["bits_per_byte"].value < 3


def test_byte_model_is_a_probability() -> None:
    """Summed over all 256 next bytes, the probability is one, in seen and unseen contexts."""
    model = ByteNgram(["abracadabra", "abrupt"])
    for context in ("abr", "zzz", ""):
        total = 0.0
        for byte in range(128):
            after = context + chr(byte)
            with_it, without = model.log_likelihoods(
                [Example(output=after), Example(output=context)]
            )
            total += math.exp(without.nll - with_it.nll)
        rest = 128 * math.exp(
            without.nll - model.log_likelihoods([Example(output=context + "\x00")])[0].nll
        )
        assert total + rest == pytest.approx(1)


def test_byte_model_learns_and_counts_bytes() -> None:
    model = ByteNgram(["the cat sat on the mat. " * 50])
    known, new = model.log_likelihoods([Example(output="the cat"), Example(output="qüx")])
    assert known.nll / known.bytes < 0.5
    assert new.nll / new.bytes > 2
    assert (new.bytes, new.tokens) == (4, 0)
    assert model.log_likelihoods([Example(output="")])[0].bytes == 0
    assert math.isfinite(ByteNgram([]).log_likelihoods([Example(output="a")])[0].nll)
