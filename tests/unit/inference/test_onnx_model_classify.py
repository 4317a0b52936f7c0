"""An exported classifier: batches, many callers at once, and the same words as the PyTorch one."""

from __future__ import annotations

import gc
import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_folders import LABELS, WORDS, logits_of, write_classifier

from tinyforge.artifacts.manifest import write_manifest
from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, FolderError, ModelError, SettingError
from tinyforge.inference.onnx.classify import RUN, Classifier, buckets
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.onnx.sessions import allowed_cores, listening, open_session
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

TEXTS = ["the cat sat", "how are you today", "", "a mat", "you are unknown words on a mat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("onnx") / "export")


@pytest.fixture(scope="module")
def model(folder):
    loaded = OnnxModel.load(folder, threads=1)
    yield loaded
    loaded.close()


def ids_of(text: str) -> list[int]:
    return [2, *(WORDS.index(w) if w in WORDS else 1 for w in text.split()), 3]


def expected(text: str) -> dict[str, float]:
    shares = np.exp(logits_of(ids_of(text)).astype(np.float64))
    return dict(zip(LABELS, shares / shares.sum(), strict=True))


def test_answers_are_those_of_the_graph(model):
    found = model.predict(TEXTS)
    for text, prediction in zip(TEXTS, found, strict=True):
        scores = expected(text)
        assert prediction.output == max(scores, key=scores.__getitem__)
        assert prediction.scores == pytest.approx(scores, abs=1e-6)
        assert prediction.confidence == prediction.scores[prediction.output]
        assert prediction.input == text
        assert prediction.model == model.hash
        assert prediction.finish_reason == "label"
    assert model.predict(TEXTS[0]).scores == pytest.approx(expected(TEXTS[0]), abs=1e-6)
    assert model.predict([]) == []


def test_logits_of_examples(model):
    found = model.logits([Example(input=text, output="good") for text in TEXTS])
    assert found.dtype == np.float32
    wanted = np.stack([logits_of(ids_of(text)) for text in TEXTS])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert model.logits([]).shape == (0, 3)


def test_the_order_is_kept_whatever_the_lengths(model):
    draw = random.Random(3)
    texts = [" ".join(draw.choices(WORDS[4:], k=draw.randrange(12))) for _ in range(300)]
    for found, text in zip(model.predict(texts), texts, strict=True):
        assert found.input == text
        assert found.scores == pytest.approx(expected(text), abs=1e-6)


def test_a_long_text_is_cut_and_said(model, caplog):
    text = " ".join(["cat"] * 40)
    found = model.predict(text)
    assert found.scores == pytest.approx(expected(" ".join(["cat"] * 14)), abs=1e-6)
    assert "1 of 1 inputs too long" in caplog.text


def test_several_labels(tmp_path):
    model = OnnxModel.load(write_classifier(tmp_path / "many", multi_label=True), threads=1)
    for text in TEXTS:
        shares = 1 / (1 + np.exp(-logits_of(ids_of(text)).astype(np.float64)))
        found = model.predict(text)
        assert set(found.labels) == {n for n, p in zip(LABELS, shares, strict=True) if p >= 0.5}
        assert [found.scores[label] for label in LABELS] == pytest.approx(shares, abs=1e-6)
    model.close()


def test_options_are_checked_as_with_torch(model):
    with pytest.raises(SettingError):
        model.predict("x", temperature=1.0)
    with pytest.raises(SettingError, match="labels and writes no text"):
        model.stream("x")
    with pytest.raises(ModelError, match="cannot tell how likely"):
        model.log_likelihoods([Example(input="a", output="b")])
    with pytest.raises(DataError):
        model.predict(b"bytes")
    with pytest.raises(DataError, match="does not chat"):
        model.predict([{"role": "user", "content": "hi"}])


def test_what_it_says_of_itself(model, folder):
    info = model.info()
    assert info["task"] == "classify"
    assert info["labels"] == list(LABELS)
    assert info["model_type"] == "bert"
    assert info["max_positions"] == model.max_positions == 16
    assert info["ready"] is True
    assert model.name == str(folder)
    assert model.path == folder
    assert model.size_bytes == (folder / "model.onnx").stat().st_size
    assert model.parameters == model.record.parameters
    assert len(model.hash) == 12


def test_the_hash_is_the_same_with_and_without_a_manifest(folder, tmp_path):
    first = OnnxModel.load(folder, threads=1)
    copied = write_classifier(tmp_path / "copy")
    write_manifest(copied)
    second = OnnxModel.load(copied, threads=1)
    outside = OnnxModel.load(
        write_classifier(tmp_path / "outside", external="model.onnx.data"), threads=1
    )
    assert first.hash == second.hash
    assert outside.hash != first.hash
    assert outside.predict("a cat").scores == pytest.approx(first.predict("a cat").scores)


def test_both_backends_have_the_same_words():
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert public(TorchModel) - public(OnnxModel) == {"from_loaded"}
    assert public(OnnxModel) - public(TorchModel) == {"begin", "close", "engine"}


def test_settings_of_the_export_hold_below_the_given_ones(tmp_path):
    folder = write_classifier(tmp_path / "export", generation={"batch_size": 2})
    model = OnnxModel.load(folder, threads=1)
    assert model.settings.batch_size == 2
    sizes = []
    with listening(lambda path, feeds: sizes.append(len(feeds["input_ids"]))):
        model.predict(["a cat"] * 5)
    assert sorted(sizes) == [1, 2, 2]
    model = OnnxModel.load(folder, threads=1, settings=GenerateSettings(batch_size=4))
    assert model.settings.batch_size == 4
    folder = write_classifier(tmp_path / "wrong", generation={"colour": "red"})
    with pytest.raises(FolderError, match="settings of generating"):
        OnnxModel.load(folder)


def test_a_task_that_does_not_fit_the_graph_is_refused(tmp_path):
    task = {"name": "classify", "family": "encoder", "labels": ["a", "b"], "multi_label": False}
    with pytest.raises(ModelError, match="3 outputs and there are 2 labels"):
        OnnxModel.load(write_classifier(tmp_path / "labels", task=task))
    task = {**task, "family": "encoder-decoder", "labels": list(LABELS)}
    with pytest.raises(FolderError, match="task saved with this model"):
        OnnxModel.load(write_classifier(tmp_path / "family", task=task))


def test_not_finite_numbers_are_no_answer(tmp_path):
    def spoil(made: Any) -> None:
        weights = next(t for t in made.graph.initializer if t.name == "weights")
        weights.raw_data = b"\x00\x00\xc0\x7f" * (len(weights.raw_data) // 4)

    model = OnnxModel.load(write_classifier(tmp_path / "nan", change=spoil), threads=1)
    with pytest.raises(ModelError, match="not finite"):
        model.predict("a cat")


# Many callers at once


def test_rows_of_several_callers_run_together(folder):
    """While one run goes on, ten callers come; the next run takes them all."""
    session = open_session(folder / "model.onnx", threads=1)
    classifier = Classifier(session, 3, 0)
    running, go_on = threading.Event(), threading.Event()
    shapes = []

    def hold(path: Any, feeds: Any) -> None:
        shapes.append(feeds["input_ids"].shape)
        running.set()
        assert go_on.wait(10)

    with listening(hold):
        first = classifier.submit([np.array(ids_of("a cat"), np.int32)])
        assert running.wait(10)
        texts = ["the cat sat", "a cat sat", "how are you"] * 3 + ["you"]
        more = [classifier.submit([np.array(ids_of(text), np.int32)]) for text in texts]
        go_on.set()
        wait([first, *more], timeout=10)
    assert shapes == [(1, 4), (10, 5)]
    for text, future in zip(texts, more, strict=True):
        np.testing.assert_allclose(future.result()[0], logits_of(ids_of(text)), atol=1e-6)
    classifier.close()


def test_one_text_does_not_wait_for_a_thousand(folder):
    """Requests take turns batch by batch."""
    session = open_session(folder / "model.onnx", threads=1)
    classifier = Classifier(session, 3, 0)
    running, go_on = threading.Event(), threading.Event()

    def hold(path: Any, feeds: Any) -> None:
        running.set()
        assert go_on.wait(10)

    done = []
    with listening(hold):
        row = np.array(ids_of("the cat sat on a mat today"), np.int32)
        many = classifier.submit([row] * 2_000)
        assert running.wait(10)
        one = classifier.submit([row[:3]])
        many.add_done_callback(lambda _: done.append("many"))
        one.add_done_callback(lambda _: done.append("one"))
        go_on.set()
        wait([many, one], timeout=10)
    assert done == ["one", "many"]
    classifier.close()


def test_many_threads_get_their_own_answers(model):
    draw = random.Random(5)
    texts = [" ".join(draw.choices(WORDS[4:], k=draw.randrange(12))) for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for found, text in zip(pool.map(model.predict, texts), texts, strict=True):
            assert found.input == text
            assert found.scores == pytest.approx(expected(text), abs=1e-6)


def test_a_cancelled_request_is_not_run(folder):
    classifier = Classifier(open_session(folder / "model.onnx", threads=1), 3, 0)
    running, go_on = threading.Event(), threading.Event()
    rows = []

    def hold(path: Any, feeds: Any) -> None:
        rows.append(len(feeds["input_ids"]))
        running.set()
        assert go_on.wait(10)

    row = np.array(ids_of("a"), np.int32)
    with listening(hold):
        first = classifier.submit([row])
        assert running.wait(10)
        assert not first.cancel()  # it is too late
        unwanted = classifier.submit([row] * 50)
        assert unwanted.cancel()
        last = classifier.submit([row, row])
        go_on.set()
        assert last.result(10).shape == (2, 3)
    assert first.done()
    assert rows == [1, 2]
    classifier.close()


def test_a_failure_reaches_those_who_asked_and_nobody_else(folder):
    classifier = Classifier(open_session(folder / "model.onnx", threads=1), 3, 0)
    outside = np.array([10_000, 3], np.int32)  # no such token
    with pytest.raises(ModelError, match="cannot run this graph"):
        classifier.submit([outside]).result(10)
    good = np.array(ids_of("a cat"), np.int32)
    np.testing.assert_allclose(
        classifier.submit([good]).result(10)[0], logits_of(ids_of("a cat")), atol=1e-6
    )
    classifier.close()
    with pytest.raises(ModelError, match="was closed"):
        classifier.submit([good])
    classifier.close()  # once more does no harm


def test_a_graph_with_other_labels_is_refused(folder):
    classifier = Classifier(open_session(folder / "model.onnx", threads=1), 5, 0)
    with pytest.raises(ModelError, match="another number of labels"):
        classifier.submit([np.array([2, 3], np.int32)]).result(10)
    classifier.close()


def test_a_forgotten_model_ends_its_thread(folder):
    model = OnnxModel.load(folder, threads=1)
    model.predict("a cat")
    thread = model._classifier._thread
    assert thread.is_alive()
    del model
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@given(
    lengths=st.lists(st.integers(1, 300), max_size=80),
    rows=st.integers(1, 40),
    tokens=st.integers(1, 600),
)
def test_buckets_hold_every_row_once_and_waste_little(lengths, rows, tokens):
    batches = buckets(lengths, rows=rows, tokens=tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[i] for i in batch]
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(sizes) <= tokens
        assert len(batch) * max(sizes) - sum(sizes) <= RUN
        assert sizes == sorted(sizes, reverse=True)
    assert batches == buckets(lengths, rows=rows, tokens=tokens)


def test_a_listener_hears_every_run_while_it_listens(model, folder):
    heard = []
    with listening(
        lambda path, feeds: heard.append((path, {n: a.copy() for n, a in feeds.items()}))
    ):
        model.predict("a cat")
    model.predict("a mat")
    assert [path for path, _ in heard] == [folder / "model.onnx"]
    assert heard[0][1]["input_ids"].tolist() == [ids_of("a cat")]


def test_a_session_says_what_it_takes_and_refuses_the_rest(folder):
    session = open_session(folder / "model.onnx", threads=1)
    assert session.inputs == ("input_ids", "attention_mask")
    assert session.outputs == ("logits",)
    assert session.path == folder / "model.onnx"
    ids = np.array([[2, 5, 3]])
    found = session.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    np.testing.assert_allclose(found["logits"][0], logits_of([2, 5, 3]), atol=1e-6)
    for feeds in ({"input_ids": ids}, {"input_ids": ids, "attention_mask": ids.astype(np.int8)}):
        with pytest.raises(ModelError, match="cannot run this graph"):
            session.run(feeds)
    with pytest.raises(ModelError):
        open_session(folder / "tokenizer.json")


def test_the_callers_arithmetic_stays_as_it_was(folder):
    tiny = float("5e-324")
    model = OnnxModel.load(folder)
    model.predict("the cat")
    assert tiny > 0
    assert tiny * 2 != 0
    model.close()


def test_threads_are_those_that_the_process_may_use(monkeypatch):
    from tinyforge.inference.onnx import sessions

    monkeypatch.setattr(sessions.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for limit, wanted in (("", 4), ("max 100000", 4), ("150000 100000", 2), ("50000 100000", 1)):
        monkeypatch.setattr(sessions, "_cpu_limit", lambda limit=limit: limit)
        assert allowed_cores.__wrapped__() == wanted
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(sessions, "_cpu_limit", lambda: "")
    assert allowed_cores.__wrapped__() == 3
