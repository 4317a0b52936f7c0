"""Which number format is chosen, and why."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
import transformers
from training_fakes import Recorder, settings, tiny_model, train

from tinyforge.errors import SettingError
from tinyforge.train import precision as module
from tinyforge.train.precision import (
    LossScale,
    Precision,
    bfloat16_unit,
    choose_precision,
    forward_precision,
)

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without GPU does")


def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_MODEL", 10)
    monkeypatch.setattr(module, "bfloat16_unit", lambda: "AMX")
    found = choose_precision(settings(precision="auto"), tiny_model())
    assert found == Precision("bfloat16", "the processor has AMX", "cpu")
    monkeypatch.setattr(module, "bfloat16_unit", lambda: None)
    assert choose_precision(settings(precision="auto"), tiny_model()).name == "float32"


def test_auto_is_float32_for_a_small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bfloat16_unit", lambda: "AMX")
    found = choose_precision(settings(precision="auto"), tiny_model())
    assert found.name == "float32"
    assert "960 weights" in found.reason


def test_the_unit_is_read_off_the_processor() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        pytest.skip("no /proc/cpuinfo here")
    flags = cpuinfo.read_text().split()
    assert (bfloat16_unit() is not None) == ("avx512_bf16" in flags or "amx_tile" in flags)


def test_float16_is_refused_on_a_processor() -> None:
    with pytest.raises(SettingError, match=r"train\.precision: float16 is for GPUs"):
        choose_precision(settings(precision="float16"), tiny_model())


def test_float16_is_never_for_t5() -> None:
    config = transformers.T5Config(
        vocab_size=40, d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    with pytest.raises(SettingError, match="T5's activations overflow"):
        choose_precision(settings(precision="float16"), model)


def test_products_are_bfloat16_and_weights_stay_float32(tmp_path: Path) -> None:
    model = tiny_model()
    with forward_precision(settings(precision="bfloat16"), model):
        assert model(torch.tensor([[1, 2]])).dtype == torch.bfloat16
    with forward_precision(settings(precision="float32"), model):
        assert model(torch.tensor([[1, 2]])).dtype == torch.float32
    listener = Recorder()
    model, outcome = train(tmp_path, model=model, precision="bfloat16", listener=listener)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert (outcome.precision, listener.started.precision) == ("bfloat16", "bfloat16")
    assert listener.steps[-1].loss < listener.steps[0].loss


def test_a_loss_scale_falls_on_overflow_and_rises_again() -> None:
    scale = LossScale(Precision("float16", "", "cuda"))
    assert scale.overflowed()
    assert scale.scale == LossScale.FIRST / 2
    for _ in range(LossScale.PATIENCE):
        scale.went_well()
    assert scale.scale == LossScale.FIRST
    other = LossScale(Precision("float16", "", "cuda"))
    other.restore(scale.state())
    assert other.state() == scale.state()
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.full((2,), scale.scale)
    scale.unscale([weight])
    assert weight.grad.tolist() == [1.0, 1.0]
    with contextlib.suppress(StopIteration):
        while scale.overflowed():
            pass
    assert scale.scale == LossScale.LOWEST


def test_other_formats_have_no_loss_scale() -> None:
    scale = LossScale(Precision("bfloat16", "", "cpu"))
    assert not scale.overflowed()
    assert scale.scale == 1.0
