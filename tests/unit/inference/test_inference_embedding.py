"""Vectors of texts: the mean of the last states, the same in any company and on both backends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_folders
import pytest
import torch
from tiny_answerers import bert, make

from tinyforge.errors import DataError, ModelError
from tinyforge.inference.embedding import means, unit_length
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.prompted import PromptedModel
from tinyforge.inference.torch_model import TorchModel
from tinyforge.text.prompts import parse_prompt

TEXTS = ["the cat", "", "how are you doing today? i'm fine", "naïve 🐕 </s>", "x", "the cat"]

Opened = Callable[..., OnnxModel]


@pytest.fixture(params=["classifier", "reverser", "continuer", "chatter"])
def anything(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


def body(model: TorchModel) -> Any:
    plain = model.model
    return getattr(plain, "bert", None) or getattr(plain, "encoder", None) or plain.base_model


def test_it_is_the_mean_of_the_last_states(anything: TorchModel) -> None:
    assert anything.can_embed
    found = anything.embed(TEXTS)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[-1])
    for text, vector in zip(TEXTS, found, strict=True):
        ids = anything.tokenizer(text, return_tensors="pt").input_ids
        if ids.shape[1]:
            with torch.no_grad():
                mean = body(anything)(input_ids=ids.long()).last_hidden_state[0].mean(dim=0)
            np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)


def test_the_texts_beside_it_change_nothing(anything: TorchModel) -> None:
    texts = [f"the {'cat ' * (i % 6)}sat on {i}" for i in range(20)]
    together = anything.embed(texts)
    np.testing.assert_allclose(together, anything.embed(texts, batch_rows=1), atol=1e-5)
    alone = np.concatenate([anything.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[1], together[2], atol=1e-3)


def test_no_texts_no_vectors(anything: TorchModel) -> None:
    assert anything.embed([]).shape == (0, 32)


def test_long_texts_are_cut(classifier: TorchModel, reverser: TorchModel) -> None:
    long = "the cat sat on the mat, " * 60
    assert np.isfinite(classifier.embed([long, "x"])).all()
    # An encoder of T5 reads on.
    one, other = reverser.embed([long, long[:200]])
    assert not np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["classifier", "reverser"])
def test_an_export_gives_the_same(
    name: str, opened: Opened, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(name)
    export = opened(source)
    assert export.can_embed
    np.testing.assert_allclose(export.embed(TEXTS), source.embed(TEXTS), atol=1e-4)
    np.testing.assert_allclose(export.embed(TEXTS, batch_rows=2), export.embed(TEXTS), atol=1e-5)
    assert export.embed([]).shape == (0, 32)
    # Beside it, labels and answers are what they were.
    assert [p.output for p in export.predict(TEXTS)] == [p.output for p in source.predict(TEXTS)]


def test_what_cannot_be_asked_for_vectors(
    continuer: TorchModel, opened: Opened, tmp_path: Path
) -> None:
    older = OnnxModel.load(onnx_folders.write_classifier(tmp_path / "older"))
    for model in (opened(continuer), older):
        assert not model.can_embed
        with pytest.raises(ModelError, match="gives no vectors"):
            model.embed(["x"])
    assert older.predict("the cat").output in onnx_folders.LABELS
    older.close()


def test_what_is_no_list_of_texts(classifier: TorchModel) -> None:
    with pytest.raises(DataError, match="not a list"):
        classifier.embed("the cat")
    with pytest.raises(DataError, match="no text"):
        classifier.embed(["the cat", 3])  # type: ignore[list-item]


def test_numbers_that_are_none_are_refused(piece_tokenizer: Any) -> None:
    model = bert(piece_tokenizer, 2)
    model.bert.embeddings.word_embeddings.weight.data.fill_(float("nan"))
    one = make("classify", model, piece_tokenizer, labels=("a", "b"))
    with pytest.raises(ModelError, match="not finite"):
        one.embed(["the cat"])


def test_a_prompt_is_no_part_of_it(reverser: TorchModel) -> None:
    asked = PromptedModel(reverser, parse_prompt({"template": "reverse: {input}"}))
    assert asked.can_embed
    np.testing.assert_array_equal(asked.embed(["the cat"]), reverser.embed(["the cat"]))


def test_a_model_in_training_stays_in_training(classifier: TorchModel) -> None:
    classifier.model.train()
    try:
        found = classifier.embed(["the cat"])
        assert classifier.model.training
    finally:
        classifier.model.eval()
    np.testing.assert_allclose(found, classifier.embed(["the cat"]), atol=1e-6)


def test_means_leave_out_what_is_masked() -> None:
    states = np.array([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]], dtype=np.float32)
    mask = np.array([[1, 1, 0]])
    np.testing.assert_allclose(means(states, mask), [[2.0, 3.0]])
    np.testing.assert_allclose(unit_length(np.zeros((1, 2), np.float32), "x"), [[0.0, 0.0]])
