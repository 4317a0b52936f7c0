"""Graphs of decoders: logits with a cache, step by step and in chunks, as whoever runs them feeds
them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from graph_models import (
    GROWING,
    IN_PLACE,
    Floats,
    Ids,
    Running,
    batch,
    each,
    past_of,
    source,
    wanted_logits,
)

from tinyforge.export.graphs import in_place, write_graphs

TOTAL = 40
STEPS = (7, 1, 1, 12, 3, 16)


def rows(model: Any, before: Sequence[int], total: int = TOTAL) -> tuple[Ids, list[Floats]]:
    """Random rows, of which each begins at its own place; and the logits of each alone."""
    ids, _ = batch(model, [total] * len(before), seed=len(before))
    return ids, [wanted_logits(model, ids[r, gap:]) for r, gap in enumerate(before)]


@pytest.mark.parametrize("name", each(GROWING))
def test_growing_rows_behind_masked_places(name: str, exported: Callable) -> None:
    model, folder, record = exported(name)
    assert record.cache.kind == "growing"
    graph = Running(record.graph(folder, "decoder"))
    before = [0, 5, 19, 1]
    ids, wanted = rows(model.model, before)
    seen = (np.arange(TOTAL) >= np.array(before)[:, None]).astype(np.int64)
    past, start = graph.nothing_past(4), 0
    for n in STEPS:
        end = start + n
        feeds = {
            "input_ids": ids[:, start:end], "attention_mask": seen[:, :end],
            "keep": np.arange(4 * n), **past,
        }  # fmt: skip
        if record.cache.positions:
            places = np.arange(start, end) - np.array(before)[:, None]
            feeds["position_ids"] = np.maximum(places, 0)
        found = graph(feeds)
        logits = found["logits"].reshape(4, n, -1)
        for row, gap in enumerate(before):
            first = max(start, gap)
            if first < end:
                right = wanted[row][first - gap : end - gap]
                np.testing.assert_allclose(logits[row, first - start :], right, rtol=0, atol=1e-4)
        past, start = past_of(found), end
        assert past["past_key_values.0.key"].shape[2] == end


@pytest.mark.parametrize("name", each(IN_PLACE))
def test_in_place_rows_of_different_lengths(name: str, exported: Callable) -> None:
    """As the engine does it: prompts of all rows, more of single ones, steps for all at once."""
    model, folder, record = exported(name)
    assert record.cache.kind == "in-place"
    assert not record.cache.positions
    graph = Running(record.graph(folder, "decoder"))
    room, lengths = TOTAL, [9, 1, 14]
    ids, _ = batch(model.model, [TOTAL] * 3, seed=5)
    wanted = [wanted_logits(model.model, row) for row in ids]
    prompts = np.where(np.arange(14) < np.array(lengths)[:, None], ids[:, :14], 6)
    keep = [row * 14 + i for row, n in enumerate(lengths) for i in range(n)]
    found = graph(
        {"input_ids": prompts, "attention_mask": np.ones_like(prompts), "keep": np.array(keep),
         **graph.nothing_past(3, room)}
    )  # fmt: skip
    right = np.concatenate([wanted[row][:n] for row, n in enumerate(lengths)])
    np.testing.assert_allclose(found["logits"], right, rtol=0, atol=1e-4)
    cache = past_of(found)
    assert cache["past_key_values.0.key"].shape[2] == room
    for row, chunk in ((1, 7), (2, 3), (1, 2)):
        start, end = lengths[row], lengths[row] + chunk
        found = graph(
            {"input_ids": ids[row : row + 1, start:end], "keep": np.arange(chunk),
             "attention_mask": (np.arange(room) < end).astype(np.int64)[None],
             **{key: value[row : row + 1] for key, value in cache.items()}}
        )  # fmt: skip
        np.testing.assert_allclose(found["logits"], wanted[row][start:end], rtol=0, atol=1e-4)
        for key, value in past_of(found).items():
            cache[key][row] = value[0]
        lengths[row] = end
    for width in (room, room, 30, 25):
        mask = (np.arange(width) <= np.array(lengths)[:, None]).astype(np.int64)
        tokens = np.array([[ids[row, n]] for row, n in enumerate(lengths)])
        found = graph({"input_ids": tokens, "attention_mask": mask, "keep": np.arange(3), **cache})
        right = np.stack([wanted[row][n] for row, n in enumerate(lengths)])
        np.testing.assert_allclose(found["logits"], right, rtol=0, atol=1e-4)
        cache = past_of(found)
        lengths = [n + 1 for n in lengths]


def test_in_place_present_may_be_the_memory_of_past(exported: Callable) -> None:
    model, folder, record = exported("llama")
    graph = Running(record.graph(folder, "decoder"))
    ids, _ = batch(model.model, [12])
    wanted = wanted_logits(model.model, ids[0])
    cache = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(value)
        for name, value in graph.nothing_past(1, 24).items()
    }
    start = 0
    for n in (4, 1, 1, 5, 1):
        end = start + n
        binding = graph.session.io_binding()
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids[:, start:end]))
        binding.bind_cpu_input("attention_mask", np.ones((1, end), np.int64))
        binding.bind_cpu_input("keep", np.arange(n))
        for name, value in cache.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), value)
        binding.bind_output("logits", "cpu")
        graph.session.run_with_iobinding(binding)
        logits = binding.get_outputs()[-1].numpy()
        np.testing.assert_allclose(logits, wanted[start:end], rtol=0, atol=1e-4)
        start = end


def test_a_row_that_a_step_is_not_meant_for_may_have_any_count(exported: Callable) -> None:
    model, folder, record = exported("llama")
    graph = Running(record.graph(folder, "decoder"))
    ids, _ = batch(model.model, [9, 9, 9])
    wanted = wanted_logits(model.model, ids[0])
    found = graph(
        {"input_ids": ids, "attention_mask": np.array([[1] * 9, [0] * 9, [1] * 2 + [0] * 7]),
         "keep": np.arange(9), **graph.nothing_past(3, 16)}
    )  # fmt: skip
    np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=1e-4)
    mask = np.zeros((3, 16), np.int64)
    mask[0, :9], mask[2, :] = 1, 1
    again = graph(
        {"input_ids": ids[:, 8:], "attention_mask": mask, "keep": np.arange(1),
         **past_of(found)}
    )  # fmt: skip
    np.testing.assert_allclose(again["logits"][0], wanted[8], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama, tied", "gemma2"])
def test_only_the_places_that_are_kept_have_logits(name: str, exported: Callable) -> None:
    model, folder, record = exported(name)
    graph = Running(record.graph(folder, "decoder"))
    ids, mask = batch(model.model, [6, 6])
    feeds = {"input_ids": ids, "attention_mask": mask, **graph.nothing_past(2)}
    if record.cache.positions:
        feeds["position_ids"] = np.tile(np.arange(6), (2, 1))
    every = graph({**feeds, "keep": np.arange(12)})["logits"]
    for keep in ([11], [5, 0], [], [3, 3]):
        some = graph({**feeds, "keep": np.array(keep, np.int64)})["logits"]
        assert some.shape == (len(keep), every.shape[1])
        np.testing.assert_allclose(some, every[keep], rtol=0, atol=1e-5)


def test_the_layout_is_the_models(exported: Callable) -> None:
    _, _, record = exported("llama")
    assert (record.cache.layers, record.cache.heads, record.cache.head_size) == (2, 2, 16)
    _, folder, record = exported("gpt2")
    assert (record.cache.layers, record.cache.heads, record.cache.head_size) == (2, 2, 16)
    graph = Running(record.graph(folder, "decoder"))
    assert set(graph.inputs) == {
        "input_ids", "attention_mask", "position_ids", "keep",
        *(f"past_key_values.{i}.{part}" for i in range(2) for part in ("key", "value")),
    }  # fmt: skip
    assert graph.outputs["logits"].shape == ["kept", record.config["vocab_size"]]


@pytest.mark.parametrize("name", ["gpt2", "llama, tied", "qwen3"])
def test_a_head_that_is_the_embedding_is_stored_once(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    model, folder, record = exported(name)
    weights = onnx.load(record.graph(folder, "decoder")).graph.initializer
    shape = tuple(model.model.get_input_embeddings().weight.shape)
    large = [w.name for w in weights if tuple(sorted(w.dims)) == tuple(sorted(shape))]
    assert len(large) == 1
    assert tuple(next(w.dims for w in weights if w.name == large[0])) == shape[::-1]


def test_without_the_builder_the_cache_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_place, "find_spec", lambda name: None)
    model = source("qwen3")
    with caplog.at_level(logging.INFO, "tinyforge"):
        record = write_graphs(model, tmp_path)
    assert record.cache.kind == "growing"
    assert "onnxruntime-genai is not installed" in caplog.text
    graph = Running(record.graph(tmp_path, "decoder"))
    before = [0, 4]
    ids, wanted = rows(model.model, before, 12)
    seen = (np.arange(12) >= np.array(before)[:, None]).astype(np.int64)
    found = graph(
        {"input_ids": ids, "attention_mask": seen, "keep": np.arange(24),
         "position_ids": np.maximum(np.arange(12) - np.array(before)[:, None], 0),
         **graph.nothing_past(2)}
    )["logits"].reshape(2, 12, -1)  # fmt: skip
    for row, gap in enumerate(before):
        np.testing.assert_allclose(found[row, gap:], wanted[row], rtol=0, atol=1e-4)


def test_what_the_builder_does_wrongly_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(builder: Any, model: Any) -> tuple[Any, Any]:
        cosines, sines = tables(builder, model)
        return sines, cosines

    tables = in_place._rotary_tables
    monkeypatch.setattr(in_place, "_rotary_tables", wrong)
    with pytest.raises(in_place.CannotBuild, match=r"logits .*off"):
        in_place.write(source("llama").model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
