"""A decoder's graph with a cache that is written to where it lies.

Llama and its kin: attention is the one operator GroupQueryAttention, which turns positions, masks
and cache into a few loops. The model builder of onnxruntime-genai writes these graphs; here it is
given the model in memory, told to fuse products that read the same input, and changed where it
would be inexact (rotary positions, Gemma's scale) or has no way to say which places' logits are
wanted.
"""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.export.graphs.parts import names
from tinyforge.export.graphs.tidy import finish, save, tie
from tinyforge.export.graphs.traced import silent
from tinyforge.export.graphs.trial import Mismatch, try_decoder

BUILDERS = {
    "LlamaForCausalLM": "LlamaModel",
    "MistralForCausalLM": "MistralModel",
    "Qwen2ForCausalLM": "QwenModel",
    "Qwen3ForCausalLM": "Qwen3Model",
    "GemmaForCausalLM": "GemmaModel",
    "Gemma2ForCausalLM": "Gemma2Model",
    "Gemma3ForCausalLM": "Gemma3Model",
    "GraniteForCausalLM": "GraniteModel",
    "OlmoForCausalLM": "OLMoModel",
    "NemotronForCausalLM": "NemotronModel",
    "Ernie4_5ForCausalLM": "ErnieModel",
}
"""Hugging Face class to the builder's; those that it would take apart in memory are left out."""

LAYERS = {"full_attention", "sliding_attention"}
"""What a layer may attend to: everything before, or a window."""

OPTIONS = {
    "fuse_qkv": True,
    "fuse_mlp_gate_up": True,
    "windowed_kv_cache": False,
    "shared_embeddings": False,
}


class CannotBuild(Exception):  # noqa: N818 - there is another way
    """The builder cannot do this model, or does it wrongly."""


def write(model: Any, path: Path) -> CacheLayout:
    """The graph of a Llama-like decoder.

    Raises:
        CannotBuild: this model's cache cannot be in place; nothing is left at ``path``.
    """
    kind = type(model).__name__
    if kind not in BUILDERS:
        raise CannotBuild("its attention is not of Llama's kind")
    if find_spec("onnxruntime_genai") is None:
        raise CannotBuild("onnxruntime-genai is not installed (pip install 'tinyforge[onnx]')")
    if not set(_layer_types(model.config)) <= LAYERS:
        raise CannotBuild("some of its layers do not attend as Llama's do")
    try:
        with silent(), _unheard(), torch.no_grad():
            graph, layout = _build(model, BUILDERS[kind])
    except Exception as error:  # the builder raises whatever it stumbles over
        raise CannotBuild(f"the builder fails: {_line(error)}") from error
    save(graph, path)
    del graph
    try:
        try_decoder(model, path, layout)
    except Mismatch as error:
        for file in (path, path.with_name(f"{path.name}.data")):
            file.unlink(missing_ok=True)
        raise CannotBuild(f"its {error}") from error
    return layout


def _build(model: Any, name: str) -> tuple[Any, CacheLayout]:
    """The builder's graph with our names."""
    import onnx_ir as ir

    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.layer_types = _layer_types(config)
    _flatten_rope(config)
    with _builders() as builders:
        kind = _in_memory(getattr(builders, name), model)
        builder = kind(config, ir.DataType.FLOAT, ir.DataType.FLOAT, "cpu", "", dict(OPTIONS))
        builder.make_model("")
    layers, heads, size = builder.num_layers, builder.num_kv_heads, builder.head_size
    graph = builder.model
    _share_head(graph.graph, model)
    for weight in list(graph.graph.initializers.values()):
        weight.name = weight.name.replace(".MatMul.", ".").replace(".Add.", ".")
    past, present = ("rows", heads, "past", size), ("rows", heads, "present", size)
    axes: dict[str, Sequence[str | int]] = {
        "input_ids": ("rows", "n"), "attention_mask": ("rows", "places"), "keep": ("kept",),
        "logits": ("kept", model.get_output_embeddings().weight.shape[0]),
        **dict.fromkeys(names("past_key_values", layers), past),
        **dict.fromkeys(names("present", layers), present),
    }  # fmt: skip
    finish(graph, axes)
    return graph, CacheLayout("in-place", layers=layers, heads=heads, head_size=size)


def _in_memory(base: Any, model: Any) -> Any:
    """A builder class that reads a model in memory and computes logits where they are wanted."""
    import onnx_ir as ir

    class InMemory(base):  # type: ignore[misc]
        def load_weights(self, input_path: str) -> Any:
            return model

        def has_lm_head(self, module: Any) -> bool:
            return module is model.get_output_embeddings()

        def make_inputs_and_outputs(self) -> None:
            for table, value in (
                (self.input_names, "keep"), (self.input_types, ir.DataType.INT64),
                (self.input_shapes, ["kept"]),
            ):  # fmt: skip
                table["keep"] = value
            super().make_inputs_and_outputs()

        def make_embedding(self, embedding: Any) -> None:
            if type(model).__name__.startswith("Gemma"):  # the builder rounds it
                self.embed_attrs["scale"] = float(model.config.hidden_size**0.5)
            super().make_embedding(embedding)

        def make_rotary_embedding_caches_from_scratch(self) -> tuple[Any, Any]:
            return _rotary_tables(self, model)

        def make_attention_mask_reformatting_for_gqa(self) -> None:
            super().make_attention_mask_reformatting_for_gqa()
            _count_at_least_the_new(self)

        def prunes_hidden_rows(self) -> bool:
            return True

        def make_selected_hidden_rows(self) -> None:
            _keep_rows(self)

    return InMemory


