"""Writing answers with an encoder-decoder or a decoder, in batches or token by token."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from tinyforge.config.evaluate import GenerateSettings
from tinyforge.inference.batching import WRITTEN, by_length
from tinyforge.inference.choice import Choice, sources_of_noise
from tinyforge.inference.json_answers import Guide
from tinyforge.inference.modes import answering, on_device, plain_model
from tinyforge.inference.sampling import mean_probability
from tinyforge.inference.stop_strings import StopStrings
from tinyforge.inference.streaming import TokenQueue, tokens_from
from tinyforge.inference.writing import Answer, Writing
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.predictions import Piece
from tinyforge.tasks.tokens import pad, pad_id

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


class Writer(Writing):
    """Writes with one PyTorch model and task.

    Args:
        max_positions: tokens that the model's positions reach to; None where nothing bounds them.
    """

    def __init__(self, model: Any, tokenizer: Any, task: Any, max_positions: int | None) -> None:
        self._model = model
        self._plain = plain_model(model)
        own = getattr(self._plain, "generation_config", None)
        listed = getattr(own, "eos_token_id", None)
        ends = listed if isinstance(listed, list | tuple) else [listed]
        super().__init__(tokenizer, task, max_positions, ends)
        self._pad = pad_id(tokenizer, self._plain.config)

    def answers(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> list[Answer]:
        """One answer for each fitted prompt, in order."""
        answers: list[Answer | None] = [None] * len(prompts)
        rooms = [self.room(prompt, settings) for prompt in prompts]
        for room in sorted(set(rooms), reverse=True):
            members = [i for i, each in enumerate(rooms) if each == room]
            lengths = [len(prompts[i].input_ids) + room for i in members]
            for batch in by_length(lengths, rows=settings.batch_size, tokens=WRITTEN):
                rows = [members[i] for i in batch]
                some = self._write([prompts[i] for i in rows], room, settings)
                for row, answer in zip(rows, some, strict=True):
                    answers[row] = answer
        return [answer for answer in answers if answer is not None]

    def stream(self, prompt: Encoded, settings: GenerateSettings) -> Generator[Piece, None, None]:
        """Pieces of one answer while it is written in a thread of its own.

        Closing the iterator ends the thread after at most one more token. What goes wrong in the
        thread is raised here.
        """
        room, choice = self.room(prompt, settings), self._choice([prompt], settings)
        if choice is None:
            raise ValueError("beams are not streamed")
        transcript = self.transcript(prompt, settings)

        def write(queue: TokenQueue, closed: threading.Event) -> None:
            self._run([prompt], room, settings, choice, streamer=queue, closed=closed)

        with closing(tokens_from(write)) as tokens:
            for step, token in enumerate(tokens):
                piece = transcript.push(token, choice.chances(step))
                if piece is not None:
                    yield piece
                if transcript.over:
                    break
        logs = [float(step[0]) for step in choice.steps]
        yield transcript.finish(choice.guides[0] if choice.guides else None, logs)

    def _write(
        self, prompts: Sequence[Encoded], room: int, settings: GenerateSettings
    ) -> list[Answer]:
        choice = self._choice(prompts, settings)
        written = self._run(prompts, room, settings, choice).tolist()
        answers = [
            self._answer(prompt, row, ids, settings, choice)
            for row, (prompt, ids) in enumerate(zip(prompts, written, strict=True))
        ]
        if choice is not None:
            steps = torch.stack(choice.steps, dim=1).double()
            sums = [float(steps[row, : each.count].sum()) for row, each in enumerate(answers)]
        else:
            kept = [ids[: each.count] for ids, each in zip(written, answers, strict=True)]
            sums = [-nll for nll in self._rescore(prompts, kept)]
        return [
            replace(answer, confidence=mean_probability(total, answer.count))
            for answer, total in zip(answers, sums, strict=True)
        ]

    def _answer(
        self,
        prompt: Encoded,
        row: int,
        ids: list[int],
        settings: GenerateSettings,
        choice: Choice | None,
    ) -> Answer:
        """One row's answer, without its confidence."""
        if choice is None or (settings.logprobs is None and not choice.guides):
            return self.read(prompt, ids, settings)
        guide = choice.guides[row] if choice.guides else None
        if guide is not None:  # a row whose JSON is closed is filled up until the others end too
            ids = ids[: guide.taken]
        told = [choice.chances(step, row) for step in range(len(ids))]
        chances = [each for each in told if each is not None]
        return self.read(prompt, ids, settings, chances=chances, guide=guide)

    def _choice(self, prompts: Sequence[Encoded], settings: GenerateSettings) -> Choice | None:
        """How these rows' tokens are chosen; None: by beam search.

        Raises:
            SettingError: there is a JSON schema, and it cannot be followed.
        """
        if settings.num_beams > 1:
            return None
        sources = sources_of_noise([prompt.input_ids.tolist() for prompt in prompts], settings)
        guides = [guide for _ in prompts if (guide := self.guide(settings)) is not None]
        return Choice(settings, sources, guides)

    def _run(
        self,
        prompts: Sequence[Encoded],
        room: int,
        settings: GenerateSettings,
        choice: Choice | None,
        *,
        streamer: TokenQueue | None = None,
        closed: threading.Event | None = None,
    ) -> Tensor:
        """New ids, shape (rows, up to ``room``), padded on the right."""
        rows = [prompt.input_ids for prompt in prompts]
        ids, mask = pad(rows, self._pad, left=self.decoder)
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        halt = _Halt(self.tokenizer, settings.stop, closed, choice.guides if choice else ())
        with answering(self._plain):
            written: Tensor = self._plain.generate(
                **on_device(batch, self._plain.device),
                generation_config=self._rules(room, settings),
                logits_processor=[choice] if choice else None,
                stopping_criteria=StoppingCriteriaList([halt]),
                streamer=streamer,
            )
        return written[:, ids.shape[1] if self.decoder else 1 :].cpu()

    def _rules(self, room: int, settings: GenerateSettings) -> GenerationConfig:
        ends = list(self.ends)
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
        return {} if self.decoder or start is None else {"decoder_start_token_id": start}

    def _rescore(self, prompts: Sequence[Encoded], answers: Sequence[list[int]]) -> list[float]:
        """Negative log-likelihood of each answer, for beams, whose steps belong to no one row."""
        items = []
        for prompt, answer in zip(prompts, answers, strict=True):
            ids = np.asarray(answer, dtype=np.int32)
            if self.decoder:
                read = np.full(len(prompt.input_ids), IGNORED, dtype=np.int32)
                labels = np.concatenate([read, ids])
                items.append(Encoded(np.concatenate([prompt.input_ids, ids]), labels))
            else:
                items.append(Encoded(prompt.input_ids, ids))
        with answering(self._model):
            batch = on_device(self.task.collate(items), self._plain.device)
            losses: NDArray[np.float64] = (
                self.task.row_losses(self._model, batch).double().cpu().numpy()
            )
        return [float(loss) for loss in losses]


class _Halt(StoppingCriteria):  # type: ignore[misc]
    """Ends a row whose last tokens hold a stop string or close its JSON, and all rows once nobody
    listens.

    It keeps nothing between steps, because beam search reorders its rows.
    """

    def __init__(
        self,
        tokenizer: Any,
        stops: Sequence[str],
        closed: threading.Event | None,
        guides: Sequence[Guide],
    ) -> None:
        self._stops, self._closed = StopStrings(tokenizer, stops), closed
        self._guides = guides
        self._start: int | None = None

    def __call__(self, input_ids: Tensor, scores: Any, **unused: Any) -> Tensor:
        if self._start is None:
            self._start = input_ids.shape[1] - 1
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if self._closed is not None and self._closed.is_set():
            return done.logical_not()
        if self._stops:
            for row, ids in enumerate(input_ids[:, self._start :].tolist()):
                done[row] = self._stops.end(ids)
        for row, guide in enumerate(self._guides):
            guide.over = guide.over or bool(done[row])  # what follows is not of the answer
            done[row] = guide.over
        return done
