"""Writing answers with an encoder-decoder or a decoder, in batches or token by token."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.batching import WRITTEN, by_length
from tinyforge.inference.detokenize import INCOMPLETE, AnswerText, decode
from tinyforge.inference.modes import answering, on_device, plain_model
from tinyforge.inference.sampling import Choice, generators
from tinyforge.inference.streaming import TokenQueue, tokens_from
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks.tokens import pad, pad_id

MAX_NEW_TOKENS = 64
"""Tokens written at most, where neither the user nor the model's training says more."""

UNBOUNDED_LENGTH = 2_048
"""Tokens read at most by a model without a bound of its own (T5): memory grows with the square."""

NEUTRAL: dict[str, Any] = {
    # Whatever preferences a model's generation_config.json holds, answers are greedy and plain
    # unless the user asks for more; its start, end, forced and forbidden tokens stay.
    "do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "typical_p": 1.0,
    "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0, "length_penalty": 1.0,
    "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "min_new_tokens": 0,
    "early_stopping": False, "num_return_sequences": 1, "use_cache": True,
    "return_dict_in_generate": False, "output_scores": False, "output_logits": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written.

    Attributes:
        confidence: the geometric mean of its tokens' probabilities under the model itself (no
            temperature, top-k or top-p), the end token included where the model wrote one; None
            where the model's numbers are not finite.
        finish_reason: ``stop`` (end token or stop string) or ``length``.
    """

    text: str
    confidence: float | None
    finish_reason: str


class Writer:
    """Writes with one model and task.

    Args:
        max_positions: tokens that the model's positions reach to; None where nothing bounds them.
    """

    def __init__(self, model: Any, tokenizer: Any, task: Any, max_positions: int | None) -> None:
        self._model, self._tokenizer, self._task = model, tokenizer, task
        self._plain = plain_model(model)
        self._decoder = task.family == "decoder"
        self._context = max_positions
        own = getattr(self._plain, "generation_config", None)
        listed = getattr(own, "eos_token_id", None)
        more = listed if isinstance(listed, list | tuple) else [listed]
        self._ends = tuple(dict.fromkeys([*task.end_ids, *(int(i) for i in more if i is not None)]))
        self._pad = pad_id(tokenizer, self._plain.config)

    def fit(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Encoded]:
        """Prompts cut to what the model can read, with room left for the answer.

        A decoder's answer follows its prompt: as many positions as it may have tokens are kept
        free, half of the context at most, and the prompt's beginning goes first.
        """
        limit = self._context or max(UNBOUNDED_LENGTH, self._task.max_length or 0)
        if self._decoder:
            limit -= min(self._longest(settings), limit // 2)
        cut = [self._task.cut(prompt, limit, limit) for prompt in prompts]
        return [prompt if len(prompt.input_ids) else self._start(prompt) for prompt in cut]

    def answers(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Answer]:
        """One answer for each fitted prompt, in order."""
        answers: list[Answer | None] = [None] * len(prompts)
        rooms = [self._room(prompt, settings) for prompt in prompts]
        for room in sorted(set(rooms), reverse=True):
            members = [i for i, each in enumerate(rooms) if each == room]
            lengths = [len(prompts[i].input_ids) + room for i in members]
            for batch in by_length(lengths, rows=settings.batch_size, tokens=WRITTEN):
                rows = [members[i] for i in batch]
                some = self._write([prompts[i] for i in rows], room, settings)
                for row, answer in zip(rows, some, strict=True):
                    answers[row] = answer
        return [answer for answer in answers if answer is not None]

    def stream(self, prompt: Encoded, settings: GenerateSettings) -> Iterator[str]:
        """Pieces of one answer while it is written in a thread of its own.

        Closing the iterator ends the thread after at most one more token. What goes wrong in the
        thread is raised here.
        """
        text = self._text(prompt, settings)
        room = self._room(prompt, settings)

        def write(queue: TokenQueue, closed: threading.Event) -> None:
            self._run([prompt], room, settings, streamer=queue, closed=closed)

        with closing(tokens_from(write)) as tokens:
            for token in tokens:
                if token in self._ends:
                    break
                if piece := text.push([token]):
                    yield piece
                if text.stopped:
                    break
        if rest := text.finish():
            yield rest

    def _longest(self, settings: GenerateSettings) -> int:
        return settings.max_new_tokens or self._task.max_new_tokens or MAX_NEW_TOKENS

    def _room(self, prompt: Encoded, settings: GenerateSettings) -> int:
        longest = self._longest(settings)
        if self._context is None:
            return longest
        taken = len(prompt.input_ids) if self._decoder else 1
        return max(1, min(longest, self._context - taken))

    def _start(self, prompt: Encoded) -> Encoded:
        """A decoder has to read something before it writes: its start token, else its end token."""
        first = self._tokenizer.bos_token_id
        ids = np.array([self._ends[0] if first is None else first], dtype=np.int32)
        return Encoded(ids, np.full(1, IGNORED, dtype=np.int32), prompt.cut_input)

    def _text(self, prompt: Encoded, settings: GenerateSettings) -> AnswerText:
        continues = self._task.name == "language-model"
        before = prompt.input_ids.tolist() if continues else None
        return AnswerText(self._tokenizer, before, settings.stop)

    def _write(
        self, prompts: Sequence[Encoded], room: int, settings: GenerateSettings
    ) -> list[Answer]:
        written, choice = self._run(prompts, room, settings)
        kept, texts, reasons = [], [], []
        for prompt, ids in zip(prompts, written.tolist(), strict=True):
            text, count, reason = self._read(prompt, ids, settings)
            texts.append(text)
            kept.append(ids[:count])
            reasons.append(reason)
        if choice is not None:
            steps = torch.stack(choice.steps, dim=1).double()
            sums = [float(steps[row, : len(ids)].sum()) for row, ids in enumerate(kept)]
        else:
            sums = [-nll for nll in self._rescore(prompts, kept)]
        return [
            Answer(text, _mean_probability(total, len(ids)), reason)
            for text, ids, total, reason in zip(texts, kept, sums, reasons, strict=True)
        ]

    def _read(
        self, prompt: Encoded, ids: list[int], settings: GenerateSettings
    ) -> tuple[str, int, str]:
        """An answer's text, how many tokens it took, and why it ended."""
        end = next((at for at, token in enumerate(ids) if token in self._ends), None)
        body = ids if end is None else ids[:end]
        if not settings.stop:
            text = self._text(prompt, settings)
            said = text.push(body) + text.finish()
            if INCOMPLETE not in said:
                return said, *_ending(ids, end)
        # Token by token, as streamed: the first stop string to be complete ends the answer, and
        # bytes that are no character must not change what was said before them.
        text, said = self._text(prompt, settings), ""
        for count, token in enumerate(body, start=1):
            said += text.push([token])
            if text.stopped:
                return said + text.finish(), count, "stop"
        said += text.finish()
        return (said, len(body), "stop") if text.stopped else (said, *_ending(ids, end))

    def _run(
        self,
        prompts: Sequence[Encoded],
        room: int,
        settings: GenerateSettings,
        *,
        streamer: TokenQueue | None = None,
        closed: threading.Event | None = None,
    ) -> tuple[Tensor, Choice | None]:
        """New ids, shape (rows, up to ``room``), padded on the right."""
        rows = [prompt.input_ids for prompt in prompts]
        ids, mask = pad(rows, self._pad, left=self._decoder)
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        device = self._plain.device
        choice = None
        if settings.num_beams == 1:
            choice = Choice(settings, generators([r.tolist() for r in rows], settings, device))
        with answering(self._plain):
            written = self._plain.generate(
                **on_device(batch, device),
                generation_config=self._rules(room, settings),
                logits_processor=[choice] if choice else None,
                stopping_criteria=StoppingCriteriaList(
                    [_Halt(self._tokenizer, settings.stop, closed)]
                ),
                streamer=streamer,
            )
        return written[:, ids.shape[1] if self._decoder else 1 :].cpu(), choice

    def _rules(self, room: int, settings: GenerateSettings) -> GenerationConfig:
        ends = list(self._ends)
        return GenerationConfig(
            **NEUTRAL,
            num_beams=settings.num_beams,
            max_new_tokens=room,
            eos_token_id=ends[0] if len(ends) == 1 else ends,
            pad_token_id=self._pad,
            **self._first_tokens(),
        )

    def _first_tokens(self) -> dict[str, int]:
        """The decoder's start token, which some models name in their config only."""
        own = getattr(self._plain.generation_config, "decoder_start_token_id", None)
        start = (
            own if own is not None else getattr(self._plain.config, "decoder_start_token_id", None)
        )
        return {} if self._decoder or start is None else {"decoder_start_token_id": start}

    def _rescore(self, prompts: Sequence[Encoded], answers: Sequence[list[int]]) -> list[float]:
        """Negative log-likelihood of each answer, for beams, whose steps belong to no one row."""
        items = []
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = np.asarray(answer, dtype=np.int32)
            if self._decoder:
                read = np.full(len(prompt.input_ids), IGNORED, dtype=np.int32)
                labels = np.concatenate([read, ids])
                items.append(Encoded(np.concatenate([prompt.input_ids, ids]), labels))
            else:
                items.append(Encoded(prompt.input_ids, ids))
        with answering(self._model):
            batch = on_device(self._task.collate(items), self._plain.device)
            losses: NDArray[np.float64] = (
                self._task.row_losses(self._model, batch).double().cpu().numpy()
            )
        return [float(loss) for loss in losses]


