"""Models asked with a prompt: choosing, writing, examples, and the folder that keeps it all."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_answerers import PAIRS, gpt2, make
from transformers import AutoModelForCausalLM

from tinyforge.artifacts.manifest import verify
from tinyforge.errors import FolderError, ModelError, SettingError
from tinyforge.inference.choosing import AnswerScorer
from tinyforge.inference.prompted import PromptedModel
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.load import load
from tinyforge.recipes.prompting import note_shortened
from tinyforge.records.examples import Example, Message
from tinyforge.text.features import SimilarExamples
from tinyforge.text.prompts import PROMPTS, Prompt, Shot

ASK = Prompt(
    template="{input} it was",
    answer_prefix=" ",
    labels={"pos": "good", "neg": "really bad"},
    answer="choose",
)
TRAIN = [
    Example("the cat sat", "pos"), Example("a dog lay down", "neg"),
    Example("the cat sat on the mat", "pos"), Example("money", "neg"), Example("unanswered"),
]  # fmt: skip


@pytest.fixture(scope="module")
def long_reader(byte_tokenizer: Any) -> TorchModel:
    return make("language-model", gpt2(byte_tokenizer, positions=400), byte_tokenizer)


def likelihoods(model: TorchModel, context: str, words: list[str]) -> np.ndarray:
    """Of each word after a context, from the whole texts' likelihoods."""
    from tinyforge.inference.candidates import AnswerReader

    rows = AnswerReader(model.task, words, " ").candidates([context])
    return AnswerScorer(model.model, model.task)._plainly(rows)[0]


def test_the_likeliest_label_with_its_share(long_reader: TorchModel) -> None:
    answer = PromptedModel(long_reader, ASK).predict("the cat sat")
    scores = likelihoods(long_reader, "the cat sat it was", ["good", "really bad"])
    shares = np.exp(scores) / np.exp(scores).sum()
    assert list(answer.scores) == ["pos", "neg"]
    assert list(answer.scores.values()) == pytest.approx(shares, rel=1e-3)
    assert answer.output == ("pos", "neg")[int(shares.argmax())]
    assert answer.confidence == max(answer.scores.values())
    assert answer.labels == (answer.output,)
    assert (answer.input, answer.finish_reason) == ("the cat sat", "label")
    assert answer.model == long_reader.hash


def test_likelihood_per_byte(long_reader: TorchModel) -> None:
    prompt = ASK.model_copy(update={"likelihood": "per byte"})
    answer = PromptedModel(long_reader, prompt).predict("the cat sat")
    scores = likelihoods(long_reader, "the cat sat it was", ["good", "really bad"])
    shares = np.exp(scores / np.array([4, 10]))
    assert list(answer.scores.values()) == pytest.approx(shares / shares.sum(), rel=1e-3)


def test_calibration_divides_by_the_share_without_content(long_reader: TorchModel) -> None:
    prompt = ASK.model_copy(update={"calibrate": True, "content_free": ("N/A", "")})
    answer = PromptedModel(long_reader, prompt).predict("the cat sat")

    def shares(text: str) -> np.ndarray:
        scores = np.exp(likelihoods(long_reader, f"{text} it was", ["good", "really bad"]))
        return scores / scores.sum()

    expected = shares("the cat sat") / ((shares("N/A") + shares("")) / 2)
    assert list(answer.scores.values()) == pytest.approx(expected / expected.sum(), rel=1e-3)


def test_calibration_of_an_input_without_content_is_even(long_reader: TorchModel) -> None:
    prompt = ASK.model_copy(update={"calibrate": True, "content_free": ("N/A",)})
    shown = prompt.model_copy(update={"examples": (Shot(input="x", output="neg"),)})
    for each in (prompt, shown):
        answer = PromptedModel(long_reader, each).predict("N/A")
        assert list(answer.scores.values()) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_many_rows_are_answered_as_one_by_one(long_reader: TorchModel) -> None:
    model = PromptedModel(long_reader, ASK)
    texts = ["the cat", "a much longer text about a dog and a log", "x", "the cat"]
    together = model.predict(texts)
    for text, answer in zip(texts, together, strict=True):
        alone = model.predict(text)
        assert alone.output == answer.output
        assert alone.confidence == pytest.approx(answer.confidence, rel=1e-3)


