"""Answers scored on a text that was read once, as if each were read with it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tiny_answerers import gpt2, llama, make

from tinyforge.errors import ModelError
from tinyforge.inference.candidates import AnswerReader, Candidates
from tinyforge.inference.choosing import AnswerScorer
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example

WORDS = ("good", "so so", "really bad indeed")
CONTEXTS = [
    "how are you? it was",
    "the cat sat on the mat, and the dog sat on the log. i'm fine. it was",
    "x",
]


@pytest.fixture(scope="module")
def llama_continuer(fallback_tokenizer: Any) -> TorchModel:
    """A Llama whose tokenizer puts <s> first and a space before a text."""
    return make("language-model", llama(fallback_tokenizer, positions=400), fallback_tokenizer)


def scored(answerer: TorchModel, contexts: list[str], words: tuple[str, ...]) -> np.ndarray:
    reader = AnswerReader(answerer.task, words, " ")
    scorer = AnswerScorer(answerer.model, answerer.task)
    found = np.stack(scorer.log_likelihoods(reader.candidates(contexts)))
    assert scorer._shares, "the cache of this model can be shared"
    plain = np.stack(scorer._plainly(reader.candidates(contexts)))
    assert found == pytest.approx(plain, rel=1e-4, abs=1e-4)
    return found


@torch.no_grad()
def by_hand(model: Any, prompt: list[int], answer: list[int]) -> float:
    """A forward pass of transformers over one whole sequence."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
    shares = logits.log_softmax(-1)
    return sum(float(shares[len(prompt) + i - 1, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("name", ["continuer", "llama_continuer"])
def test_a_model_that_continues_text(name: str, request: pytest.FixtureRequest) -> None:
    answerer: TorchModel = request.getfixturevalue(name)
    tokenizer = answerer.tokenizer
    contexts = [text[-60:] for text in CONTEXTS]
    found = scored(answerer, contexts, WORDS)
    for context, row in zip(contexts, found, strict=True):
        prompt = tokenizer(context)["input_ids"]
        for word, value in zip(WORDS, row, strict=True):
            whole = tokenizer(f"{context} {word}")["input_ids"]
            assert whole[: len(prompt)] == prompt
            expected = by_hand(answerer.model, prompt, whole[len(prompt) :])
            assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_chat_model(chatter: TorchModel) -> None:
    found = scored(chatter, ["fine?"], WORDS)
    tokenizer = chatter.tokenizer
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "fine?"}], tokenize=False, add_generation_prompt=True
    )
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    for word, value in zip(WORDS, found[0], strict=True):
        answer = tokenizer(word, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        expected = by_hand(chatter.model, prompt, answer)
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_an_encoder_decoder(reverser: TorchModel) -> None:
    words = ("c b a", "cat the", "how")
    contexts = ["reverse: a b c", "reverse: the cat sat on the mat", "?"]
    found = scored(reverser, contexts, words)
    for context, row in zip(contexts, found, strict=True):
        for word, value in zip(words, row, strict=True):
            ids = reverser.tokenizer([context, word])["input_ids"]
            with torch.no_grad():
                out = reverser.model(
                    input_ids=torch.tensor([ids[0]]), labels=torch.tensor([ids[1]])
                )
            assert value == pytest.approx(-float(out.loss) * len(ids[1]), rel=1e-4, abs=1e-4)
    assert found[0].argmax() == 0


def test_words_that_join_with_the_text_are_scored_from_where_they_differ(
    byte_tokenizer: Any,
) -> None:
    """Without a space between, the last token of the text may become another one."""
    reader = AnswerReader(
        make("language-model", gpt2(byte_tokenizer), byte_tokenizer).task, ("ing", "s"), ""
    )
    (found,) = reader.candidates(["what are you do"])
    wholes = [byte_tokenizer(f"what are you do{word}")["input_ids"] for word in ("ing", "s")]
    for answer, whole in zip(found.answers, wholes, strict=True):
        assert [*found.prompt, *answer] == whole
        assert len(answer)


def test_nothing_to_read_before_the_answer(continuer: TorchModel) -> None:
    reader = AnswerReader(continuer.task, ("good", "bad"), "")
    (found,) = reader.candidates([""])
    assert found.prompt.tolist() == [continuer.tokenizer.bos_token_id]


def test_a_model_whose_cache_cannot_be_shared(
    continuer: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = AnswerReader(continuer.task, WORDS, " ")
    scorer = AnswerScorer(continuer.model, continuer.task)
    expected = scorer.log_likelihoods(reader.candidates(CONTEXTS[:1]))
    other = AnswerScorer(continuer.model, continuer.task)
    monkeypatch.setattr("tinyforge.inference.choosing._select", lambda cache, rows: cache.no_such)
    found = other.log_likelihoods(reader.candidates(CONTEXTS[:1]))
    assert other._shares is False
    assert found[0] == pytest.approx(expected[0], rel=1e-4)


def test_a_cache_that_gives_other_numbers_is_not_used(
    continuer: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = AnswerReader(continuer.task, WORDS, " ")
    scorer = AnswerScorer(continuer.model, continuer.task)
    real = scorer._rest
    monkeypatch.setattr(scorer, "_rest", lambda *given: real(*given) + 0.5)
    scorer.log_likelihoods(reader.candidates(CONTEXTS[:1]))
    assert scorer._shares is False


def test_small_batches_change_nothing(
    continuer: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = AnswerReader(continuer.task, WORDS, " ")
    rows = reader.candidates(CONTEXTS * 3)
    expected = np.stack(AnswerScorer(continuer.model, continuer.task).log_likelihoods(rows))
    monkeypatch.setattr("tinyforge.inference.choosing.LOGITS", 1)
    monkeypatch.setattr("tinyforge.inference.choosing.reading_budget", lambda device: 1)
    found = np.stack(AnswerScorer(continuer.model, continuer.task).log_likelihoods(rows))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_prompt_at_the_end_of_the_positions(byte_tokenizer: Any) -> None:
    """Padding after a short answer must not reach beyond the last position."""
    answerer = make("language-model", gpt2(byte_tokenizer, positions=24), byte_tokenizer)
    long, short = np.arange(5, 27, dtype=np.int32), np.arange(5, 9, dtype=np.int32)
    four, two = np.array([7, 8, 9, 10], np.int32), np.array([7, 8], np.int32)
    rows = [Candidates(long, (two,)), Candidates(short, (four, two))]
    scorer = AnswerScorer(answerer.model, answerer.task)
    found = np.concatenate(scorer.log_likelihoods(rows))
    assert scorer._shares
    assert found == pytest.approx(np.concatenate(scorer._plainly(rows)), rel=1e-4)


def test_a_damaged_model_is_named(byte_tokenizer: Any) -> None:
    model = gpt2(byte_tokenizer)
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("nan"))
    answerer = make("language-model", model, byte_tokenizer)
    reader = AnswerReader(answerer.task, WORDS, " ")
    with pytest.raises(ModelError, match="not finite"):
        AnswerScorer(model, answerer.task).log_likelihoods(reader.candidates(["a"]))


def test_the_model_is_left_in_its_mode(byte_tokenizer: Any) -> None:
    model = gpt2(byte_tokenizer).train()
    answerer = make("language-model", model, copy.deepcopy(byte_tokenizer))
    reader = AnswerReader(answerer.task, WORDS, " ")
    AnswerScorer(model, answerer.task).log_likelihoods(reader.candidates(["a", "b c"]))
    assert model.training
    assert AnswerScorer(model, answerer.task).log_likelihoods([]) == []
    assert answerer.task.encode([Example(input="a")])
