"""Answers of every family: right, in order, the same alone and together."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_answerers import PAIRS, bert, gpt2, make

from tinyforge.errors import DataError, ModelError, SettingError
from tinyforge.inference.modes import answering
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.save import save_model
from tinyforge.records.examples import Example, Message
from tinyforge.tasks import guess_task

INPUTS = [
    "the cat",
    "",
    "how are you doing today? i'm fine",
    "naïve 🐕",
    "the",
    "</s> [SEP] <|end|>",
]


@pytest.fixture(params=["continuer", "chatter", "reverser", "classifier"])
def anything(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


@pytest.fixture(params=["continuer", "chatter", "reverser"])
def writer(request: pytest.FixtureRequest) -> TorchModel:
    model: TorchModel = request.getfixturevalue(request.param)
    return model


def test_a_list_is_answered_in_order_as_one_by_one(anything: TorchModel) -> None:
    together = anything.predict(INPUTS)
    alone = [anything.predict(text) for text in INPUTS]
    assert [p.input for p in together] == INPUTS
    for one, other in zip(together, alone, strict=True):
        assert one.output == other.output
        assert one.confidence == pytest.approx(other.confidence, rel=1e-4)
        assert one.finish_reason == other.finish_reason
        assert dict(one.scores) == pytest.approx(dict(other.scores), rel=1e-4)


def test_no_inputs_no_answers(anything: TorchModel) -> None:
    assert anything.predict([]) == []


def test_what_was_learnt_is_answered_until_the_end_token(reverser: TorchModel) -> None:
    for question, answer in PAIRS:
        found = reverser.predict(question)
        assert (found.output, found.finish_reason) == (answer, "stop")
        assert found.confidence is not None
        assert found.confidence > 0.9


@pytest.mark.parametrize("beams", [1, 3])
def test_encoder_decoder_writes_what_transformers_writes(reverser: TorchModel, beams: int) -> None:
    tokenizer, model = reverser.tokenizer, reverser.model
    for text in ("reverse: the dog", "words", PAIRS[0][0]):
        ids = tokenizer(text, return_tensors="pt").input_ids
        written = model.generate(
            ids, max_new_tokens=20, num_beams=beams, do_sample=False,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        found = reverser.predict(text, max_new_tokens=20, num_beams=beams)
        expected = tokenizer.decode(written.sequences[0], skip_special_tokens=True)
        assert found.output == expected.strip()
        if beams == 1:
            assert found.confidence == pytest.approx(geometric_mean(written, 1), rel=1e-4)


def geometric_mean(written: Any, start: int) -> float:
    tokens = written.sequences[0, start:]
    logs = [
        logits[0].float().log_softmax(-1)[token].item()
        for logits, token in zip(written.logits, tokens, strict=True)
    ]
    return float(torch.tensor(logs).mean().exp())


@pytest.mark.parametrize("beams", [1, 3])
def test_decoder_continues_as_transformers_does(continuer: TorchModel, beams: int) -> None:
    tokenizer, model = continuer.tokenizer, continuer.model
    for text in ("the cat", "how are you doing today? naïve"):
        ids = tokenizer(text, return_tensors="pt").input_ids
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, num_beams=beams,
            do_sample=False, return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        found = continuer.predict(text, max_new_tokens=15, num_beams=beams)
        whole = tokenizer.decode(
            written.sequences[0], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert text + found.output == whole
        if beams == 1:
            start = ids.shape[1]
            assert found.confidence == pytest.approx(geometric_mean(written, start), rel=1e-4)


def test_beams_and_greedy_measure_confidence_alike(writer: TorchModel) -> None:
    # One beam's answer may be the greedy one; then both must give it the same probability.
    for text in INPUTS:
        greedy = writer.predict(text, max_new_tokens=3)
        beams = writer.predict(text, max_new_tokens=3, num_beams=2)
        if greedy.output == beams.output and greedy.finish_reason == beams.finish_reason:
            assert beams.confidence == pytest.approx(greedy.confidence, rel=1e-3)


def test_real_weights_continue_the_story(shared_folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shared_folder / "models" / "stories260K"
    found = TorchModel.load(folder)
    tokenizer, model = (c.from_pretrained(folder) for c in (AutoTokenizer, AutoModelForCausalLM))
    ids = tokenizer("Once upon a time", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=64, do_sample=False)
    whole = tokenizer.decode(written[0], skip_special_tokens=True)
    answer = found.predict("Once upon a time")
    assert "Once upon a time" + answer.output == whole
    assert answer.output.startswith(", there was")
    weights = (folder / "model.safetensors").read_bytes()
    assert answer.model == hashlib.sha256(weights).hexdigest()[:12]
    assert "".join(found.stream("Once upon a time")) == answer.output


def test_a_seed_makes_a_row_the_same_in_any_company(writer: TorchModel) -> None:
    how: dict[str, Any] = {"temperature": 1.3, "top_k": 50, "top_p": 0.95, "max_new_tokens": 12}
    together = writer.predict(INPUTS, seed=4, **how)
    assert [writer.predict(t, seed=4, **how).output for t in INPUTS] == [p.output for p in together]
    assert together != writer.predict(INPUTS, seed=5, **how)


def test_torch_s_generator_is_left_alone(writer: TorchModel) -> None:
    before = torch.get_rng_state()
    writer.predict(INPUTS[:2], temperature=1.0, max_new_tokens=3)
    writer.predict(INPUTS[:2], num_beams=2, max_new_tokens=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stop_string_ends_the_answer_and_is_left_out(writer: TorchModel) -> None:
    whole = writer.predict("the cat", max_new_tokens=24)
    stop = next(c for c in whole.output[1:] if c.isascii() and c.isalnum())
    before = whole.output[: whole.output.index(stop)]
    for beams in (1, 2):
        found = writer.predict("the cat", max_new_tokens=24, stop=["never", stop], num_beams=beams)
        assert stop not in found.output
        assert found.confidence is not None
        if beams == 1:
            assert found.output.strip() == before.strip()
            assert found.finish_reason == "stop"
    together = writer.predict(["the cat", "how", ""], max_new_tokens=24, stop=stop)
    assert together[0].output == writer.predict("the cat", max_new_tokens=24, stop=stop).output


def test_long_inputs_are_cut_and_said(
    continuer: TorchModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "the cat sat on the mat, " * 40
    monkeypatch.setattr(logging.getLogger("tinyforge"), "propagate", True)
    with caplog.at_level(logging.WARNING, "tinyforge"):
        answers = continuer.predict([long, "the", long[:70]], max_new_tokens=20)
        assert "1 of 3 inputs" in caplog.text
    assert answers[1].output == continuer.predict("the", max_new_tokens=20).output
    # The prompt's end is read, and all the room that the answer may need is kept.
    tokenizer = continuer.tokenizer
    ids = tokenizer(long, return_tensors="pt").input_ids[:, -44:]
    written = continuer.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
    )
    assert answers[0].output == tokenizer.decode(written[0, 44:], skip_special_tokens=True)


def test_more_tokens_than_positions_are_as_many_as_there_are(continuer: TorchModel) -> None:
    long = "the cat sat on the mat, " * 40
    texts = ["the", long[:30], long]
    together = continuer.predict(texts, max_new_tokens=1000)
    assert [p.output for p in together] == [
        continuer.predict(text, max_new_tokens=1000).output for text in texts
    ]


def test_a_classifier_reads_the_beginning_of_a_long_text(classifier: TorchModel) -> None:
    long = "the cat sat on the mat " * 50
    assert classifier.predict(long).scores == pytest.approx(
        dict(classifier.predict(long[:600]).scores), rel=1e-4
    )
    assert sum(classifier.predict("x").scores.values()) == pytest.approx(1)


def test_the_mode_of_a_model_in_training_comes_back(piece_tokenizer: Any) -> None:
    model = bert(piece_tokenizer, 2)
    one = make("classify", model, piece_tokenizer, labels=("a", "b"))
    model.train()
    model.bert.pooler.eval()
    first = one.predict("the cat").scores
    assert first == one.predict("the cat").scores  # no dropout
    assert model.training
    assert model.bert.encoder.training
    assert not model.bert.pooler.training


def test_what_a_module_keeps_from_answering_can_be_trained_with() -> None:
    class Keeps(torch.nn.Linear):
        kept = torch.zeros(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.kept = x * 2
            return super().forward(x)

    module = Keeps(2, 2).train()
    with answering(module):
        module(torch.ones(1, 2))
        assert not module.training
    (module.weight * module.kept).sum().backward()
    module.eval()
    with answering(module):
        assert torch.is_inference_mode_enabled()


def test_a_model_can_be_trained_on_after_it_answered(byte_tokenizer: Any) -> None:
    model = gpt2(byte_tokenizer).train()
    one = make("language-model", model, byte_tokenizer)
    one.predict("the", max_new_tokens=4)
    batch = one.task.collate(one.task.encode([Example(output="the cat")]))
    one.task.loss(model, batch).backward()
    assert model.transformer.wte.weight.grad is not None


def test_a_chat_is_answered_through_the_template(chatter: TorchModel) -> None:
    turn = [{"role": "user", "content": "the cat"}]
    plain = chatter.predict("the cat", max_new_tokens=8)
    assert chatter.predict(turn, max_new_tokens=8).output == plain.output
    assert chatter.predict({"messages": turn}, max_new_tokens=8) == plain
    both = chatter.predict([turn, "the dog"], max_new_tokens=8)
    assert [p.input for p in both] == ["the cat", "the dog"]
    longer = [*turn, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "the cat"}]
    assert chatter.predict(longer, max_new_tokens=8).output != plain.output
    asked = Example(
        input="the cat", output="gold",
        messages=(Message("user", "the cat"), Message("assistant", "gold")),
    )  # fmt: skip
    assert chatter.predict_examples([asked], max_new_tokens=8)[0].output == plain.output


def test_a_model_that_does_not_chat_says_so(reverser: TorchModel) -> None:
    with pytest.raises(DataError, match="does not chat"):
        reverser.predict([{"role": "user", "content": "the cat"}])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "Did you mean 'temperature'"),
        ({"top_k": 5}, "top_k"),
        ({"temperature": -1}, "temperature"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop": [""]}, "empty stop string"),
        ({"num_beams": 2, "temperature": 1}, "num_beams"),
    ],
)
def test_wrong_options(writer: TorchModel, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        writer.predict("the", **options)
    with pytest.raises(SettingError, match=words):
        writer.stream("the", **options)


def test_options_of_text_have_no_effect_on_labels(classifier: TorchModel) -> None:
    with pytest.raises(SettingError, match="has no effect"):
        classifier.predict("the", max_new_tokens=3)
    with pytest.raises(SettingError, match="labels"):
        classifier.stream("the")
    assert [p.output for p in classifier.predict(INPUTS, batch_size=2)] == [
        p.output for p in classifier.predict(INPUTS)
    ]


def test_wrong_inputs(reverser: TorchModel) -> None:
    for wrong in (3, None, b"bytes", ["ok", 3]):
        with pytest.raises(DataError):
            reverser.predict(wrong)
    with pytest.raises(DataError, match="one input"):
        reverser.stream(["a", "b"])


def test_a_saved_model_answers_the_same(reverser: TorchModel, tmp_path: Path) -> None:
    save_model(reverser.model, reverser.tokenizer, tmp_path, reverser.task.state())
    loaded = TorchModel.load(tmp_path)
    texts = [question for question, _ in PAIRS]
    assert [p.output for p in loaded.predict(texts)] == [p.output for p in reverser.predict(texts)]
    info = loaded.info()
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert info["model"] == digest[:12]
    assert (info["task"], info["family"]) == ("text2text", "encoder-decoder")
    told = TorchModel.from_loaded(reverser.model, reverser.tokenizer, reverser.task, path=tmp_path)
    assert told.predict(texts[0]).model == digest[:12]


def test_foreign_folders_answer_as_they_are(
    piece_tokenizer: Any, byte_tokenizer: Any, reverser: TorchModel, tmp_path: Path
) -> None:
    model = bert(piece_tokenizer, 2)
    model.config.id2label = {0: "NEGATIVE", 1: "POSITIVE"}
    for name, one, tokenizer in (
        ("classify", model, piece_tokenizer),
        ("t5", reverser.model, piece_tokenizer),
        ("gpt2", gpt2(byte_tokenizer), byte_tokenizer),
    ):
        one.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    assert TorchModel.load(tmp_path / "classify").labels == ("NEGATIVE", "POSITIVE")
    assert TorchModel.load(tmp_path / "t5").predict(PAIRS[0][0]).output == PAIRS[0][1]
    assert TorchModel.load(tmp_path / "gpt2").task.name == "language-model"


def test_a_model_s_own_sampling_habits_do_not_apply(byte_tokenizer: Any) -> None:
    plain = make("language-model", gpt2(byte_tokenizer), byte_tokenizer)
    model = gpt2(byte_tokenizer)
    habits = model.generation_config
    habits.do_sample, habits.temperature, habits.top_k, habits.num_beams = True, 0.7, 5, 3
    habits.repetition_penalty, habits.no_repeat_ngram_size, habits.min_new_tokens = 1.5, 2, 30
    habits.max_length = 7
    habitual = make("language-model", model, byte_tokenizer)
    assert [p.output for p in habitual.predict(INPUTS, max_new_tokens=20)] == [
        p.output for p in plain.predict(INPUTS, max_new_tokens=20)
    ]


def test_every_end_token_of_the_model_ends_an_answer(byte_tokenizer: Any) -> None:
    model = gpt2(byte_tokenizer)
    one = make("language-model", model, byte_tokenizer)
    ids = byte_tokenizer("the cat", return_tensors="pt").input_ids
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
    )[0, ids.shape[1] :].tolist()
    assert one.predict("the cat", max_new_tokens=5).finish_reason == "length"
    model.generation_config.eos_token_id = [byte_tokenizer.eos_token_id, written[3]]
    ended = make("language-model", model, byte_tokenizer).predict("the cat", max_new_tokens=5)
    assert ended.finish_reason == "stop"


def test_damaged_numbers_are_no_answer(piece_tokenizer: Any, byte_tokenizer: Any) -> None:
    model = bert(piece_tokenizer, 2)
    torch.nn.init.constant_(model.classifier.weight, float("nan"))
    with pytest.raises(ModelError, match="finite"):
        make("classify", model, piece_tokenizer, labels=("a", "b")).predict("the")
    writer = gpt2(byte_tokenizer)
    torch.nn.init.constant_(writer.transformer.ln_f.weight, float("nan"))
    assert make("language-model", writer, byte_tokenizer).predict("the").confidence is None


def test_the_hash_follows_the_weights(piece_tokenizer: Any) -> None:
    def named(model: Any) -> str:
        task = guess_task(model.config, piece_tokenizer)
        return TorchModel.from_loaded(model, piece_tokenizer, task).hash

    model = bert(piece_tokenizer, 2)
    model.config.architectures = ["BertForSequenceClassification"]
    first = named(model)
    assert len(first) == 12
    assert first == named(model)
    with torch.no_grad():
        model.classifier.bias[0] += 1e-6
    assert named(model) != first
