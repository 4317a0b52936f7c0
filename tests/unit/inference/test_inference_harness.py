"""Models asked as the lm-evaluation-harness asks, against plain forward passes of transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_answerers import gpt2, llama, make

from tinyforge.errors import DataError, ModelError
from tinyforge.inference.harness import HarnessModel, generation_options
from tinyforge.inference.torch_model import TorchModel

ASKED = [
    ("the cat sat on", " the mat"),
    ("the cat sat on", " the log."),
    ("the cat sat on", " it"),
    ("how are you? ", "i'm fine"),
    ("", "how are you doing today?"),
]


def requests(*args: tuple[Any, ...]) -> list[Any]:
    return [SimpleNamespace(args=each) for each in args]


@torch.no_grad()
def by_hand(model: Any, prompt: list[int], answer: list[int]) -> tuple[float, bool]:
    """One forward pass over one whole sequence."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
    chosen = logits[len(prompt) - 1 : -1]
    each = chosen.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])
    return float(each.sum()), chosen.argmax(-1).tolist() == answer


@pytest.fixture(params=["gpt2", "llama"])
def decoder(request: pytest.FixtureRequest) -> TorchModel:
    tokenizer = request.getfixturevalue(
        "byte_tokenizer" if request.param == "gpt2" else "fallback_tokenizer"
    )
    model = gpt2(tokenizer) if request.param == "gpt2" else llama(tokenizer)
    return make("language-model", model, tokenizer)


def test_a_continuation_is_as_likely_as_by_hand(decoder: TorchModel) -> None:
    tokenizer = decoder.tokenizer
    found = HarnessModel(decoder).loglikelihood(requests(*ASKED))
    for (text, continuation), (value, greedy) in zip(ASKED, found, strict=True):
        prompt = tokenizer(text.rstrip())["input_ids"] if text else []
        whole = tokenizer(text + continuation)["input_ids"]
        answer = whole[len(prompt) :]
        if not prompt:
            prompt = [tokenizer.bos_token_id]
            answer = tokenizer(continuation, add_special_tokens=False)["input_ids"]
        expected, likeliest = by_hand(decoder.model, prompt, answer)
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert greedy == likeliest


