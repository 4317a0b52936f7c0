"""What an export reads is compared with what the source reads, to the last id."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import task_models
from export_runs import change_json

from tinyforge.artifacts.export_folder import ExportRecord
from tinyforge.export.gate.reading import check_reading
from tinyforge.export.graphs.record import describe
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.save import generation_config
from tinyforge.records.examples import Example
from tinyforge.tasks.classify import Classify
from tinyforge.tasks.instruct import Instruct
from tinyforge.tasks.text2text import EncoderDecoderText

ROWS = [Example(input="the cat sat", output="on the mat"), Example(input="a", output="b")]


def classifier() -> TorchModel:
    model = task_models.classifier("bert", 3)
    task = Classify(task_models.bert_tokenizer(), model.config, ["a", "b", "c"])
    return TorchModel.from_loaded(model, task.tokenizer, task)


def writer() -> TorchModel:
    model = task_models.language_model("t5-tied")
    task = EncoderDecoderText(task_models.t5_tokenizer(), model.config, max_new_tokens=9)
    return TorchModel.from_loaded(model, task.tokenizer, task)


def chatter() -> TorchModel:
    model = task_models.language_model("llama")
    task = Instruct(task_models.gpt_tokenizer(start=True), model.config, system="be kind")
    return TorchModel.from_loaded(model, task.tokenizer, task)


MAKERS = {"classifier": classifier, "writer": writer, "chatter": chatter}


class Setting:
    """A source, and an export of it that a test spoils."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.source, twin = MAKERS[kind](), MAKERS[kind]()
        self.exported: Any = SimpleNamespace(task=twin.task, tokenizer=twin.tokenizer)
        self.record: ExportRecord = describe(self.source)
        self.folder = folder
        self.source.tokenizer.save_pretrained(folder)
        self.source.model.config.save_pretrained(folder)
        self.save_generation()

    def save_generation(self) -> None:
        """As an export has it."""
        model = self.source.model
        if model.can_generate():
            most = self.source.task.state().get("max_new_tokens")
            generation_config(model, most).save_pretrained(self.folder)

    def problem(self) -> str:
        """What the check says; empty where it passes."""
        rows = ROWS if self.source.task.name != "classify" else [Example(input="the cat")]
        check = check_reading(self.source, self.exported, rows, self.folder, self.record)
        return "" if check.passed else check.sentence

    def config(self, **changed: Any) -> None:
        self.record = replace(self.record, config={**self.record.config, **changed})


@pytest.fixture(params=list(MAKERS))
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    return Setting(request.param, tmp_path)


def test_a_true_copy_passes(setting: Setting) -> None:
    assert setting.problem() == ""


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [("classifier", "pad_token_id", 17), ("classifier", "max_positions", 3),
     ("classifier", "num_labels", 9), ("writer", "pad_token_id", 17),
     ("writer", "decoder_start_token_id", 4), ("writer", "eos_token_id", 77),
     ("chatter", "max_positions", 3), ("chatter", "eos_token_id", None)],
)  # fmt: skip
def test_the_record_has_to_be_the_sources(
    kind: str, name: str, value: int | None, tmp_path: Path
) -> None:
    setting = Setting(kind, tmp_path)
    setting.config(**{name: value})
    assert str(value or []) in setting.problem()


def test_several_end_tokens_must_all_be_there(tmp_path: Path) -> None:
    setting = Setting("chatter", tmp_path)
    setting.source.model.generation_config.eos_token_id = [1, 3]
    assert "end at [1] instead of [1, 3]" in setting.problem()
    setting.config(eos_token_id=[3, 1])
    setting.save_generation()
    assert setting.problem() == ""


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("classifier", "labels", ("b", "a", "c"), "labels are others, or stand in another"),
        ("classifier", "multi_label", True, "another number of labels"),
        ("classifier", "prefix", "topic: ", "another prefix"),
        ("writer", "prefix", "topic: ", "another prefix"),
        ("writer", "max_new_tokens", 3, "answers may have another length"),
        ("chatter", "system", "be rude", "system message"),
    ],
)
def test_the_task_has_to_be_the_sources(
    kind: str, field: str, value: object, said: str, tmp_path: Path
) -> None:
    setting = Setting(kind, tmp_path)
    setattr(setting.exported.task, field, value)
    assert said in setting.problem()


def test_another_template(tmp_path: Path) -> None:
    setting = Setting("chatter", tmp_path)
    tokenizer = setting.exported.tokenizer
    tokenizer.chat_template = tokenizer.chat_template.replace("### ", "## ")
    assert "becomes other tokens" in setting.problem()


