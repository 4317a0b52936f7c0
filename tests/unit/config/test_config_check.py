"""Settings without effect, and settings that contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyforge.config.check import CONFLICTS, NO_EFFECT, check_settings
from tinyforge.config.load import load_settings
from tinyforge.config.names import settings_table
from tinyforge.errors import SettingError

ENCODER = {"task": "classify", "family": "encoder", "pretrained": True}
T5 = {"task": "text2text", "family": "encoder-decoder", "pretrained": True}
CHAT = {"task": "instruct", "family": "decoder", "pretrained": True}
SCRATCH = {"task": "language-model", "family": "decoder", "pretrained": False}


@pytest.mark.parametrize(
    ("overrides", "here", "expected"),
    [
        (["data.max_output_length=9"], ENCODER, "data.max_output_length: has no effect"),
        (["data.max_output_length=9"], CHAT, "only encoder-decoder models"),
        (["train.pack=true"], ENCODER, "train.pack: has no effect: only decoders pack rows"),
        (["train.pack=true"], T5, "only decoders pack rows"),
        (["generate.num_beams=2"], ENCODER, "classification generates no text (got 2)"),
        (["generate.top_k=5"], T5, "at temperature 0 the likeliest token is always taken"),
        (["lora.r=4"], ENCODER, "lora.enabled is false (got 4). Set lora.enabled=true"),
        (["model.vocab_size=900"], ENCODER, "a pretrained model keeps its own tokenizer"),
        (["model.shape.d_model=64"], T5, "model.shape: has no effect"),
        (["model.revision=main"], SCRATCH, "a scratch model comes from no hub"),
        (["data.label_separator=;"], T5, "only classification has labels"),
        (["data.multi_label=false"], T5, "only classification has labels (got False)"),
        (["data.label_separator=;", "data.multi_label=false"], ENCODER, "a cell is one label"),
        (["data.prefix=a: "], SCRATCH, "raw text has no input"),
        (["data.system=hi"], T5, "only instruct models read a chat"),
        (["data.test=a.csv", "data.test_share=0.2"], ENCODER, "the test rows come from data.test"),
        (["data.validation=a.csv", "data.validation_share=0.2"], ENCODER, "Give one of the two"),
        (["data.keep_leaks=true"], ENCODER, "no separate test or validation file"),
        (["train.pack=true", "train.bucket=true"], CHAT, "packed rows have no padding"),
        (["train.optimizer=sgd", "train.beta2=0.9"], ENCODER, "no second moment"),
        (["train.rest_learning_rate=0.1"], ENCODER, "only Muon leaves some weights"),
        (["train.best_by=loos"], ENCODER, "not measured while this task trains (got 'loos')"),
        (["train.best_by=accuracy"], T5, "not measured while this task trains"),
        (["train.best_by=macro_f1"], {**ENCODER, "multi_label": True}, "micro_f1 (several)"),
        (["data.validation_share=0", "train.best_by=loss"], ENCODER, "nothing is validated"),
        (["train.label_smoothing=0.1"], {**ENCODER, "multi_label": True}, "no share to spread"),
        (["train.micro_batch_size=9", "train.batch_size=4"], ENCODER, "larger than train.batch"),
        (["train.precision=float16"], {**T5, "model_type": "mt5"}, "overflow in float16"),
        (["data.test_share=0.6", "data.validation_share=0.5"], ENCODER, "nothing is left"),
    ],
)
def test_refused(overrides: list[str], here: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        check_settings(load_settings(None, overrides), **here)  # type: ignore[arg-type]
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "here"),
    [
        ([], ENCODER),
        (["data.max_output_length=9", "generate.num_beams=2"], T5),
        (["train.pack=true", "data.system=hi", "data.prefix=a"], CHAT),
        (["train.pack=false", "lora.enabled=false"], ENCODER),
        (["lora.enabled=true", "lora.r=4"], ENCODER),
        (["model.vocab_size=900", "model.shape.hidden_size=64"], SCRATCH),
        (["data.test=a.csv", "data.test_share=0", "data.keep_leaks=true"], ENCODER),
        (["data.validation_share=0", "train.early_stopping=0"], ENCODER),
        (["generate.temperature=0.7", "generate.top_k=5", "generate.seed=1"], T5),
        (["train.micro_batch_size=4"], ENCODER),
        (["train.best_by=macro_f1"], ENCODER),
        (["train.best_by=micro_f1"], {**ENCODER, "multi_label": True}),
        (["train.best_by=loss"], T5),
        (["train.precision=float16"], {**T5, "model_type": "bart"}),
    ],
)
def test_accepted(overrides: list[str], here: dict[str, object]) -> None:
    check_settings(load_settings(None, overrides), **here)  # type: ignore[arg-type]


def test_what_is_not_known_yet_is_not_refused() -> None:
    check_settings(load_settings(None, ["data.max_output_length=9", "train.pack=true"]))


def test_a_local_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="a local folder has no revisions"):
        load_settings(None, [f"model.name={tmp_path}", "model.revision=main"])


def test_contradictions_are_refused_on_loading() -> None:
    with pytest.raises(SettingError, match="comes from no hub"):
        load_settings(None, ["model.name=scratch:t5-tiny", "model.revision=main"])
    with pytest.raises(SettingError, match="classification generates no text"):
        load_settings(None, ["generate.num_beams=3"], {"task": "classify"})


def test_the_tables_name_settings_that_exist() -> None:
    named = {name for rule in NO_EFFECT for name in rule.names}
    assert named | {conflict.name for conflict in CONFLICTS} <= set(settings_table())
