"""How likely each token was, what it says to the byte, and how many there were: on both backends,
alone and beside others, whole and in pieces."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_answerers import PAIRS, llama, make
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tinyforge.errors import SettingError
from tinyforge.inference.detokenize import decode
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.prompted import PromptedModel
from tinyforge.inference.sampling import chances, log_probability
from tinyforge.inference.token_texts import TokenTexts
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.predictions import Piece, Prediction, TokenScore
from tinyforge.text.fast_tokenizer import FastTokenizer
from tinyforge.text.prompts import parse_prompt

TEXTS = ["the cat", "", "how are you doing today? naïve 🐕", "x"]
WRITERS = ("continuer", "wide_chatter", "reverser")

Opened = Callable[..., OnnxModel]


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


@pytest.fixture(params=["byte_tokenizer", "piece_tokenizer", "fallback_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def said(scores: tuple[TokenScore, ...]) -> str:
    return b"".join(score.bytes for score in scores).decode("utf-8", "replace")


def close(one: Prediction, other: Prediction, tolerance: float = 1e-3) -> None:
    """The same answer with the same scores, up to rounding."""
    assert (one.output, one.finish_reason) == (other.output, other.finish_reason)
    assert (one.prompt_tokens, one.tokens) == (other.prompt_tokens, other.tokens)
    assert len(one.token_scores) == len(other.token_scores)
    for a, b in zip(one.token_scores, other.token_scores, strict=True):
        assert (a.text, a.bytes) == (b.text, b.bytes)
        assert a.log_probability == pytest.approx(b.log_probability, abs=tolerance)
        assert [t.log_probability for t in a.top] == pytest.approx(
            [t.log_probability for t in b.top], abs=tolerance
        )


def test_the_bytes_of_tokens_are_the_text(tokenizer: Any) -> None:
    texts = TokenTexts(tokenizer)
    plain = [i for i in tokenizer.get_vocab().values() if texts.bytes_of(i)]
    anchor = tokenizer("the cat", add_special_tokens=False)["input_ids"]
    before = decode(tokenizer, anchor)
    draw = random.Random(1)
    tried = 0
    for _ in range(300):
        ids = draw.choices(plain, k=4)
        text = decode(tokenizer, anchor + ids)
        if "\N{REPLACEMENT CHARACTER}" not in text:
            tried += 1
            assert b"".join(map(texts.bytes_of, ids)) == text[len(before) :].encode()
    assert tried > 20


def test_characters_that_span_tokens_are_told_by_their_bytes(
    byte_tokenizer: Any, fallback_tokenizer: Any
) -> None:
    for tokenizer in (byte_tokenizer, fallback_tokenizer):
        texts = TokenTexts(tokenizer)
        ids = tokenizer("ж 東", add_special_tokens=False)["input_ids"]
        assert b"".join(map(texts.bytes_of, ids)).decode().strip() == "ж 東"
        assert any(texts.text_of(i) == "\N{REPLACEMENT CHARACTER}" for i in ids)


def test_special_tokens_are_spelt_out_and_add_nothing(byte_tokenizer: Any) -> None:
    texts = TokenTexts(byte_tokenizer)
    end = byte_tokenizer.eos_token_id
    assert (texts.text_of(end), texts.bytes_of(end)) == ("<|end|>", b"")
    assert (texts.text_of(10**6), texts.bytes_of(10**6)) == ("", b"")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "characters", "words"])
@pytest.mark.parametrize("family", ["decoder", "encoder-decoder"])
def test_tokenizers_that_tinyforge_learns(kind: str, family: Any) -> None:
    from tinyforge.text.tokenizer_training import train_tokenizer

    rows = ["the cat sat on the mat", "how are you doing today? fine!", "naïve café"] * 20
    tokenizer = train_tokenizer(rows, kind, 400, family=family)
    texts = TokenTexts(tokenizer)
    for row in rows[:3]:
        ids = tokenizer(row, add_special_tokens=False)["input_ids"]
        found = b"".join(map(texts.bytes_of, ids)).decode()
        assert found.strip() == decode(tokenizer, ids).strip()


def test_real_byte_level_tokens(shared_folder: Path, tmp_path: Path) -> None:
    folder = shared_folder / "models" / "gpt2_tokenizer"
    for packed in ("encoder.json", "vocab.bpe"):
        content = gzip.decompress((folder / f"{packed}.gz").read_bytes())
        (tmp_path / packed).write_bytes(content)
    model = models.BPE.from_file(str(tmp_path / "encoder.json"), str(tmp_path / "vocab.bpe"))
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    texts = TokenTexts(FastTokenizer(backend, {}))
    text = "naïve 東京 🐕‍🦺 don't  stop\n\n"
    assert b"".join(map(texts.bytes_of, backend.encode(text).ids)) == text.encode()
    single = sum(len(content) == 1 for content in texts.vocabulary())
    assert single == 256


def test_scores_are_the_logits(writer: TorchModel) -> None:
    tokenizer, model = writer.tokenizer, writer.model
    for text in ("the cat", PAIRS[0][0]):
        found = writer.predict(text, logprobs=4, max_new_tokens=12)
        prompt = writer.task.encode([_example(text)])[0].input_ids[None]
        ids = torch.from_numpy(prompt.astype(np.int64))
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
            return_dict_in_generate=True, output_logits=True, pad_token_id=writer._writer._pad,
        )  # fmt: skip
        start = 1 if writer.task.family == "encoder-decoder" else ids.shape[1]
        tokens = written.sequences[0, start:].tolist()
        tokens = [t for t in tokens if t not in writer._writer.ends]
        assert found.prompt_tokens == ids.shape[1]
        assert found.tokens == len(tokens) == len(found.token_scores)
        texts = TokenTexts(tokenizer)
        for token, logits, score in zip(tokens, written.logits, found.token_scores, strict=False):
            shares = logits[0].float().log_softmax(-1)
            assert score.text == texts.text_of(token)
            assert score.log_probability == pytest.approx(float(shares[token]), abs=1e-4)
            best = shares.topk(4).values.tolist()
            assert [each.log_probability for each in score.top] == pytest.approx(best, abs=1e-4)
            assert score.top[0].bytes == score.bytes  # it was greedy


def _example(text: str) -> Any:
    from tinyforge.records.examples import Example

    return Example(input=text)


def test_both_backends_tell_the_same(writer: TorchModel, opened: Opened) -> None:
    export = opened(writer)
    for options in (
        {"logprobs": 3, "max_new_tokens": 12},
        {"logprobs": 0, "temperature": 1.2, "seed": 5, "top_k": 40, "max_new_tokens": 12},
        {"logprobs": 2, "stop": ["a", " t"], "max_new_tokens": 20},
    ):
        pairs = zip(export.predict(TEXTS, **options), writer.predict(TEXTS, **options), strict=True)
        for one, other in pairs:
            close(one, other)
            assert all(len(score.top) == options["logprobs"] for score in one.token_scores)


def test_the_answers_are_those_without_scores(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        plain = model.predict(TEXTS, max_new_tokens=12)
        told = model.predict(TEXTS, max_new_tokens=12, logprobs=1)
        for one, other in zip(plain, told, strict=True):
            assert (one.output, one.tokens, one.prompt_tokens) == (
                other.output, other.tokens, other.prompt_tokens,
            )  # fmt: skip
            assert not one.token_scores
            assert len(other.token_scores) == other.tokens
            assert one.confidence == pytest.approx(other.confidence, rel=1e-4)


def test_scores_beside_others_are_as_alone(writer: TorchModel, opened: Opened) -> None:
    export = opened(writer)
    options: dict[str, Any] = {"logprobs": 2, "max_new_tokens": 10}
    texts = [f"the {'cat ' * (i % 5)}sat on {i}" for i in range(12)]
    for one, text in zip(export.predict(texts, **options), texts, strict=True):
        close(one, export.predict(text, **options))


def test_a_sampled_token_has_the_chance_that_the_model_gives_it(writer: TorchModel) -> None:
    plain = writer.predict("the cat", temperature=1.5, seed=2, logprobs=20, max_new_tokens=8)
    cold = writer.predict("the cat", temperature=1.5, top_k=3, seed=2, logprobs=20,
                          max_new_tokens=1)  # fmt: skip
    for score in (*plain.token_scores, *cold.token_scores):
        own = {each.bytes: each.log_probability for each in score.top}
        if score.bytes in own:
            assert score.log_probability == pytest.approx(own[score.bytes], abs=1e-6)
    first = plain.token_scores[0].top[0].log_probability
    assert cold.token_scores[0].top[0].log_probability == pytest.approx(first, abs=1e-4)


def test_tokens_of_a_stop_string_count_and_have_no_score(
    writer: TorchModel, opened: Opened
) -> None:
    for model in (writer, opened(writer)):
        whole = model.predict("the cat", max_new_tokens=24, logprobs=0)
        stop = next(c for c in whole.output[2:] if c.isascii() and c.isalnum())
        found = model.predict("the cat", max_new_tokens=24, logprobs=0, stop=stop)
        text = said(found.token_scores)
        assert found.finish_reason == "stop"
        assert len(found.token_scores) <= found.tokens <= whole.tokens
        assert found.output in text
        assert text[: text.find(stop)].strip() == found.output.strip() or stop not in text


def test_the_pieces_make_up_the_answer(writer: TorchModel, opened: Opened) -> None:
    for model in (writer, opened(writer)):
        for options in (
            {"max_new_tokens": 16, "logprobs": 2},
            {"max_new_tokens": 16, "logprobs": 1, "stop": ["a", "e t", " "]},
            {"max_new_tokens": 16, "temperature": 1.4, "seed": 3, "logprobs": 0},
            {"max_new_tokens": 5},
        ):
            for text in TEXTS:
                pieces: list[Piece] = list(model.stream_pieces(text, **options))
                wanted = model.predict(text, **options)
                assert "".join(piece.text for piece in pieces) == wanted.output
                last = pieces[-1]
                assert (last.finish_reason, last.prompt_tokens, last.tokens) == (
                    wanted.finish_reason, wanted.prompt_tokens, wanted.tokens,
                )  # fmt: skip
                assert last.confidence == pytest.approx(wanted.confidence, rel=1e-3)
                assert all(piece.finish_reason is None for piece in pieces[:-1])
                assert all(piece.text or piece.token_scores for piece in pieces[:-1])
                scores = tuple(score for piece in pieces for score in piece.token_scores)
                assert [score.bytes for score in scores] == [
                    score.bytes for score in wanted.token_scores
                ]
                assert "".join(model.stream(text, **options)) == wanted.output


def test_tokens_that_begin_in_a_stop_string_are_never_told(continuer: TorchModel) -> None:
    """Not even while it could still become another text."""
    whole = continuer.predict("the cat", max_new_tokens=30, logprobs=0).token_scores
    tried = 0
    for first in range(1, len(whole) - 3):
        stop = said(whole[first : first + 3])
        before = said(whole[:first])
        if "\N{REPLACEMENT CHARACTER}" in before + stop or said(whole).find(stop) != len(before):
            continue
        tried += 1
        options: dict[str, Any] = {"max_new_tokens": 30, "logprobs": 0, "stop": [stop]}
        pieces = list(continuer.stream_pieces("the cat", **options))
        told = tuple(score for piece in pieces for score in piece.token_scores)
        assert told == continuer.predict("the cat", **options).token_scores
        assert len(told) == first
        assert pieces[-1].tokens >= first + 3 - (stop != stop.rstrip())
        text = ""
        for piece in pieces[:-1]:  # and a score comes no later than its text
            text += piece.text
            assert text.strip() in before
    assert tried


def test_bytes_that_are_no_character_have_scores(fallback_tokenizer: Any) -> None:
    one = make("language-model", llama(fallback_tokenizer), fallback_tokenizer)
    for seed in range(6):
        found = one.predict("the cat", temperature=2.0, seed=seed, max_new_tokens=20, logprobs=0)
        assert len(found.token_scores) == found.tokens
        pieces = list(
            one.stream_pieces("the cat", temperature=2.0, seed=seed, max_new_tokens=20, logprobs=0)
        )
        assert sum(len(piece.token_scores) for piece in pieces) == found.tokens


def test_beams_and_labels_have_no_scores(reverser: TorchModel, classifier: TorchModel) -> None:
    with pytest.raises(SettingError, match="alternatives"):
        reverser.predict("the cat", num_beams=2, logprobs=1)
    with pytest.raises(SettingError, match="generates no text"):
        classifier.predict("the cat", logprobs=1)
    with pytest.raises(SettingError, match="at most 20"):
        reverser.predict("the cat", logprobs=21)
    beams = reverser.predict(PAIRS[0][0], num_beams=2)
    assert beams.tokens == reverser.predict(PAIRS[0][0]).tokens > 0


def test_a_classifier_says_what_it_read(classifier: TorchModel, opened: Opened) -> None:
    long = "the cat sat on the mat, " * 30
    for model in (classifier, opened(classifier)):
        short, cut = model.predict(["the cat", long])
        assert short.prompt_tokens == len(classifier.tokenizer("the cat")["input_ids"])
        assert (cut.prompt_tokens, cut.tokens) == (32, 0)


def test_a_prompt_is_read_whole(reverser: TorchModel, opened: Opened) -> None:
    prompt = parse_prompt({"template": "reverse: {input}"})
    for model in (reverser, opened(reverser)):
        asked = PromptedModel(model, prompt)
        found = asked.predict("a b c", logprobs=1)
        assert found.prompt_tokens == model.predict("reverse: a b c").prompt_tokens
        pieces = list(asked.stream_pieces("a b c", logprobs=1))
        assert "".join(piece.text for piece in pieces) == found.output
        assert pieces[-1].tokens == found.tokens
        choosing = PromptedModel(model, parse_prompt({"labels": ["a", "b"]}))
        assert choosing.predict("a b c").prompt_tokens > 0


def test_the_likeliest_are_ranked() -> None:
    logits = np.array([0.0, 3.0, -np.inf, 2.0, 1.0], dtype=np.float32)
    room = np.empty(5, dtype=np.float32)
    found = chances(logits, 4, 10, room)
    assert [token for token, _ in found.top] == [1, 3, 4, 0]
    total = float(np.log(np.exp(logits).sum()))
    assert dict(found.top)[4] == found.log_probability == pytest.approx(1.0 - total, abs=1e-6)
    assert log_probability(logits, 4, room) == found.log_probability
    assert chances(logits, 1, 0, room).top == ()
