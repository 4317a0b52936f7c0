"""What is tried on a model, and in which order."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from tinyforge.artifacts.export_folder import ROLES, ExportRecord
from tinyforge.compress.quantize import Scheme, schemes
from tinyforge.errors import ModelError, SettingError

FAMILIES = ["encoder", "encoder-decoder", "decoder"]
PRECISIONS = ["fp32", "bf16", "fp16", "int8", "int4"]


def record(family: Any, **given: Any) -> ExportRecord:
    plain = ExportRecord(
        task={}, family=family, graphs={role: f"{role}.onnx" for role in ROLES[family]},
        precision="fp32", config={}, tokens={}, source="a model", weights="0", parameters=1,
    )  # fmt: skip
    return replace(plain, **given)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_ladder_keeps_to_its_precision(family: str, precision: Any) -> None:
    ladder = schemes(precision, record(family))
    assert {scheme.precision for scheme in ladder} == {precision}
    names = [scheme.name for scheme in ladder]
    assert len(names) == len(set(names)) > 0
    assert all(set(scheme.layers) == ROLES[family] for scheme in ladder)


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_goes_from_the_smallest_to_the_model_as_it_is(family: str) -> None:
    ladder = schemes("auto", record(family))
    order = ["int4", "int8", "fp16", "fp32"]
    places = [order.index(scheme.precision) for scheme in ladder]
    assert places == sorted(places)
    assert {order[place] for place in places} == set(order)
    assert all(part.method == "float" for part in ladder[-1].layers.values())


def test_a_scheme_is_plain_json_and_can_leave_layers_out() -> None:
    scheme = schemes("int4", record("decoder"))[0]
    assert isinstance(scheme, Scheme)
    safer = replace(scheme, keep=(*scheme.keep, "layers.0.mlp.down_proj"))
    assert json.loads(json.dumps(asdict(safer)))["keep"] == ["layers.0.mlp.down_proj"]
    assert safer != scheme


def test_no_head_of_a_classifier_is_rounded() -> None:
    for precision in ("int8", "int4"):
        for scheme in schemes(precision, record("encoder")):  # type: ignore[arg-type]
            assert scheme.head is not None
            assert scheme.head.method == "float"


def test_an_unknown_precision() -> None:
    with pytest.raises(SettingError, match="int4, int8"):
        schemes("int3", record("decoder"))  # type: ignore[arg-type]


def test_a_model_that_is_small_already() -> None:
    with pytest.raises(ModelError, match="smaller already"):
        schemes("int4", record("decoder", precision="int8"))
