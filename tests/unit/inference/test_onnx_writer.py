"""An exported model writes what its PyTorch model writes, token by token."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_answerers import PAIRS, llama, make
from transformers import GenerationConfig, LogitsProcessorList

from tinyforge.errors import DataError, SettingError
from tinyforge.inference.candidates import AnswerReader
from tinyforge.inference.choosing import AnswerScorer
from tinyforge.inference.onnx.writer_rules import Rules
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

INPUTS = [
    "the cat",
    "",
    "how are you doing today? i'm fine",
    "naïve 🐕",
    "the",
    "</s> [SEP] <|end|>",
    PAIRS[2][0],
]
LONG = "the cat sat on the mat, " * 40


@pytest.fixture(scope="module")
def raw_llama(fallback_tokenizer: Any) -> TorchModel:
    """A Llama that continues text, whose tokenizer puts <s> first and falls back to bytes."""
    model = llama(fallback_tokenizer, positions=400, width=64)
    return make("language-model", model, fallback_tokenizer)


@pytest.fixture(params=["continuer", "wide_chatter", "reverser", "raw_llama"])
def both(request: pytest.FixtureRequest, opened: Callable[..., Any]) -> tuple[TorchModel, Any]:
    model: TorchModel = request.getfixturevalue(request.param)
    return model, opened(model)


def same(both: tuple[TorchModel, Any], texts: list[str], **options: Any) -> None:
    source, export = both
    for one, other in zip(
        export.predict(texts, **options), source.predict(texts, **options), strict=True
    ):
        assert (one.output, one.finish_reason) == (other.output, other.finish_reason)
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


@pytest.mark.parametrize("room", [1, 2, 24])
def test_the_same_answers(both: tuple[TorchModel, Any], room: int) -> None:
    same(both, INPUTS, max_new_tokens=room)


def test_a_list_is_answered_in_order_as_one_by_one(both: tuple[TorchModel, Any]) -> None:
    _, export = both
    together = export.predict(INPUTS, max_new_tokens=20)
    assert [p.input for p in together] == INPUTS
    for text, found in zip(INPUTS, together, strict=True):
        alone = export.predict(text, max_new_tokens=20)
        assert (found.output, found.finish_reason) == (alone.output, alone.finish_reason)
        assert found.confidence == pytest.approx(alone.confidence, rel=1e-4)
    assert export.predict([]) == []


def test_what_was_learnt_is_answered_until_the_end_token(
    reverser: TorchModel, opened: Callable[..., Any]
) -> None:
    for question, answer in PAIRS:
        found = opened(reverser).predict(question)
        assert (found.output, found.finish_reason) == (answer, "stop")


def test_stop_strings(both: tuple[TorchModel, Any]) -> None:
    source, _ = both
    whole = source.predict("the cat", max_new_tokens=24).output
    stop = next((c for c in whole[1:] if c.isascii() and c.isalnum()), "t")
    same(both, INPUTS, max_new_tokens=24, stop=["never", stop])
    same(both, INPUTS, max_new_tokens=24, stop=["e t", " ", "a"])


def test_long_inputs_and_more_tokens_than_positions(both: tuple[TorchModel, Any]) -> None:
    source, _ = both
    texts = ["the", LONG[:30], LONG]
    same(both, texts, max_new_tokens=12)
    if source.max_positions is not None:  # a T5 would write a thousand tokens
        same(both, texts, max_new_tokens=1_000)


@pytest.mark.parametrize(
    "options", [{"max_new_tokens": 20}, {"max_new_tokens": 20, "stop": ["a", "e t", " "]}]
)
def test_the_pieces_of_a_stream_are_the_answer(
    both: tuple[TorchModel, Any], options: dict[str, Any]
) -> None:
    _, export = both
    for text in INPUTS:
        pieces = list(export.stream(text, **options))
        assert "".join(pieces) == export.predict(text, **options).output
        assert all(pieces)


def test_closing_a_stream_ends_the_writing(
    wide_chatter: TorchModel, opened: Callable[..., Any]
) -> None:
    export = opened(wide_chatter)
    engine = export._onnx_writer.engine
    before = engine.stats().tokens
    pieces = export.stream("the cat", max_new_tokens=64)
    next(pieces)
    pieces.close()
    while any(thread.name == "tinyforge-engine" for thread in threading.enumerate()):
        pass
    assert engine.stats().tokens - before < 60
    with pytest.raises(SettingError, match="streamed"):
        export.stream("the", num_beams=2)


def test_every_end_token_of_the_model_ends_an_answer(
    byte_tokenizer: Any, tmp_path: Path, exported: Callable[[TorchModel], Path]
) -> None:
    from tinyforge.inference.onnx.model import OnnxModel

    model = llama(byte_tokenizer, width=64)
    plain = make("language-model", model, byte_tokenizer)
    ids = byte_tokenizer("the cat", return_tensors="pt").input_ids
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
    )[0, ids.shape[1] :].tolist()
    model.generation_config.eos_token_id = [byte_tokenizer.eos_token_id, written[3]]
    ended = make("language-model", model, byte_tokenizer)
    expected = ended.predict("the cat", max_new_tokens=5)
    export = OnnxModel.load(exported(ended), threads=1)
    found = export.predict("the cat", max_new_tokens=5)
    export.close()
    assert found.finish_reason == expected.finish_reason == "stop"
    assert found.output == expected.output
    assert plain.predict("the cat", max_new_tokens=5).finish_reason == "length"


def test_likelihoods(both: tuple[TorchModel, Any]) -> None:
    source, export = both
    if source.task.name == "language-model":
        examples = [Example(output=text) for text in ("the cat sat", "é", LONG[:400])]
    else:
        examples = [
            Example(input=question, output=answer)
            for question, answer in [*PAIRS, ("the", ""), ("x", LONG[:120])]
        ]
    for options in ({}, {"window": 24}, {"window": 24, "stride": 5}):
        expected = source.log_likelihoods(examples, **options)
        for one, other in zip(export.log_likelihoods(examples, **options), expected, strict=True):
            assert one.nll == pytest.approx(other.nll, rel=1e-4, abs=1e-4)
            assert (one.tokens, one.bytes, one.characters) == (
                other.tokens, other.bytes, other.characters,
            )  # fmt: skip
    with pytest.raises(DataError, match="no answer"):
        export.log_likelihoods([Example(input="x")])


def test_answers_that_one_does_not_know_are_measured_alike(both: tuple[TorchModel, Any]) -> None:
    source, export = both
    contexts = ["how are you? it was", "how are you? it was not", "x", "the cat. it was"]
    rows = AnswerReader(source.task, ("good", "so so", "really bad indeed", "g"), " ")
    expected = AnswerScorer(source.model, source.task).with_greedy(rows.candidates(contexts))
    same_rows = AnswerReader(export.task, ("good", "so so", "really bad indeed", "g"), " ")
    scorer = export.scorer()
    for _ in range(2):  # the second time, texts come after others in the same memory
        found = scorer.with_greedy(same_rows.candidates(contexts))
        for (scores, greedy), (other, likeliest) in zip(found, expected, strict=True):
            assert scores == pytest.approx(other, rel=1e-4, abs=1e-4)
            assert (greedy == likeliest).all()
    chosen = export._onnx_writer.choose(same_rows.candidates(contexts))
    assert chosen == [int(scores.argmax()) for scores, _ in expected]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"suppress_tokens": [3, 5]},
        {"begin_suppress_tokens": [4]},
        {"forced_bos_token_id": 6, "forced_eos_token_id": 1, "begin_suppress_tokens": [2]},
        {"bad_words_ids": [[7], [8, 9], [1]]},
        {"min_length": 3},
    ],
)
def test_what_a_model_s_own_settings_force_and_forbid(
    config: dict[str, Any], reverser: TorchModel
) -> None:
    rules = Rules.read(config, [1], encoder=True)
    assert rules.plain == (not config)
    settings = GenerationConfig(**config, eos_token_id=1, decoder_start_token_id=0, max_length=6)
    reverser.model._prepare_special_tokens(settings, True, device="cpu")
    processors: LogitsProcessorList = reverser.model._get_logits_processor(
        settings, input_ids_seq_length=1, device="cpu"
    )
    scores = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    for written in range(5):
        ids = torch.full((2, 1 + written), 2)
        expected = processors(ids, scores.clone()).numpy()
        assert np.array_equal(rules.apply(scores.numpy(), written, 5), expected)


@pytest.mark.slow
def test_real_weights_continue_the_story(shared_folder: Path, opened: Callable[..., Any]) -> None:
    source = TorchModel.load(shared_folder / "models" / "stories260K")
    export = opened(source)
    texts = ["Once upon a time", "The dog", "One day, a girl named Lily"]
    for options in ({}, {"num_beams": 3, "max_new_tokens": 24}, {"stop": ["."]}):
        for one, other in zip(
            export.predict(texts, **options), source.predict(texts, **options), strict=True
        ):
            assert (one.output, one.finish_reason) == (other.output, other.finish_reason)
            assert one.confidence == pytest.approx(other.confidence, rel=1e-3)
    assert export.predict(texts[0]).output.startswith(", there was")
