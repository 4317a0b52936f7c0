"""Prompts: what a model is given to read, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.errors import FolderError, SettingError
from tinyforge.text.prompts import PROMPTS, Prompt, Shot, parse_prompt, read_prompt, usual_prompt

WEATHER = Prompt(
    prefix="Choose among {labels}.\n\n",
    template="Text: {input}\nLabel:",
    answer_prefix=" ",
    labels={"w": "weather", "m": "money"},
    answer="choose",
)


def problem(plain: object) -> str:
    with pytest.raises(SettingError) as caught:
        parse_prompt(plain)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_whole_text() -> None:
    shots = (Shot(input="rain", output="w"), Shot(input="cash", output="m"))
    assert WEATHER.context("sun", shots) == (
        "Choose among weather, money.\n\n"
        "Text: rain\nLabel: weather\n\n"
        "Text: cash\nLabel: money\n\n"
        "Text: sun\nLabel:"
    )
    assert WEATHER.lead == " "


def test_examples_with_their_own_form_and_separator() -> None:
    prompt = Prompt(template="Q {input} A", example_template="{input} => {output}", separator=" | ")
    assert prompt.context("c", [Shot(input="a", output="b")]) == "a => b | Q c A"
    assert prompt.lead == ""


def test_options_stand_in_lines() -> None:
    prompt = PROMPTS["options"].with_labels(["yes", "no"])
    assert "OPTIONS:\n- yes\n- no\nANSWER:" in prompt.context("well?")


def test_what_the_input_holds_is_left_alone() -> None:
    """A text with braces is a text: nothing in it is filled in."""
    text = "{labels} {output} {input} {x: 1}"
    assert WEATHER.context(text).endswith(f"Text: {text}\nLabel:")
    assert Prompt(template='{"a": "{input}"}').context("b") == '{"a": "b"}'


def test_a_list_of_labels_means_a_choice() -> None:
    prompt = parse_prompt({"template": "{input}:", "labels": ["a", "b"]})
    assert prompt.chooses
    assert prompt.labels == {"a": "a", "b": "b"}
    assert not parse_prompt({"template": "{input}:"}).chooses


def test_labels_of_the_data_are_taken_where_it_names_none() -> None:
    assert list(PROMPTS["classify"].with_labels(["x", "y"]).labels) == ["x", "y"]
    assert WEATHER.with_labels(["x"]) == WEATHER
    assert PROMPTS["question"].with_labels(["x"]).labels == {}


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({"tempalte": "{input}"}, "Did you mean 'template'?"),
        ({"template": "no slot"}, "template: holds no {input}"),
        ({"example_template": "{input}"}, "must hold {input} and {output}"),
        ({"labels": {"a": "same", "b": " same"}}, "must be different"),
        ({"labels": {"a": " "}}, "not empty"),
        ({"labels": ["a"], "stop": ["."]}, "stop has no effect: the prompt chooses a label"),
        ({"calibrate": True}, "calibrate has no effect: the prompt writes an answer"),
        ({"labels": ["a"], "answer": "generate"}, "labels has no effect"),
        ({"stop": [""]}, "an empty string"),
        ({"shots": -1}, "shots"),
        ({"likelihood": "mean"}, "likelihood"),
        ({"examples": [{"input": "a"}]}, "examples.0.output"),
        (["a"], "a prompt is names and values"),
    ],
)
def test_mistakes_are_one_line(plain: object, words: str) -> None:
    assert words in problem(plain)


def test_a_user_names_a_prompt_in_any_of_its_ways(tmp_path: Path) -> None:
    as_json, as_yaml = tmp_path / "p.json", tmp_path / "p.yaml"
    as_json.write_text(json.dumps({"template": "J {input}"}))
    as_yaml.write_text("template: |-\n  Y {input}\nlabels: {a: b}\n")
    assert read_prompt(WEATHER) is WEATHER
    assert read_prompt("question") is PROMPTS["question"]
    assert read_prompt("Say {input}").template == "Say {input}"
    assert read_prompt({"template": "M {input}"}).template == "M {input}"
    assert read_prompt(as_json).template == "J {input}"
    assert read_prompt(str(as_yaml)).context("x") == "Y x"


def test_an_unknown_name_and_a_missing_file() -> None:
    with pytest.raises(SettingError, match="Did you mean 'classify'"):
        read_prompt("clasify")
    with pytest.raises(FolderError, match=r"nothing\.json: cannot be read"):
        read_prompt("nothing.json")


def test_a_broken_file_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("template: [")
    with pytest.raises(FolderError, match=r"p\.yaml: is no YAML"):
        read_prompt(path)
    path.write_text("templat: x")
    with pytest.raises(SettingError, match=r"p\.yaml: unknown field"):
        read_prompt(path)


@pytest.mark.parametrize("name", PROMPTS)
def test_ready_made_prompts(name: str) -> None:
    prompt = PROMPTS[name].with_labels(["a", "b"])
    assert "{" not in prompt.context("text")
    assert parse_prompt(prompt.model_dump(mode="json")) == prompt


@pytest.mark.parametrize("task", ["classify", "text2text", "instruct"])
@pytest.mark.parametrize("family", ["decoder", "encoder-decoder"])
def test_usual_prompts(task: str, family: str) -> None:
    prompt = usual_prompt(task, family, before="sst2: ")
    assert prompt.chooses == (task == "classify")
    assert "sst2: film" in prompt.with_labels(["a"]).context("film")


texts = st.text(st.characters(codec="utf-8"), max_size=20)
shots = st.builds(Shot, input=texts, output=texts)


@given(
    prefix=texts, tail=texts, examples=st.lists(shots, max_size=3), separator=texts, text=texts,
    number=st.none() | st.integers(0, 3),
)  # fmt: skip
def test_a_saved_prompt_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, prefix: str, tail: str, examples: list[Shot],
    separator: str, text: str, number: int | None,
) -> None:  # fmt: skip
    prompt = Prompt(
        prefix=prefix, template="{input}" + tail, examples=tuple(examples), separator=separator,
        shots=number,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("prompt") / "prompt.json"
    prompt.save(path)
    again = Prompt.load(path)
    assert again == prompt
    assert again.context(text, again.examples) == prompt.context(text, prompt.examples)
