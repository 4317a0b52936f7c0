"""Answers that a JSON schema admits: whole or said to be cut, on both backends, refused rightly."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_answerers import llama, make
from transformers import T5Config, T5ForConditionalGeneration

from tinyforge.errors import MissingPackageError, SettingError
from tinyforge.inference import json_answers
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.torch_model import TorchModel

pytest.importorskip("llguidance", reason="needs llguidance")

CARD = {
    "type": "object",
    "properties": {
        "k": {"enum": ["a", "b"]},
        "n": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["k", "n"],
    "additionalProperties": False,
}
ROOM = 26
"""Tokens that the longest such object takes, with a space wherever one may be."""
TEXTS = ["the cat", "", "how are you doing today? naïve 🐕", "x"]

Opened = Callable[..., OnnxModel]


@pytest.fixture(params=["continuer", "wide_chatter"])
def writer(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


def is_card(text: str) -> bool:
    found = json.loads(text)
    return (
        set(found) == {"k", "n"}
        and found["k"] in ("a", "b")
        and type(found["n"]) is int
        and found["n"] in range(10)
    )


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.0, "top_k": 5, "seed": 2},
                {"temperature": 1.0, "top_p": 0.7, "seed": 3}]
)  # fmt: skip
def test_the_answer_is_what_the_schema_admits(
    writer: TorchModel, opened: Opened, options: dict[str, Any]
) -> None:
    for model in (writer, opened(writer)):
        for found in model.predict(TEXTS, json_schema=CARD, max_new_tokens=ROOM, **options):
            assert found.finish_reason == "stop"
            assert is_card(found.output)
            assert 1 < found.tokens < ROOM


def test_both_backends_write_the_same(writer: TorchModel, opened: Opened) -> None:
    options: dict[str, Any] = {"json_schema": CARD, "max_new_tokens": ROOM, "logprobs": 2}
    for more in ({}, {"temperature": 1.3, "seed": 4}):
        pairs = zip(
            opened(writer).predict(TEXTS, **options, **more),
            writer.predict(TEXTS, **options, **more),
            strict=True,
        )
        for one, other in pairs:
            assert (one.output, one.tokens) == (other.output, other.tokens)
            assert [score.log_probability for score in one.token_scores] == pytest.approx(
                [score.log_probability for score in other.token_scores], abs=1e-3
            )
            assert one.confidence == pytest.approx(other.confidence, rel=1e-2)


def test_each_answer_has_a_guide_of_its_own(writer: TorchModel, opened: Opened) -> None:
    """Rows that close at different times, and rows without a schema beside them."""
    lengths = {"type": "array", "items": {"enum": [1]}, "minItems": 1, "maxItems": 4}
    for model in (writer, opened(writer)):
        together = model.predict(
            TEXTS * 3, json_schema=lengths, max_new_tokens=40, temperature=1.0, seed=7
        )
        for text, found in zip(TEXTS * 3, together, strict=True):
            alone = model.predict(
                text, json_schema=lengths, max_new_tokens=40, temperature=1.0, seed=7
            )
            assert (found.output, found.tokens, found.finish_reason) == (
                alone.output, alone.tokens, "stop",
            )  # fmt: skip
            assert set(json.loads(found.output)) == {1}
    export = opened(writer)
    free = export.predict("the cat", max_new_tokens=12)
    pieces = export.stream_pieces("x", json_schema=CARD, max_new_tokens=ROOM)
    first = next(pieces)
    beside = export.predict("the cat", max_new_tokens=12)
    assert beside.confidence == pytest.approx(free.confidence, abs=1e-4)  # two rows round otherwise
    assert replace(beside, confidence=free.confidence) == free
    assert is_card(first.text + "".join(piece.text for piece in pieces))


def test_too_few_tokens_are_said(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        found = model.predict("the cat", json_schema=CARD, max_new_tokens=2)
        assert (found.finish_reason, found.tokens) == ("length", 2)
        with pytest.raises(ValueError):
            json.loads(found.output)
        last = list(model.stream_pieces("the cat", json_schema=CARD, max_new_tokens=2))[-1]
        assert (last.finish_reason, last.tokens) == ("length", 2)


def test_the_last_token_may_close_it(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        whole = model.predict("the cat", json_schema=CARD, max_new_tokens=ROOM)
        just = model.predict("the cat", json_schema=CARD, max_new_tokens=whole.tokens)
        assert (just.output, just.finish_reason) == (whole.output, "stop")
        less = model.predict("the cat", json_schema=CARD, max_new_tokens=whole.tokens - 1)
        assert less.finish_reason == "length"


def test_pieces_and_scores_are_the_answer_s(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        options: dict[str, Any] = {"json_schema": CARD, "max_new_tokens": ROOM, "logprobs": 1}
        pieces = list(model.stream_pieces("the cat", **options))
        found = model.predict("the cat", **options)
        assert "".join(piece.text for piece in pieces) == found.output
        assert pieces[-1].finish_reason == "stop"
        assert pieces[-1].tokens == found.tokens == len(found.token_scores)
        text = b"".join(score.bytes for score in found.token_scores).decode()
        assert is_card(text)
        # What the model itself thinks: no schema has made its own first choice any less likely.
        plain = model.predict("the cat", max_new_tokens=1, logprobs=1)
        assert found.token_scores[0].top[0].log_probability == pytest.approx(
            plain.token_scores[0].top[0].log_probability, abs=1e-4
        )


def test_an_empty_schema_is_any_object(writer: TorchModel) -> None:
    for seed in range(4):
        found = writer.predict("x", json_schema={}, temperature=1.0, seed=seed, max_new_tokens=50)
        assert found.output.strip().startswith("{")
        if found.finish_reason == "stop":
            assert isinstance(json.loads(found.output), dict)


def test_a_number_ends_with_the_end_token(writer: TorchModel, opened: Opened) -> None:
    """Nothing closes it: the model says when it is over, and if it does not, it is cut."""
    for model in (writer, opened(writer)):
        for seed in range(4):
            found = model.predict(
                "x", json_schema={"type": "integer"}, temperature=2.0, seed=seed, max_new_tokens=6
            )
            int(found.output)
            assert found.finish_reason in ("stop", "length")
            assert found.finish_reason == "stop" or found.tokens == 6


def test_a_stop_string_still_ends_it(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        found = model.predict("x", json_schema=CARD, max_new_tokens=ROOM, stop=["n"])
        assert found.finish_reason == "stop"
        assert "n" not in found.output


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, "Invalid type: nonsense"),
        ({"not": {"type": "string"}}, "Unimplemented keys"),
        ({"$ref": "#/nowhere"}, "does not exist"),
        ({"$ref": "http://example.invalid/a.json"}, "not present"),
        ({"type": "string", "pattern": "(a"}, "unclosed group"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "Unsatisfiable"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(
    writer: TorchModel, opened: Opened, schema: dict[str, Any], reason: str
) -> None:
    for model in (writer, opened(writer)):
        with pytest.raises(SettingError, match=reason) as error:
            model.predict("x", json_schema=schema)
        assert "\n" not in str(error.value)
        assert "llguidance {" not in str(error.value)
        with pytest.raises(SettingError, match=reason):
            model.stream_pieces("x", json_schema=schema)


def test_what_is_no_json_is_refused(writer: TorchModel) -> None:
    with pytest.raises(SettingError, match="not JSON"):
        writer.predict("x", json_schema={"enum": [{1, 2}]})
    with pytest.raises(SettingError, match="must be a JSON object"):
        writer.predict("x", json_schema=["type"])
    with pytest.raises(SettingError, match="beam search"):
        writer.predict("x", json_schema={}, num_beams=2)


def test_a_deep_or_large_schema_ends_in_time(writer: TorchModel) -> None:
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(400):
        deep = {"type": "object", "properties": {"a": deep}}
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2_000)}}
    for schema in (deep, wide, {"type": "array", "minItems": 10**9},
                   {"type": "string", "pattern": "((a{1,1000}){1,1000}){1,1000}$"}):  # fmt: skip
        with contextlib.suppress(SettingError):
            assert writer.predict("x", json_schema=schema, max_new_tokens=3).tokens <= 3


def test_tokens_that_cannot_write_json_say_so(reverser: TorchModel, opened: Opened) -> None:
    """The pieces of this tokenizer know no brace."""
    for model in (reverser, opened(reverser)):
        with pytest.raises(SettingError, match="no token of this model"):
            model.predict(["the cat", "x"], json_schema=CARD)
        with pytest.raises(SettingError, match="no token of this model"):
            list(model.stream_pieces("the cat", json_schema=CARD))
        assert model.predict("reverse: the cat").output == "cat the"
    engine = opened(reverser).engine
    assert (engine.stats().running, engine.stats().waiting) == (0, 0)


def test_a_forced_end_leaves_the_json_cut(byte_tokenizer: Any) -> None:
    """Settings of the model that force its last token win over the schema."""
    model = llama(byte_tokenizer)
    model.generation_config.forced_eos_token_id = byte_tokenizer.eos_token_id
    found = make("language-model", model, byte_tokenizer).predict(
        "x", json_schema=CARD, max_new_tokens=3
    )
    assert (found.finish_reason, found.tokens) == ("length", 2)


def test_numbers_that_are_none_do_not_hang(byte_tokenizer: Any) -> None:
    model = llama(byte_tokenizer)
    model.lm_head.weight.data.fill_(float("nan"))
    found = make("language-model", model, byte_tokenizer).predict(
        "x", json_schema=CARD, max_new_tokens=4
    )
    assert found.finish_reason == "length"
    assert found.confidence is None


def test_an_encoder_decoder_writes_json_too(byte_tokenizer: Any) -> None:
    """Its rows are filled up with a token that ends nothing."""
    config = T5Config(
        vocab_size=len(byte_tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4,
        decoder_start_token_id=1, pad_token_id=1, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = make("text2text", T5ForConditionalGeneration(config).eval(), byte_tokenizer)
    options: dict[str, Any] = {"json_schema": {"enum": [1, 22222, "abc"]}, "max_new_tokens": 12}
    together = model.predict(TEXTS * 2, temperature=1.0, seed=3, logprobs=1, **options)
    assert len({found.tokens for found in together}) > 1
    for text, found in zip(TEXTS * 2, together, strict=True):
        alone = model.predict(text, temperature=1.0, seed=3, **options)
        assert (found.output, found.tokens) == (alone.output, alone.tokens)
        assert found.finish_reason == "stop"
        assert json.loads(found.output) in (1, 22222, "abc")
        assert found.confidence == pytest.approx(alone.confidence, rel=1e-3)
        assert len(found.token_scores) == found.tokens


def test_schemas_are_kept_ready(writer: TorchModel, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    original = json_answers._compiled
    monkeypatch.setattr(
        json_answers, "_compiled", lambda *given: compiled.append(1) or original(*given)
    )
    own = {"type": "object", "properties": {"only here": {"const": 1}}}
    for _ in range(3):
        writer.predict(["x", "y"], json_schema=own, max_new_tokens=2)
    assert len(compiled) == 1
    for i in range(json_answers.KEPT):
        writer.predict("x", json_schema={**own, "title": str(i)}, max_new_tokens=1)
    writer.predict("x", json_schema=own, max_new_tokens=1)
    assert len(compiled) == 2 + json_answers.KEPT


def test_a_vocabulary_wider_than_the_tokenizer(byte_tokenizer: Any) -> None:
    """Rows of padding in the head are never written."""
    model = llama(byte_tokenizer)
    model.resize_token_embeddings(len(byte_tokenizer) + 14)
    model.lm_head.weight.data[len(byte_tokenizer) :] = 9.0
    found = make("language-model", model, byte_tokenizer).predict(
        "x", json_schema=CARD, max_new_tokens=ROOM
    )
    assert is_card(found.output)


def test_without_the_package_it_says_what_to_install(
    writer: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingPackageError, match="llguidance"):
        json_answers._package()


def test_the_guide_keeps_what_is_admitted(writer: TorchModel) -> None:
    guides = writer._writer._guides
    guide = guides.begin({"const": "ab"})
    logits = np.zeros(len(writer.tokenizer), dtype=np.float32)
    tokens = np.flatnonzero(np.isfinite(guide.admitted(logits))).tolist()
    texts = writer._writer._texts
    assert {texts.bytes_of(token).lstrip()[:1] for token in tokens} <= {b'"', b""}
    assert not logits.any()