def _flatten_rope(config: Any) -> None:
    """Gemma 3 has rotary positions for each kind of layer, which the builder knows by older names.

    Args:
        config: changed in place.
    """
    kinds = config.rope_parameters
    if set(kinds) >= LAYERS:
        config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]
        config.rope_parameters = dict(kinds["full_attention"])


def _rotary_tables(builder: Any, model: Any) -> tuple[Any, Any]:
    """The model's own cosines and sines, (positions, head size / 2)."""
    rotary = model.model.rotary_emb
    kind = ""
    if not hasattr(rotary, "inv_freq"):  # Gemma 3: for all layers, then for those with windows
        made = getattr(builder, "tables_made", 0)
        builder.tables_made = made + 1
        kind = f"{('full', 'sliding')[made]}_attention_"
    frequencies = getattr(rotary, f"{kind}inv_freq")
    positions = torch.arange(builder.rope_attrs["cache_length"], dtype=torch.float32)
    angles = torch.outer(positions, frequencies.float())
    scale = getattr(rotary, f"{kind}attention_scaling", 1.0)
    return angles.cos() * scale, angles.sin() * scale


def _count_at_least_the_new(builder: Any) -> None:
    """A row counts as many tokens as are new, at the least.

    Otherwise one without any, an idle place in a batch, would be written to in front of its cache.
    """
    import onnx_ir as ir

    base = "/model/attn_mask_reformat/new"
    whole, one = "/model/constants/INT64/1", "/model/constants/INT64/[1]"
    builder.make_shape(f"{base}/Shape", builder.input_names["input_ids"], shape=[2])
    builder.make_gather(
        f"{base}/Gather", [f"{base}/Shape/output_0", whole], dtype=ir.DataType.INT64, shape=[],
        axis=0,
    )  # fmt: skip
    builder.make_sub(
        f"{base}/Sub", [f"{base}/Gather/output_0", one], dtype=ir.DataType.INT64, shape=[1]
    )
    builder.make_cast(f"{base}/Cast", f"{base}/Sub/output_0", dtype=ir.DataType.INT32, shape=[1])
    builder.make_node(
        "Max", [f"{builder.mask_attrs['seqlens_k']}/output_0", f"{base}/Cast/output_0"],
        [f"{base}/Max/output_0"], name=f"{base}/Max",
    )  # fmt: skip
    builder.make_value(f"{base}/Max/output_0", ir.DataType.INT32, shape=["rows"])
    builder.mask_attrs["seqlens_k"] = f"{base}/Max"


def _keep_rows(builder: Any) -> None:
    """What follows the last attention is computed for the kept places only."""
    import onnx_ir as ir

    if builder.hidden_rows_dim == "kept":
        return
    chosen: dict[str, str] = {}
    for key in ("root_input", "skip_input"):
        name = builder.layernorm_attrs[key]
        if name not in chosen:
            base = f"/model/kept/{key}"
            width = f"/model/constants/INT64/[-1, {builder.hidden_size}]"
            builder.make_reshape(
                f"{base}/Reshape", [name, width], dtype=ir.DataType.FLOAT, shape=None
            )
            builder.make_gather(
                f"{base}/Gather", [f"{base}/Reshape/output_0", "keep"], dtype=ir.DataType.FLOAT,
                shape=None, axis=0,
            )  # fmt: skip
            chosen[name] = f"{base}/Gather/output_0"
        builder.layernorm_attrs[key] = chosen[name]
    builder.hidden_rows_dim = "kept"


def _share_head(graph: Any, model: Any) -> None:
    """A head that is the embedding is stored once."""
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    if head.data_ptr() != embedding.data_ptr():
        return
    stored = graph.initializers["model.embed_tokens.weight"]
    product = graph.initializers["lm_head.MatMul.weight"]
    graph.initializers.pop(stored.name)
    stored.replace_all_uses_with(product)
    tie(graph, product)


def _layer_types(config: Any) -> list[str]:
    """What each layer attends to; Mistral's config only says how wide the windows of all are."""
    window = getattr(config, "sliding_window", None)
    same = ["sliding_attention" if window else "full_attention"] * config.num_hidden_layers
    return list(getattr(config, "layer_types", None) or same)


@contextmanager
def _unheard() -> Iterator[None]:
    """Inside, nothing is printed: the builder tells of each layer."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _builders() -> Iterator[Any]:
    """The builder's classes. It finds its own parts by adding its folder to ``sys.path``."""
    before = list(sys.path)
    try:
        import_module("onnxruntime_genai.models")
        yield import_module("onnxruntime_genai.models.builders")
    finally:
        sys.path[:] = before


def _line(error: Exception) -> str:
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}"[:200]
