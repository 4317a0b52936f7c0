"""Graphs of classifiers give the logits of their models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_models import CLASSIFIERS, LABELS, Running, batch, each

from tinyforge.artifacts.export_folder import HIDDEN, PLACES, is_export, read_record
from tinyforge.export.graphs.classifier import write

LENGTHS = [(1,), (7,), (3, 9, 1, 6), (64, 2), (5, 5, 5)]


@pytest.mark.parametrize("name", each(CLASSIFIERS))
def test_logits_are_the_models_whatever_the_padding(name: str, exported: Callable) -> None:
    model, folder, record = exported(name)
    graph = Running(record.graph(folder, "model"))
    for seed, lengths in enumerate(LENGTHS):
        ids, mask = batch(model.model, lengths, seed=seed)
        with torch.no_grad():
            wanted = model.model(
                input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
            ).logits
        found = graph({"input_ids": ids, "attention_mask": mask})["logits"]
        assert found.dtype == np.float32
        assert found.shape == (len(lengths), len(LABELS))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_padding_changes_nothing(exported: Callable) -> None:
    model, folder, record = exported("bert")
    graph = Running(record.graph(folder, "model"))
    ids, mask = batch(model.model, (4, 11))
    other = np.where(mask == 1, ids, 7)
    one = graph({"input_ids": ids, "attention_mask": mask})["logits"]
    np.testing.assert_array_equal(
        one, graph({"input_ids": other, "attention_mask": mask})["logits"]
    )
    alone = graph({"input_ids": ids[:1, :4], "attention_mask": mask[:1, :4]})["logits"]
    np.testing.assert_allclose(one[:1], alone, rtol=0, atol=1e-5)


def test_the_record_says_what_it_is(exported: Callable) -> None:
    model, folder, record = exported("bert")
    assert is_export(folder)
    assert read_record(folder) == record
    assert record.family == "encoder"
    assert record.cache is None
    assert record.task["labels"] == list(LABELS)
    assert record.config["num_labels"] == 3
    assert record.config["max_positions"] == 512
    assert record.config["pad_token_id"] == model.tokenizer.pad_token_id
    assert not record.ready
    assert record.parameters == model.parameters
    assert record.weights == model.hash


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_attention_is_one_operator(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    _, folder, record = exported(name)
    operators = [node.op_type for node in onnx.load(record.graph(folder, "model")).graph.node]
    assert operators.count("MultiHeadAttention") == 2
    assert "Softmax" not in operators


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_the_last_layer_is_computed_for_the_places_asked_for(name: str, exported: Callable) -> None:
    onnx = pytest.importorskip("onnx")
    model, folder, record = exported(name)
    path = record.graph(folder, "model")
    graph = Running(path)
    assert [each.name for each in graph.session.get_overridable_initializers()] == [PLACES]
    ids, mask = batch(model.model, (6, 4, 6))
    feeds = {"input_ids": ids, "attention_mask": mask}
    first = graph(feeds)
    assert first[HIDDEN].shape == (3, 1, model.model.config.hidden_size)
    with torch.no_grad():
        wanted = model.model.base_model(
            **{key: torch.from_numpy(value) for key, value in feeds.items()}
        )[0].numpy()
    for places in ([0], [0, 3], [0, 1, 2, 3, 4, 5]):
        logits, states = graph.session.run(
            ["logits", HIDDEN], {**feeds, PLACES: np.array(places, np.int64)}
        )
        seen = mask[:, places] == 1
        np.testing.assert_allclose(states[seen], wanted[:, places][seen], rtol=0, atol=1e-4)
        np.testing.assert_allclose(logits, first["logits"], rtol=0, atol=1e-5)
    # Keys and values of the last layer are of all places, everything else of those asked for.
    written = onnx.load(path).graph
    (node,) = [node for node in written.node if PLACES in node.input]
    assert node.op_type == "Gather"
    reads = [each for each in written.node if node.input[0] in each.input]
    assert sorted(each.op_type for each in reads) == ["Gather", "MatMul", "MatMul"]


def test_a_head_that_reads_all_places_gets_all(exported: Callable, tmp_path: Path) -> None:
    model = copy.deepcopy(exported("bert")[0].model)
    pooler = model.bert.pooler
    pooler.forward = lambda states: pooler.activation(pooler.dense(states.mean(dim=1)))
    write(model, tmp_path / "model.onnx")
    graph = Running(tmp_path / "model.onnx")
    assert not graph.session.get_overridable_initializers()
    ids, mask = batch(model, (6, 6))
    found = graph({"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(ids)).logits
    assert found[HIDDEN].shape == (2, 6, model.config.hidden_size)
    np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=1e-4)
