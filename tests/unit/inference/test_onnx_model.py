"""An exported model answers like the PyTorch model it was made from, in the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_answerers import PAIRS, bert, llama, make

from tinyforge.errors import DataError
from tinyforge.inference.onnx.model import OnnxModel
from tinyforge.inference.prompted import PromptedModel
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.load import load
from tinyforge.records.examples import Example, Message
from tinyforge.text.prompts import parse_prompt

TEXTS = [
    "the cat sat on the mat",
    "",
    "how are you doing today? i'm fine",
    "naïve 🐕 café </s> [SEP] <pad> <|end|>",
    "the cat sat on the mat, " * 30,
]
CHAT = (
    Message("system", "Be brief."),
    Message("user", "hello"),
    Message("assistant", "good morning"),
    Message("user", "how are you?"),
)
WRITERS = ("continuer", "wide_chatter", "reverser")

Opened = Callable[..., OnnxModel]


def test_a_classifier_decides_alike(classifier: TorchModel, opened: Opened) -> None:
    export = opened(classifier)
    for one, other in zip(export.predict(TEXTS), classifier.predict(TEXTS), strict=True):
        assert one.output == other.output
        assert one.labels == other.labels
        assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-5)
    examples = [Example(input=text) for text in TEXTS]
    np.testing.assert_allclose(export.logits(examples), classifier.logits(examples), atol=1e-4)


def test_several_labels_are_decided_alike(piece_tokenizer: Any, opened: Opened) -> None:
    model = make(
        "classify", bert(piece_tokenizer, 3), piece_tokenizer, labels=("a", "b", "c"),
        multi_label=True,
    )  # fmt: skip
    model.task.threshold = 0.37
    export = opened(model)
    assert export.task.threshold == 0.37
    for one, other in zip(export.predict(TEXTS), model.predict(TEXTS), strict=True):
        assert one.labels == other.labels
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


@pytest.mark.parametrize("name", [*WRITERS, "classifier"])
def test_prompts_are_the_same_to_the_last_token(
    name: str, opened: Opened, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(name)
    export = opened(source)
    examples = [Example(input=text) for text in TEXTS]
    if source.task.name == "instruct":
        examples += [Example(messages=CHAT[n:]) for n in (0, 1, 3)]
    assert [export.task.prompt(e) for e in examples] == [source.task.prompt(e) for e in examples]
    for one, other in zip(export.task.encode(examples), source.task.encode(examples), strict=True):
        assert one.input_ids.tolist() == other.input_ids.tolist()
    if source.task.name != "classify":
        answered = [Example(input=a, output=b) for a, b in PAIRS]
        for one, other in zip(
            export.task.encode(answered), source.task.encode(answered), strict=True
        ):
            assert one.labels.tolist() == other.labels.tolist()


def test_turns_end_where_they_did_in_training(byte_tokenizer: Any, opened: Opened) -> None:
    """An end token that only the generation config names ends answers, and no earlier turns."""
    import copy

    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role + ':' + m.content + '<|pad|>\\n' }}{% endfor %}"
        "{{ 'assistant:' if add_generation_prompt else '' }}"
    )
    model = llama(tokenizer, width=64)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    source = make("instruct", model, tokenizer)
    export = opened(source)
    assert export.task.end_ids == source.task.end_ids
    example = Example(messages=CHAT)
    wanted = source.task.encode([example])[0].input_ids.tolist()
    assert export.task.encode([example])[0].input_ids.tolist() == wanted


def test_what_both_say_of_themselves(classifier: TorchModel, opened: Opened) -> None:
    ours, theirs = opened(classifier).info(), classifier.info()
    for key in ("task", "labels", "multi_label", "family", "model_type", "parameters",
                "max_positions"):  # fmt: skip
        assert ours[key] == theirs[key]
    assert ours["weights"] == theirs["model"]
    assert opened(classifier).device == "cpu"
    assert opened(classifier).threads == 1
    assert set(theirs) <= set(ours)


@pytest.mark.parametrize("name", WRITERS)
def test_a_prompt_chooses_alike(name: str, opened: Opened, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(name)
    prompt = parse_prompt(
        {"template": "{input} is", "answer_prefix": " ", "labels": ["the cat", "fine", "a b c"]}
    )
    texts = ["the cat", "how are you", "naïve"]
    pairs = zip(
        PromptedModel(opened(source), prompt).predict(texts),
        PromptedModel(source, prompt).predict(texts),
        strict=True,
    )
    for one, other in pairs:
        assert one.output == other.output
        assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-4)


def test_a_prompt_and_an_export_are_saved_together(
    reverser: TorchModel, opened: Opened, tmp_path: Path
) -> None:
    prompt = parse_prompt({"template": "reverse: {input}", "stop": ["."]})
    asked = PromptedModel(opened(reverser), prompt)
    folder = asked.save(tmp_path / "both")
    again = load(folder)
    assert isinstance(again, PromptedModel)
    assert isinstance(again.base, OnnxModel)
    for text in ("a b c", "the cat"):
        assert again.predict(text).output == asked.predict(text).output
    again.base.close()


def test_it_is_loaded_by_its_folder(
    classifier: TorchModel, exported: Callable[[TorchModel], Path], caplog: pytest.LogCaptureFixture
) -> None:
    model = load(exported(classifier))
    assert isinstance(model, OnnxModel)
    assert "has not passed its gate" in caplog.text
    assert model.predict("the cat").output == classifier.predict("the cat").output
    with pytest.raises(DataError):
        model.predict(3)
    model.close()


def test_answers_do_not_depend_on_the_rows_beside_them(
    classifier: TorchModel, opened: Opened
) -> None:
    export = opened(classifier)
    texts = [f"the {'cat ' * (i % 9)}sat on {i}" for i in range(60)]
    alone = [export.predict(text) for text in texts]
    for one, other in zip(alone, export.predict(texts), strict=True):
        assert one.output == other.output
        assert dict(one.scores) == pytest.approx(dict(other.scores), abs=1e-5)


def test_torch_is_left_as_it_was(classifier: TorchModel) -> None:
    """Asking for logits is no training, and leaves a model in training in training."""
    classifier.model.train()
    try:
        found = classifier.logits([Example(input="the cat")])
        assert classifier.model.training
    finally:
        classifier.model.eval()
    np.testing.assert_array_equal(found, classifier.logits([Example(input="the cat")]))
    assert torch.is_grad_enabled()
