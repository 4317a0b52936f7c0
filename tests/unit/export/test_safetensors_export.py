"""A plain folder in any precision, which other tools load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from graph_models import source
from safetensors import safe_open

from tinyforge.errors import ModelError
from tinyforge.export.safetensors import write_safetensors
from tinyforge.inference.torch_model import TorchModel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["bert", "t5, gated, own head", "gpt2", "qwen3"])
def test_every_weight_has_the_precision_and_its_value(
    name: str, precision: str, tmp_path: Path
) -> None:
    model = source(name)
    write_safetensors(model, tmp_path, precision=precision)  # type: ignore[arg-type]
    own = model.model.state_dict()
    with safe_open(str(tmp_path / "model.safetensors"), framework="pt") as stored:
        keys = list(stored.keys())
        assert keys
        for key in keys:
            weight = stored.get_tensor(key)
            assert weight.dtype == DTYPES[precision], key
            assert torch.equal(weight, own[key].to(DTYPES[precision])), key
    assert next(model.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("name", ["bert", "t5, own head", "llama, tied"])
def test_it_answers_as_the_model_does(name: str, tmp_path: Path) -> None:
    model = source(name)
    write_safetensors(model, tmp_path, precision="fp32")
    again = TorchModel.load(tmp_path)
    for text in ("the cat", "how are you doing today?"):
        one, other = model.predict(text), again.predict(text)
        assert one.output == other.output
        assert one.confidence == pytest.approx(other.confidence, rel=1e-5)


def test_plain_transformers_loads_it(tmp_path: Path) -> None:
    model = source("qwen3")
    write_safetensors(model, tmp_path, precision="bf16")
    loaded = hf.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    assert loaded.config.tie_word_embeddings
    weight = loaded.get_output_embeddings().weight
    assert weight.data_ptr() == loaded.get_input_embeddings().weight.data_ptr()


def test_numbers_that_are_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    model = source("gpt2")
    with torch.no_grad():
        model.model.transformer.h[0].mlp.c_fc.weight[0, 0] = 1e5
    with pytest.raises(ModelError, match=r"c_fc.weight holds numbers that are too large"):
        write_safetensors(model, tmp_path, precision="fp16")
    write_safetensors(model, tmp_path, precision="bf16")