def test_an_encoder_decoder_chooses_and_writes(reverser: TorchModel) -> None:
    words = {"first": "c b a", "second": "cat the"}
    prompt = Prompt(template="reverse: {input}", labels=words, answer="choose")
    answers = PromptedModel(reverser, prompt).predict(["a b c", "the cat"])
    assert [answer.output for answer in answers] == ["first", "second"]
    writes = PromptedModel(reverser, Prompt(template="reverse: {input}"))
    asked = [question.removeprefix("reverse: ") for question, _ in PAIRS]
    assert [answer.output for answer in writes.predict(asked)] == [reply for _, reply in PAIRS]
    assert "".join(writes.stream("a b c")) == "c b a"


def test_what_a_prompted_model_is(reverser: TorchModel, long_reader: TorchModel) -> None:
    chooser = PromptedModel(long_reader, ASK)
    assert (chooser.task.name, chooser.task.multi_label) == ("classify", False)
    assert chooser.labels == chooser.task.labels == ("pos", "neg")
    assert chooser.info()["labels"] == ["pos", "neg"]
    assert chooser.info()["prompt"]["template"] == ASK.template
    assert PromptedModel(reverser, Prompt()).task.name == "text2text"


def test_stop_strings_and_length_of_the_prompt(long_reader: TorchModel) -> None:
    free = PromptedModel(long_reader, Prompt(max_new_tokens=6))
    whole = free.predict("the cat sat")
    assert whole.output == long_reader.predict("the cat sat", max_new_tokens=6).output.strip()
    assert len(whole.output) > 2
    stop = whole.output[1]
    short = PromptedModel(long_reader, Prompt(max_new_tokens=6, stop=(stop,)))
    assert stop not in short.predict("the cat sat").output
    assert len(free.predict("the cat sat", max_new_tokens=2).output) < len(whole.output)
    assert "".join(free.stream("the cat sat")) == whole.output


def test_the_most_similar_training_rows_are_shown_last(long_reader: TorchModel) -> None:
    prompt = ASK.model_copy(update={"shots": 2})
    model = PromptedModel(long_reader, prompt, TRAIN)
    assert model.contexts(["the cat sat on a mat"]) == [
        "the cat sat it was good\n\nthe cat sat on the mat it was good\n\n"
        "the cat sat on a mat it was"
    ]
    assert model.contexts(["lots of money"])[0].count("money it was really bad") == 1
    assert "unanswered" not in "".join(model.contexts([e.input for e in TRAIN[:4]]))


def test_rows_that_are_asked_are_never_shown(long_reader: TorchModel) -> None:
    """Only the rows handed over are; asking changes nothing for what is asked after."""
    asked = [Example("the cat sat on the mat", "neg"), Example("secret words", "neg")]
    model = PromptedModel(long_reader, ASK, TRAIN)
    before = model.contexts(["secret words and the cat"])
    model.predict_examples(asked)
    assert model.contexts(["secret words and the cat"]) == before
    assert "secret words it was" not in before[0]


def test_the_expected_answer_is_not_looked_at(long_reader: TorchModel) -> None:
    model = PromptedModel(long_reader, ASK, TRAIN)
    one, other = (model.predict_examples([Example("the cat", label)])[0] for label in ASK.labels)
    assert one == other


def test_a_search_that_is_there_already(long_reader: TorchModel) -> None:
    rows = TRAIN[:4]
    prompt = ASK.model_copy(update={"shots": 1})
    given = PromptedModel(long_reader, prompt, SimilarExamples(rows))
    made = PromptedModel(long_reader, prompt, rows)
    assert given.contexts(["a cat"]) == made.contexts(["a cat"])
    assert given.fit_seconds > 0