def test_a_start_token_that_is_not_put_before_a_text(tmp_path: Path) -> None:
    setting = Setting("classifier", tmp_path)
    tokenizer = copy.deepcopy(setting.exported.tokenizer)
    tokenizer.backend_tokenizer.post_processor = None
    setting.exported.task.tokenizer = setting.exported.tokenizer = tokenizer
    assert "becomes other tokens" in setting.problem()


def test_other_weights(setting: Setting) -> None:
    setting.record = replace(setting.record, weights="0123456789ab")
    assert "made from other weights" in setting.problem()


def test_other_settings_of_writing(tmp_path: Path) -> None:
    setting = Setting("writer", tmp_path)
    setting.record = replace(setting.record, generation={"temperature": 1.0})
    assert "writes with other settings" in setting.problem()


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_sides_are_looked_at_in_the_files(setting: Setting, side: str) -> None:
    now = getattr(setting.source.tokenizer, side)
    other = "left" if now == "right" else "right"
    change_json(setting.folder / "tokenizer_config.json", lambda c: c.update({side: other}))
    assert side in setting.problem()


def test_a_missing_or_broken_tokenizer_file(setting: Setting) -> None:
    path = setting.folder / "tokenizer.json"
    path.write_text("{")
    assert "damaged" in setting.problem()
    path.unlink()
    assert "tokenizer.json is missing" in setting.problem()


def test_labels_of_other_programs(tmp_path: Path) -> None:
    setting = Setting("classifier", tmp_path)
    config = copy.deepcopy(setting.source.model.config)
    config.id2label = {0: "LABEL_1", 1: "LABEL_0", 2: "LABEL_2"}
    config.save_pretrained(tmp_path)
    assert "another order" in setting.problem()


@pytest.mark.parametrize(
    ("kind", "file", "name", "value"),
    [
        ("writer", "generation_config.json", "max_new_tokens", 3),
        ("writer", "generation_config.json", "max_length", 5),
        ("writer", "generation_config.json", "num_beams", 4),
        ("chatter", "generation_config.json", "do_sample", True),
        ("chatter", "generation_config.json", "eos_token_id", None),
        ("chatter", "config.json", "rms_norm_eps", 0.5),
        ("writer", "config.json", "decoder_start_token_id", 4),
        ("classifier", "config.json", "pad_token_id", 3),
        ("classifier", "config.json", "problem_type", "multi_label_classification"),
        ("classifier", "config.json", "hidden_size", "wide"),
    ],
)
def test_what_other_programs_read(
    kind: str, file: str, name: str, value: object, tmp_path: Path
) -> None:
    """Nothing of ours reads these files again, so that nothing else would see it."""
    setting = Setting(kind, tmp_path)
    change_json(tmp_path / file, lambda config: config.update({name: value}))
    assert file in setting.problem()
    assert name in setting.problem()


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_missing_or_broken_config(file: str, tmp_path: Path) -> None:
    setting = Setting("writer", tmp_path)
    (tmp_path / file).write_text("[")
    assert f"{file} is missing or damaged" in setting.problem()
    (tmp_path / file).unlink()
    assert f"{file} is missing or damaged" in setting.problem()


def test_labels_by_number_and_numbers_by_label(tmp_path: Path) -> None:
    setting = Setting("classifier", tmp_path)
    turned = {"LABEL_0": 1, "LABEL_1": 0, "LABEL_2": 2}
    change_json(tmp_path / "config.json", lambda config: config.update(label2id=turned))
    assert "label2id" in setting.problem()


@pytest.mark.parametrize(("name", "value"), [("pad_token", "<end>"), ("bos_token", None)])
def test_named_tokens_of_the_record(name: str, value: object, tmp_path: Path) -> None:
    setting = Setting("chatter", tmp_path)
    setting.record = replace(setting.record, tokens={**setting.record.tokens, name: value})
    assert f"its {name} is {value!r}" in setting.problem()


def test_a_template_whose_change_no_row_reaches(tmp_path: Path) -> None:
    """A branch for tools, of which no row has any."""
    setting = Setting("chatter", tmp_path)
    tokens = setting.record.tokens
    longer = tokens["chat_template"] + "{% if tools %} {{ tools }}{% endif %}"
    setting.record = replace(setting.record, tokens={**tokens, "chat_template": longer})
    assert "its chat template is another one" in setting.problem()


def test_an_exported_task_that_fails(tmp_path: Path) -> None:
    setting = Setting("writer", tmp_path)

    def fail(examples: object) -> None:
        raise KeyError("torn")

    setting.exported.task.encode = fail
    assert "cannot read the rows" in setting.problem()
