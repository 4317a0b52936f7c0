"""Settings of exporting."""

from __future__ import annotations

import pytest

from tinyforge.config.export import PRECISIONS, ExportRunSettings, check_export, share
from tinyforge.config.load import load_tree
from tinyforge.config.names import settings_table
from tinyforge.errors import SettingError


@pytest.mark.parametrize(
    ("text", "value"), [("0.5%", 0.005), ("0.005", 0.005), (0.01, 0.01), (" 2 % ", 0.02), (0, 0)]
)
def test_a_share_as_people_write_it(text: object, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0.5", "50%", "-1%", "half", "", "nan", "%", "1e9"])
def test_half_a_per_cent_is_never_taken_for_a_half(text: str) -> None:
    with pytest.raises(SettingError, match=r"--max-drop.*Write for example 0\.5%"):
        share(text)


def test_every_setting_is_described() -> None:
    assert all(setting.description for setting in settings_table(ExportRunSettings).values())


def test_a_format_has_its_precisions() -> None:
    for kind, there in PRECISIONS.items():
        for precision in PRECISIONS["onnx"]:
            direct = {"export.format": kind, "export.precision": precision}
            settings = load_tree(ExportRunSettings, None, (), direct)
            if precision in there:
                check_export(settings)
                continue
            with pytest.raises(SettingError, match=rf"{kind} cannot be written so.*fp32"):
                check_export(settings)


def test_judging_keeps_what_was_given() -> None:
    settings = load_tree(
        ExportRunSettings, None, ["evaluate.max_rows=7", "data.input=q", "generate.num_beams=2"],
        {"export.seed": 5},
    )  # fmt: skip
    judging = settings.judging()
    assert (judging.evaluate.max_rows, judging.data.input, judging.train.seed) == (7, "q", 5)
    assert judging.generate.model_fields_set == {"num_beams"}
    assert judging.data.model_fields_set == {"input"}