def test_labels_come_from_training_rows_where_the_prompt_has_none(
    long_reader: TorchModel,
) -> None:
    model = PromptedModel(long_reader, PROMPTS["classify"], TRAIN)
    assert model.labels == ("neg", "pos")
    assert PromptedModel(long_reader, PROMPTS["classify"]).with_labels(["a", "b"]).labels == (
        "a", "b",
    )  # fmt: skip


def test_fixed_examples_stand_in_their_order(long_reader: TorchModel) -> None:
    shots = (Shot(input="b", output="neg"), Shot(input="a", output="pos"))
    model = PromptedModel(long_reader, ASK.model_copy(update={"examples": shots}))
    assert model.contexts(["c"]) == ["b it was really bad\n\na it was good\n\nc it was"]


def test_what_does_not_fit_is_left_out_least_similar_first(
    byte_tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reader = make("language-model", gpt2(byte_tokenizer, positions=80), byte_tokenizer)
    rows = [Example(f"the cat sat on the mat {'x ' * i}", "pos") for i in range(6)]
    model = PromptedModel(reader, ASK.model_copy(update={"shots": 6}), rows)
    with caplog.at_level(logging.WARNING, "tinyforge"):
        (context,) = model.contexts(["the cat sat on the mat"])
    asked = "the cat sat on the mat it was"
    assert context.endswith(f"{rows[0].input} it was good\n\n{asked}")
    assert 1 <= context.count("good") < 6
    assert "the least similar examples were left out" in caplog.text
    (cut,) = model.contexts(["the cat sat on the mat and " * 30])
    assert cut.startswith("the cat sat on the mat and the cat")
    assert cut.endswith(" it was")
    sizes = [len(byte_tokenizer(text)["input_ids"]) for text in (context, cut)]
    assert all(40 < size <= 80 for size in sizes)
    assert model.predict("the cat sat on the mat and " * 30).output in ASK.labels


def test_a_baseline_keeps_long_prompts_for_its_note(
    byte_tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reader = make("language-model", gpt2(byte_tokenizer, positions=80), byte_tokenizer)
    rows = [Example(f"the cat sat on the mat {'x ' * i}", "pos") for i in range(6)]
    shown, plain = ASK.model_copy(update={"shots": 6}), ASK.model_copy(update={"shots": None})
    found: dict[str, Any] = {
        "few_shot": PromptedModel(reader, shown, rows, tell=False),
        "zero_shot": PromptedModel(reader, plain, tell=False),
        "left_out": PromptedModel(reader, plain, tell=False),
    }
    with caplog.at_level(logging.INFO, "tinyforge"):
        found["few_shot"].contexts(["the cat sat on the mat", "the dog", "a mat"])
        found["zero_shot"].contexts(["the cat sat on the mat and " * 30, "a"])
        found["zero_shot"].contexts(["a"])
        found["left_out"].contexts(["the cat sat on the mat and " * 30])
    assert not caplog.records
    scored: dict[str, Any] = {
        name: SimpleNamespace(notes=[]) for name in ("few_shot", "zero_shot", "tfidf")
    }
    note_shortened(found, scored)
    assert scored["few_shot"].notes == [
        "3 of 3 prompts are too long for the model: they show fewer than 6 rows (evaluate.few_shot)"
    ]
    assert scored["zero_shot"].notes == [
        "1 of 3 prompts are too long for the model: the input's end is left out"
    ]
    assert not scored["tfidf"].notes


def test_a_prompt_that_leaves_no_room(byte_tokenizer: Any) -> None:
    reader = make("language-model", gpt2(byte_tokenizer, positions=16), byte_tokenizer)
    model = PromptedModel(reader, ASK.model_copy(update={"prefix": "a long story. " * 9}))
    with pytest.raises(SettingError, match="the prompt alone has"):
        model.predict("x")


def test_a_chat_is_asked_by_its_question(long_reader: TorchModel, chatter: TorchModel) -> None:
    chat = Example("why?", messages=(Message("user", "the cat"), Message("user", "why?")))
    model = PromptedModel(long_reader, ASK)
    (answer,) = model.predict_examples([chat])
    assert answer.scores == model.predict("the cat\nwhy?").scores
    assert PromptedModel(chatter, ASK).predict("why?").output in ASK.labels
    assert PromptedModel(chatter, Prompt()).task.name == "instruct"


def test_mistakes_are_told(classifier: TorchModel, long_reader: TorchModel) -> None:
    with pytest.raises(ModelError, match="reads no prompt"):
        PromptedModel(classifier, ASK)
    with pytest.raises(SettingError, match="names none"):
        PromptedModel(long_reader, PROMPTS["classify"]).predict("a")
    model = PromptedModel(long_reader, ASK)
    with pytest.raises(SettingError, match="chooses a label and writes no text"):
        model.stream("a")
    with pytest.raises(SettingError, match="has no effect"):
        model.predict("a", max_new_tokens=3)
    with pytest.raises(SettingError, match="Did you mean 'temperature'"):
        PromptedModel(long_reader, Prompt()).predict("a", temprature=1)


def test_a_saved_folder_answers_the_same(long_reader: TorchModel, tmp_path: Path) -> None:
    model = PromptedModel(long_reader, ASK.model_copy(update={"shots": 2}), TRAIN)
    folder = model.save(tmp_path / "asked")
    assert verify(folder) == []
    again = load(folder)
    assert isinstance(again, PromptedModel)
    texts = ["the cat sat on the mat", "a dog", "money"]
    assert again.contexts(texts) == model.contexts(texts)
    for ours, theirs in zip(model.predict(texts), again.predict(texts), strict=True):
        assert ours.scores == pytest.approx(theirs.scores, rel=1e-5)
        assert ours.output == theirs.output
    AutoModelForCausalLM.from_pretrained(folder)
    saved = json.loads((folder / "tinyforge" / "prompt.json").read_text())
    assert [shot["input"] for shot in saved["examples"]] == [e.input for e in TRAIN[:4]]


def test_a_copy_of_a_folder_keeps_the_hash_of_its_weights(
    long_reader: TorchModel, tmp_path: Path
) -> None:
    first = PromptedModel(long_reader, ASK).save(tmp_path / "first")
    (first / "README.md").write_text("a card")
    (first / "old.bin").write_bytes(b"a pickle")
    other = load(first, prompt="{input} so")
    assert isinstance(other, PromptedModel)
    second = other.save(tmp_path / "second")
    assert load(second).hash == other.hash
    assert not (second / "README.md").exists()
    assert not (second / "old.bin").exists()
    assert verify(second) == []
    assert load(second).predict("the cat").output == other.predict("the cat").output
    loaded = load(second)
    assert isinstance(loaded, PromptedModel)
    assert loaded.prompt.template == "{input} so"
    changed = second / "tinyforge" / "prompt.json"
    changed.write_text(changed.read_text().replace(" so", " no"))
    assert len(verify(second)) == 1


def test_nothing_is_replaced(long_reader: TorchModel, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    model = PromptedModel(long_reader, ASK)
    assert model.save(tmp_path / "taken")
    with pytest.raises(FolderError, match="something already"):
        model.save(tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_a_damaged_prompt_in_a_folder(long_reader: TorchModel, tmp_path: Path) -> None:
    folder = PromptedModel(long_reader, ASK).save(tmp_path / "asked")
    path = folder / "tinyforge" / "prompt.json"
    path.write_text('{"tempalte": "{input}"}')
    with pytest.raises(SettingError, match="Did you mean 'template'"):
        load(folder)
    path.write_text("{")
    with pytest.raises(FolderError, match="not JSON"):
        load(folder)
