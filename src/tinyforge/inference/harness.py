"""A model as the lm-evaluation-harness wants to ask it.

The harness (Gao et al. 2021, "A framework for few-shot language model evaluation") asks every model
for raw text: no chat template, no prefix, no end token after an answer. So a decoder continues the
text as it stands, whatever it was trained for; an encoder-decoder reads it and writes the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.inference.candidates import Candidates, Ids
from tinyforge.inference.choosing import AnswerScorer
from tinyforge.inference.limits import UNBOUNDED_LENGTH
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example
from tinyforge.tasks.language_model import LanguageModel
from tinyforge.tasks.text2text import EncoderDecoderText
from tinyforge.tasks.tokens import int32, token_ids

MAX_NEW_TOKENS = 256
"""Tokens written at most where a task of the harness does not say; the harness's own number."""

_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_SAMPLING = ("temperature", "top_k", "top_p")
_CHUNK = 512

Pair = tuple[Ids, Ids]
Progress = Callable[[int, int], None]


class HarnessModel:
    """What ``lm_eval.api.model.LM`` has to do, with our batched likelihoods and our writing.

    It knows nothing of the harness's classes: a request is anything with ``args``. Beside them it
    becomes one of its models, as ``recipes.lm_eval`` does.

    Text and answer are divided into tokens as the harness's own Hugging Face model does it, so the
    numbers are the same within rounding. Where both together are longer than the model reads, the
    text loses its beginning; one token more of it than in the harness, which never reads the last.

    Args:
        model: a model that writes text.
        progress: called with (requests done, requests in all).

    Attributes:
        cut: texts that lost their beginning.

    Raises:
        ModelError: the model is a classifier.
    """

    def __init__(self, model: TorchModel, progress: Progress | None = None) -> None:
        super().__init__()
        if model.task.name == "classify":
            raise ModelError(
                "a classifier cannot tell how likely a text is", value=model.name,
                fix="Ask the tasks of lm-eval of a model that writes text",
            )  # fmt: skip
        tokenizer, config = model.tokenizer, model.model.config
        self._decoder = model.task.family == "decoder"
        self._task: Any = (LanguageModel if self._decoder else EncoderDecoderText)(
            tokenizer, config
        )
        settings = GenerateSettings(batch_size=model.settings.batch_size)
        self._writer = TorchModel.from_loaded(
            model.model, tokenizer, self._task, name=model.name, path=model.path, settings=settings
        )
        self._scorer = AnswerScorer(model.model, self._task)
        self._limit = model.max_positions or UNBOUNDED_LENGTH
        self._progress = progress
        self.cut = 0

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """For each (text, continuation): its log-likelihood in nats, and whether greedy writing
        would have given it."""
        asked = [tuple(request.args) for request in requests]
        return self._scored(self._pairs([(str(a), str(b)) for a, b in asked]))

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """The log-likelihood in nats of each whole text, after the model's start token.

        Special tokens that the tokenizer puts around a text are not counted. A long text is
        measured in windows that do not overlap, but that each is given the last token of the one
        before, and the last one as many as fit: the harness's way.
        """
        texts = [str(request.args[0]) for request in requests]
        pieces = [
            self._windows(int32(ids))
            for ids in token_ids(self._task.tokenizer, texts, special=False)
        ]
        found = iter(self._scored([pair for some in pieces for pair in some]))
        return [sum(next(found)[0] for _ in some) for some in pieces]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model writes after each text, up to one of the task's stop strings.

        Raises:
            DataError: a task wants to have it written in a way that there is none for.
        """
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(place)
        found: dict[int, str] = {}
        for key, members in groups.items():
            options = generation_options(json.loads(key))
            for start in range(0, len(members), _CHUNK):
                places = members[start : start + _CHUNK]
                examples = [Example(input=str(requests[place].args[0])) for place in places]
                answers = self._writer.predict_examples(examples, **options)
                found.update(zip(places, (a.output for a in answers), strict=True))
                self._tell(len(found), len(requests))
        return [found[place] for place in range(len(requests))]

    def _pairs(self, asked: Sequence[tuple[str, str]]) -> list[Pair]:
        """Tokens to read and tokens to measure. Spaces at a text's end belong to what follows."""
        moved = [
            (text.rstrip(), text[len(text.rstrip()) :] + continuation)
            for text, continuation in asked
        ]
        texts = list(dict.fromkeys(text for text, _ in moved))
        known = dict(zip(texts, self._encode(texts), strict=True))
        if not self._decoder:
            answers = token_ids(
                self._task.tokenizer, [tail for _, tail in moved], special=False, target=True
            )
            return [
                self._fitting(known[text], int32(answer))
                for (text, _), answer in zip(moved, answers, strict=True)
            ]
        wholes = self._encode([text + tail for text, tail in moved])
        return [
            self._fitting(*self._divided(known[text], whole) if tail else (whole, whole[:0]))
            for (text, tail), whole in zip(moved, wholes, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> list[Ids]:
        return [item.input_ids for item in self._task.encode([Example(input=t) for t in texts])]

    def _divided(self, text: Ids, whole: Ids) -> Pair:
        if len(whole) > len(text):
            return (text if len(text) else self._start()), whole[len(text) :]
        return (whole[:-1] if len(whole) > 1 else self._start()), whole[-1:]  # all grown together

    def _start(self) -> Ids:
        """What is read before a text's first token."""
        own = self._encode([""])[0]
        if len(own):
            return own
        first = self._task.tokenizer.bos_token_id
        return int32([self._task.end_ids[0] if first is None else first])

    def _fitting(self, text: Ids, answer: Ids) -> Pair:
        room = self._limit - (len(answer) if self._decoder else 0)
        if room < 1 or len(answer) > self._limit:
            raise ModelError(
                f"a task asks for a continuation of {len(answer)} tokens, and the model reads "
                f"{self._limit}", value=self._writer.name, fix="Choose other tasks",
            )  # fmt: skip
        self.cut += len(text) > room
        return text[-room:], answer

    def _windows(self, ids: Ids) -> list[Pair]:
        start = self._start()
        reached = min(len(ids), self._limit - len(start))
        pairs = [(start, ids[:reached])]
        while reached < len(ids):
            end = min(reached + self._limit - 1, len(ids))
            pairs.append((ids[max(0, end - self._limit) : reached], ids[reached:end]))
            reached = end
        return pairs

    def _scored(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        """Each text is read once for all that follow it; of nothing, the likelihood is 1."""
        groups: dict[bytes, list[int]] = {}
        for place, (text, answer) in enumerate(pairs):
            if len(answer):
                groups.setdefault(text.tobytes(), []).append(place)
        members = list(groups.values())
        found = [(0.0, True)] * len(pairs)
        done = len(pairs) - sum(map(len, members))
        for start in range(0, len(members), _CHUNK):
            part = members[start : start + _CHUNK]
            rows = [Candidates(pairs[m[0]][0], tuple(pairs[i][1] for i in m)) for m in part]
            for places, scored in zip(part, self._scorer.with_greedy(rows), strict=True):
                for place, value, greedy in zip(places, *scored, strict=True):
                    found[place] = float(value), bool(greedy)
            done += sum(map(len, part))
            self._tell(done, len(pairs))
        return found

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)


def generation_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The harness's generation arguments as options of ``predict``.

    Raises:
        DataError: there is no such option.
    """
    known = {"until", "do_sample", "num_beams", *_MOST_TOKENS, *_SAMPLING}
    unknown = sorted(set(given) - known)
    if unknown:
        raise DataError(
            "a task asks for a way of writing that is not known here", value=unknown[0],
            fix="Choose other tasks",
        )  # fmt: skip
    most = next((given[name] for name in _MOST_TOKENS if given.get(name) is not None), None)
    until = given.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    temperature = given.get("temperature")
    sampled = given.get("do_sample")
    sampled = bool(temperature) if sampled is None else sampled and temperature != 0
    options: dict[str, Any] = {
        "max_new_tokens": MAX_NEW_TOKENS if most is None else int(most),
        "stop": tuple(stop for stop in stops if stop),
        "num_beams": given.get("num_beams"),
    }
    if sampled:
        options |= {name: given.get(name) for name in _SAMPLING}
        options["temperature"] = 1.0 if temperature is None else float(temperature)
    return options
