"""Graphs of T5: every kind of it, step by step, onto any past, rows of different lengths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graph_models import T5S, Floats, Ids, Running, batch, each, past_of

from tinyforge.artifacts.export_folder import CacheLayout


def teacher(model: Any, ids: Ids, mask: Ids, target: Ids) -> Floats:
    """The model's own logits for a target, all at once."""
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask),
            decoder_input_ids=torch.from_numpy(target), use_cache=False,
        )  # fmt: skip
    logits: Floats = output.logits.numpy()
    return logits


def graphs(folder: Path, record: Any) -> tuple[Running, Running]:
    return Running(record.graph(folder, "encoder")), Running(record.graph(folder, "decoder"))


def step(
    decoder: Running, block: Ids, mask: Ids, past: dict, fixed: dict, keep: Any
) -> dict[str, Floats]:
    feeds = {"input_ids": block, "attention_mask": mask, "keep": np.asarray(keep, np.int64)}
    return decoder({**feeds, **past, **fixed})


@pytest.mark.parametrize("name", each(T5S))
def test_step_by_step_and_in_chunks_it_is_the_model(name: str, exported: Callable) -> None:
    model, folder, record = exported(name)
    encoder, decoder = graphs(folder, record)
    ids, mask = batch(model.model, (9, 2, 14))
    target, _ = batch(model.model, (40, 40, 40), seed=1)
    wanted = teacher(model.model, ids, mask, target)
    fixed = {"encoder_attention_mask": mask}
    fixed |= encoder({"input_ids": ids, "attention_mask": mask})
    past, start = decoder.nothing_past(3), 0
    for n in (1, 1, 5, 1, 20, 3, 1):
        end = start + n
        ones = np.ones((3, end), np.int64)
        found = step(decoder, target[:, start:end], ones, past, fixed, range(3 * n))
        np.testing.assert_allclose(
            found["logits"].reshape(3, n, -1), wanted[:, start:end], rtol=0, atol=1e-4
        )
        past, start = past_of(found), end


def test_positions_are_right_far_beyond_the_last_bucket_and_behind_masked_places(
    exported: Callable,
) -> None:
    model, folder, record = exported("t5")
    encoder, decoder = graphs(folder, record)
    ids, mask = batch(model.model, (3, 8, 5))
    fixed = {"encoder_attention_mask": mask}
    fixed |= encoder({"input_ids": ids, "attention_mask": mask})
    target, _ = batch(model.model, (170, 170, 170), seed=2)
    before = [0, 150, 31]
    seen = (np.arange(170) >= np.array(before)[:, None]).astype(np.int64)
    past, start = decoder.nothing_past(3), 0
    for n in (160, 1, 8, 1):
        end = start + n
        found = step(decoder, target[:, start:end], seen[:, :end], past, fixed, range(3 * n))
        logits = found["logits"].reshape(3, n, -1)
        for row, gap in enumerate(before):
            alone = teacher(
                model.model, ids[row : row + 1], mask[row : row + 1], target[row : row + 1, gap:]
            )[0]
            first = max(start, gap)
            np.testing.assert_allclose(
                logits[row, first - start :], alone[first - gap : end - gap], rtol=0, atol=1e-4
            )
        past, start = past_of(found), end


def test_only_the_places_that_are_kept_have_logits(exported: Callable) -> None:
    model, folder, record = exported("t5, gated, own head")
    encoder, decoder = graphs(folder, record)
    ids, mask = batch(model.model, (4, 6))
    target, _ = batch(model.model, (5, 5), seed=1)
    fixed = {"encoder_attention_mask": mask}
    fixed |= encoder({"input_ids": ids, "attention_mask": mask})
    every = step(decoder, target, np.ones_like(target), decoder.nothing_past(2), fixed, range(10))[
        "logits"
    ]
    for keep in ([9], [7, 2], [], [3, 3]):
        some = step(decoder, target, np.ones_like(target), decoder.nothing_past(2), fixed, keep)[
            "logits"
        ]
        assert some.shape == (len(keep), every.shape[1])
        np.testing.assert_allclose(some, every[keep], rtol=0, atol=1e-5)


def test_padding_of_the_source_is_not_seen(exported: Callable) -> None:
    model, folder, record = exported("t5")
    encoder, decoder = graphs(folder, record)
    ids, mask = batch(model.model, (4, 9))
    target, _ = batch(model.model, (3, 3), seed=1)
    found = []
    for filler in (0, 7):
        padded = np.where(mask == 1, ids, filler)
        fixed = {"encoder_attention_mask": mask}
        fixed |= encoder({"input_ids": padded, "attention_mask": mask})
        found.append(
            step(decoder, target, np.ones_like(target), decoder.nothing_past(2), fixed, range(6))[
                "logits"
            ]
        )
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-6)


def test_the_cache_is_what_the_record_says(exported: Callable) -> None:
    _, folder, record = exported("t5")
    assert record.family == "encoder-decoder"
    assert record.cache == CacheLayout("growing", layers=2, heads=4, head_size=8)
    assert record.config["max_positions"] is None
    assert record.config["decoder_start_token_id"] == 0
    encoder, decoder = graphs(folder, record)
    crosses = [f"cross.{i}.{part}" for i in range(2) for part in ("key", "value")]
    assert list(encoder.outputs) == [*crosses, "hidden"]
    assert set(crosses) < set(decoder.inputs)
    assert "position_ids" not in decoder.inputs
    assert decoder.inputs["past_key_values.1.value"].shape == ["rows", 4, "past", 8]


@pytest.mark.parametrize("name", each(T5S))
def test_a_head_that_is_the_embedding_is_stored_once(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    model, folder, record = exported(name)
    weights = onnx.load(record.graph(folder, "decoder")).graph.initializer
    vocabulary = model.model.get_input_embeddings().weight.shape[0]
    large = [w.name for w in weights if sorted(w.dims) == sorted((vocabulary, 32))]
    assert len(large) == (2 if "own head" in name else 1)
