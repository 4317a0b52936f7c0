"""Settings from files, overrides, flags and keywords; every mistake ends in one helpful line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.config.load import keyword_settings, load_settings
from tinyforge.config.names import (
    SYNONYMS,
    explicit,
    keyword_names,
    nearest,
    settings_table,
    value_of,
)
from tinyforge.config.settings import Settings
from tinyforge.errors import SettingError


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(*overrides: str) -> str:
    with pytest.raises(SettingError) as caught:
        load_settings(None, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_nothing_given_is_the_defaults() -> None:
    assert load_settings() == Settings()
    assert explicit(load_settings()) == []


def test_later_places_win(tmp_path: Path) -> None:
    path = write(tmp_path, "task: classify\ntrain:\n  epochs: 1\n  seed: 1\n  clip_norm: 2\n")
    settings = load_settings(path, ["train.seed=2", "train.clip_norm=3"], {"train.clip_norm": 4})
    assert (settings.train.epochs, settings.train.seed, settings.train.clip_norm) == (1, 2, 4)
    assert explicit(settings) == ["task", "train.epochs", "train.clip_norm", "train.seed"]


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_settings(None, ["train.epochs=2"], {"train.epochs": None}).train.epochs == 2


def test_null_takes_an_earlier_value_away(tmp_path: Path) -> None:
    path = write(tmp_path, "train: {epochs: 3}")
    settings = load_settings(path, ["train.epochs=null"])
    assert settings.train.epochs is None
    assert explicit(settings) == []


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("train.learning_rate=1e-4", "train.learning_rate", 1e-4),
        ("train.max_steps=1e3", "train.max_steps", 1000),
        ("train.bucket=no", "train.bucket", False),
        ("data.prefix=translate: ", "data.prefix", "translate: "),
        ("data.prefix='a '", "data.prefix", "a "),
        ('data.encoding="latin\\x2d1"', "data.encoding", "latin-1"),
        ("data.input=1", "data.input", "1"),
        ("data.input=true", "data.input", "true"),
        ("data.input=none", "data.input", None),
        ("generate.stop=a, b", "generate.stop", ("a", "b")),
        ('generate.stop=["\\n", ","]', "generate.stop", ("\n", ",")),
        ("generate.stop=", "generate.stop", ()),
        ("model.shape.num_layers=3", "model.shape", {"num_layers": 3}),
        ("model.shape={d_model: 64}", "model.shape", {"d_model": 64}),
        ("train.schedule=constant", "train.schedule", "constant"),
        ("model.name=a=b", "model.name", "a=b"),
    ],
)
def test_text_becomes_a_value(text: str, name: str, value: object) -> None:
    assert value_of(load_settings(None, [text]), name) == value


def test_table_entries_add_up() -> None:
    settings = load_settings(None, ["model.shape.d_model=64", "model.shape.num_layers=2"])
    assert settings.model.shape == {"d_model": 64, "num_layers": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=abc", "train.epochs: must be a number above 0 (got 'abc')"),
        ("train.epochs=0", "train.epochs: must be a number above 0 (got 0)"),
        ("train.epochs=true", "must be a number above 0 (got True)"),
        ("train.learning_rate=nan", "must be a number above 0 (got 'nan')"),
        ("train.learning_rate=inf", "must be a number above 0 (got 'inf')"),
        ("train.max_steps=1.5", "must be a whole number, at least 1 (got 1.5)"),
        ("train.schedule=cosin", "must be one of linear, cosine, constant, wsd (got 'cosin')"),
        ("data.test_share=1", "must be a number, at least 0 and below 1 (got 1)"),
        ("train.trackers=wandb,x", "must be a list of tensorboard / wandb / mlflow (got 'x')"),
        (
            "model.shape.num_layers=two",
            "num_layers: must be a whole number (got 'two')",
        ),
        ("train.bucket=[", "train.bucket: must be true or false (got '[')"),
        ("lora.r=null", "lora.r: must be a whole number, at least 1 (got 'null')"),
        ("train.epochs", "--set: not of the form name=value (got 'train.epochs')"),
        ("=3", "--set: not of the form name=value"),
        ("train=5", "train is a group of settings. Name one of them, for example train.epochs"),
    ],
)
def test_wrong_values_say_what_is_allowed(text: str, expected: str) -> None:
    assert expected in message(text)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("train.lerning_rate", "Did you mean 'train.learning_rate'?"),
        ("learning_rate", "Did you mean 'train.learning_rate'?"),
        ("model.learning_rate", "Did you mean 'train.learning_rate'?"),
        ("data.batch_size", "Did you mean 'train.batch_size' or 'generate.batch_size'?"),
        ("num_epochs", "Did you mean 'train.epochs'?"),
        ("train.use_lora", "Did you mean 'lora.enabled'?"),
        ("train.zzzzz", "Settings of train: train.epochs"),
        ("qqq.zzzzz", "the stages are data, model, lora, preference, train, evaluate, generate"),
    ],
)
def test_unknown_names_are_matched_across_stages(name: str, meant: str) -> None:
    text = message(f"{name}=1")
    assert f"unknown setting (got {name!r})" in text
    assert meant in text


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("train:\n  epochs: 3\n  lerning_rate: 1", 3, "unknown setting (got 'train.lerning_rate')"),
        ("train:\n  epochs: x", 2, "train.epochs must be a number above 0 (got 'x')"),
        ("task: classify\ntask: instruct", 2, "set twice in this file (got 'task')"),
        ("a: b: c", 1, "not valid YAML"),
        ("- 1\n- 2", 1, "the file must hold names and values"),
        ("train: 3", 1, "train must hold names and values"),
        ("train:\n  schedule: cosin", 2, "train.schedule must be one of linear"),
        ("? [a]\n: 1", 1, "a setting's name must be text"),
    ],
)
def test_mistakes_in_a_file_name_their_line(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "train:\n", "train: {}\n"])
def test_empty_files_and_stages_are_fine(tmp_path: Path, text: str) -> None:
    assert load_settings(write(tmp_path, text)) == Settings()


def test_texts_in_a_file_keep_their_spelling(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {input: no, output: 007}\nmodel.revision: 1e5\n")
    settings = load_settings(path)
    assert (settings.data.input, settings.data.output) == ("no", "007")
    assert settings.model.revision == "1e5"


def test_merge_keys_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    text = "evaluate: &rows {max_rows: 5}\ndata: {<<: *rows, input: a}\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_settings(path).data.max_rows == 5


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    path = write(tmp_path, "data:\n  input: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(SettingError, match="not valid YAML: could not determine a constructor"):
        load_settings(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such settings file"):
        load_settings(tmp_path / "absent.yaml")
    with pytest.raises(SettingError, match="cannot read the settings"):
        load_settings(tmp_path)
    (tmp_path / "utf16.yaml").write_bytes("task: classify".encode("utf-16"))
    with pytest.raises(SettingError, match="not UTF-8"):
        load_settings(tmp_path / "utf16.yaml")
    deep = write(tmp_path, "task: " + "[" * 20_000)
    with pytest.raises(SettingError, match="nested too deep"):
        load_settings(deep)


def test_stages_that_a_verb_does_not_use_are_refused() -> None:
    with pytest.raises(SettingError, match=r"train.epochs: has no effect here"):
        load_settings(None, ["train.epochs=3"], only=("data", "generate"))
    assert load_settings(None, ["data.max_rows=3"], only=("data",)).data.max_rows == 3


def test_keywords_are_mapped() -> None:
    assert keyword_settings(
        {"model": "m", "num_epochs": 3, "use_peft": True, "learning_rate": 1e-3, "task": "classify",
         "train.clip_norm": 2, "data": {"input": "a"}, "model.shape.d_model": 8}
    ) == {
        "model.name": "m", "train.epochs": 3, "lora.enabled": True, "train.learning_rate": 1e-3,
        "task": "classify", "train.clip_norm": 2, "data.input": "a", "model.shape.d_model": 8,
    }  # fmt: skip


def test_keyword_mistakes() -> None:
    with pytest.raises(SettingError, match=r"Did you mean 'train\.learning_rate'"):
        keyword_settings({"learning_rat": 1})
    with pytest.raises(SettingError, match=r"train.epochs: given twice. Leave out 'num_epochs'"):
        keyword_settings({"epochs": 1, "num_epochs": 2})
    assert keyword_settings({"epochs": 1, "num_epochs": None}) == {"train.epochs": 1}


def test_synonyms_name_settings_that_exist() -> None:
    assert set(SYNONYMS.values()) <= set(settings_table())
    assert set(keyword_names().values()) <= set(settings_table())


def test_values_from_python_keep_their_meaning() -> None:
    direct = {"train.max_steps": np.int64(5), "train.learning_rate": np.float32(0.5),
              "data.test": Path("a.jsonl"), "generate.stop": "x"}  # fmt: skip
    settings = load_settings(None, (), direct)
    assert settings.train.max_steps == 5
    assert settings.train.learning_rate == 0.5
    assert settings.data.test == "a.jsonl"
    assert settings.generate.stop == ("x",)


def test_every_default_passes_its_own_check() -> None:
    for name, setting in settings_table().items():
        if setting.default is not None and not name.startswith("lora.") and name != "model.shape":
            loaded = Settings.model_validate(_nested(name, setting.default))
            assert value_of(loaded, name) == setting.default
        assert setting.description, name


def _nested(name: str, value: object) -> dict[str, object]:
    stage, _, field = name.rpartition(".")
    return {stage: {field: value}} if stage else {field: value}


def refusal(text: str) -> str | None:
    """The error's line; None where the override is taken."""
    try:
        load_settings(None, [text])
    except SettingError as problem:
        return str(problem)
    return None


@given(st.text(max_size=40))
def test_any_override_is_a_value_or_one_line(text: str) -> None:
    assert "\n" not in (refusal(text) or "")


@given(st.sampled_from(sorted(settings_table())), st.text(max_size=30))
def test_any_value_is_taken_or_refused_in_one_line(name: str, value: str) -> None:
    line = refusal(f"{name}={value}")
    assert line is None or (name in line and "\n" not in line)


@given(st.text(min_size=1, max_size=30))
def test_nearest_always_says_something(name: str) -> None:
    assert nearest(name)