class _Halt(StoppingCriteria):  # type: ignore[misc]
    """Ends a row whose last tokens hold a stop string, and all rows once nobody listens.

    It keeps nothing between steps, because beam search reorders its rows.
    """

    def __init__(
        self, tokenizer: Any, stops: Sequence[str], closed: threading.Event | None
    ) -> None:
        self._tokenizer, self._stops, self._closed = tokenizer, tuple(stops), closed
        longest = max((len(stop.encode("utf-8", "surrogatepass")) for stop in stops), default=0)
        self._window = longest + 4  # a byte is a token at the least
        self._start: int | None = None

    def __call__(self, input_ids: Tensor, scores: Any, **unused: Any) -> Tensor:
        if self._start is None:
            self._start = input_ids.shape[1] - 1
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if self._closed is not None and self._closed.is_set():
            return done.logical_not()
        if self._stops:
            tails = input_ids[:, self._start :][:, -self._window :].tolist()
            for row, tail in enumerate(tails):
                text = decode(self._tokenizer, tail)
                done[row] = any(stop in text for stop in self._stops)
        return done


def _ending(ids: Sequence[int], end: int | None) -> tuple[int, str]:
    """How many tokens were written, an end token included, and why no more."""
    return (len(ids), "length") if end is None else (end + 1, "stop")


def _mean_probability(total: float, count: int) -> float | None:
    """The geometric mean of probabilities from the sum of their logarithms."""
    if not count:
        return None
    return math.exp(min(0.0, total / count)) if math.isfinite(total) else None