def test_what_greedy_writing_gives_is_greedy(decoder: TorchModel) -> None:
    text = "the cat sat"
    prompt = decoder.tokenizer(text)["input_ids"]
    ids = list(prompt)
    for _ in range(3):
        with torch.no_grad():
            ids.append(int(decoder.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    model = HarnessModel(decoder)
    other = [*ids[:-1], (ids[-1] + 1) % len(decoder.tokenizer)]
    pairs = [
        (torch.tensor(prompt).numpy().astype("int32"),
         torch.tensor(whole[len(prompt) :]).numpy().astype("int32"))
        for whole in (ids, other, ids[: len(prompt) + 1], [*prompt, (ids[len(prompt)] + 1) % 99])
    ]  # fmt: skip
    assert [greedy for _, greedy in model._scored(pairs)] == [True, False, True, False]
    model._scorer._shares = False
    assert [greedy for _, greedy in model._scored(pairs)] == [True, False, True, False]


def test_an_encoder_decoder_counts_no_end_token(reverser: TorchModel) -> None:
    asked = [("reverse: a b c", "c b a"), ("reverse: a b c", "a"), ("reverse: the cat", "cat the")]
    model = HarnessModel(reverser)
    found = model.loglikelihood(requests(*asked))
    model._scorer._shares = False
    plainly = model.loglikelihood(requests(*asked))
    for (text, answer), (value, greedy), again in zip(asked, found, plainly, strict=True):
        given = reverser.tokenizer([text], return_tensors="pt")["input_ids"]
        ids = reverser.tokenizer(answer, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            out = reverser.model(input_ids=given, labels=torch.tensor([ids]))
        assert value == pytest.approx(-float(out.loss) * len(ids), rel=1e-4, abs=1e-4)
        assert greedy == (out.logits[0].argmax(-1).tolist() == ids)
        assert again == (pytest.approx(value, rel=1e-4, abs=1e-4), greedy)
    assert found[0][1], "it has learnt this answer by heart"
    assert not found[1][1]


def test_a_long_text_is_measured_once_in_windows(byte_tokenizer: Any) -> None:
    answerer = make("language-model", gpt2(byte_tokenizer, positions=12), byte_tokenizer)
    text = "the cat sat on the mat, and the dog sat on the log. how are you doing today?"
    ids = byte_tokenizer(text)["input_ids"]
    assert len(ids) > 24
    expected, whole = 0.0, [byte_tokenizer.bos_token_id, *ids]
    begins = list(range(0, len(whole) - 12, 11))
    for begin in begins:
        piece = whole[begin : begin + 12]
        expected += by_hand(answerer.model, piece[:1], piece[1:])[0]
    left = len(whole) - (begins[-1] + 12)
    expected += by_hand(answerer.model, whole[-12:-left], whole[-left:])[0]
    model = HarnessModel(answerer)
    short = "the cat"
    alone = by_hand(answerer.model, whole[:1], byte_tokenizer(short)["input_ids"])[0]
    found = model.loglikelihood_rolling(requests((text,), (short,), ("",)))
    assert found == pytest.approx([expected, alone, 0.0], rel=1e-4, abs=1e-4)


def test_a_text_that_is_too_long_loses_its_beginning(byte_tokenizer: Any) -> None:
    answerer = make("language-model", gpt2(byte_tokenizer, positions=16), byte_tokenizer)
    text = "the cat sat on the mat, and the dog sat on the log. how are you doing"
    model = HarnessModel(answerer)
    ((value, _),) = model.loglikelihood(requests((text, " today")))
    prompt = byte_tokenizer(text)["input_ids"]
    answer = byte_tokenizer(text + " today")["input_ids"][len(prompt) :]
    kept = prompt[-(16 - len(answer)) :]
    assert value == pytest.approx(by_hand(answerer.model, kept, answer)[0], rel=1e-4, abs=1e-4)
    assert model.cut == 1
    with pytest.raises(ModelError, match="the model reads 16"):
        model.loglikelihood(requests(("x", text)))


def test_a_continuation_that_grows_into_the_text_and_one_of_nothing(byte_tokenizer: Any) -> None:
    answerer = make("language-model", gpt2(byte_tokenizer), byte_tokenizer)
    model = HarnessModel(answerer)
    joined = byte_tokenizer("the")["input_ids"]
    assert len(joined) == 1
    found = model.loglikelihood(requests(("th", "e"), ("the cat", "")))
    start = [byte_tokenizer.bos_token_id]
    assert found[0][0] == pytest.approx(by_hand(answerer.model, start, joined)[0], abs=1e-4)
    assert found[1] == (0.0, True)


def test_a_chat_model_is_asked_for_raw_text(chatter: TorchModel) -> None:
    ((value, _),) = HarnessModel(chatter).loglikelihood(requests(("the cat", " sat")))
    prompt, whole = (chatter.tokenizer(text)["input_ids"] for text in ("the cat", "the cat sat"))
    expected, _ = by_hand(chatter.model, prompt, whole[len(prompt) :])
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_writing_ends_at_a_stop_string(reverser: TorchModel) -> None:
    told: list[tuple[int, int]] = []
    model = HarnessModel(reverser, lambda done, total: told.append((done, total)))
    text = "reverse: you are how"
    found = model.generate_until(
        requests(
            (text, {"until": ["."], "max_gen_toks": 20, "do_sample": False, "temperature": 0.0}),
            ("reverse: a b c", {"until": []}),
            (text, {"until": "you", "max_gen_toks": 20}),
        )
    )
    assert found[0] == "how are you"
    assert found[1] == "c b a"
    assert found[2].strip() == "how are"
    assert told[-1] == (3, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"until": ["\n", ""]}, {"max_new_tokens": 256, "stop": ("\n",), "num_beams": None}),
        (
            {"do_sample": False, "temperature": 0.7, "top_p": 0.9, "max_tokens": 5},
            {"max_new_tokens": 5, "stop": (), "num_beams": None},
        ),
        (
            {"do_sample": True, "top_p": 0.9},
            {"max_new_tokens": 256, "stop": (), "num_beams": None, "temperature": 1.0,
             "top_k": None, "top_p": 0.9},
        ),
    ],
)  # fmt: skip
def test_the_harness_s_words_for_writing(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert generation_options(given) == expected


def test_an_unknown_way_of_writing_is_refused() -> None:
    with pytest.raises(DataError, match=r"not known here.*typical_p"):
        generation_options({"typical_p": 0.3})


def test_a_classifier_is_refused(classifier: TorchModel) -> None:
    with pytest.raises(ModelError, match="a classifier cannot tell"):
        HarnessModel(classifier)
