"""How likely each of several answers to one text is, with the text read only once.

The plain way reads text and answer together, once for every answer. The shared way reads the text
once and keeps the attention's keys and values; each answer is then read on top of them. An answer
of one token costs nothing more at all. The two ways give the same numbers within rounding, which
is tried out on the first texts; a model whose cache works otherwise is asked the plain way.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from tinyforge.errors import ModelError
from tinyforge.inference.batching import WRITTEN, by_length, reading_budget
from tinyforge.inference.candidates import Candidates, Ids
from tinyforge.inference.modes import answering, on_device, plain_model
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks.tokens import pad, pad_id

log = logging.getLogger("tinyforge")

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LOGITS = 2**24
"""Logits computed at one time, at most: 64 MB in float32."""


class AnswerScorer:
    """Measures answers with one model.

    Args:
        model: a Hugging Face model that writes text.
        task: how it reads: its family, and how rows are padded.
    """

    def __init__(self, model: Any, task: Any) -> None:
        self._model, self._task = model, task
        self._plain_model = plain_model(model)
        self._decoder = task.family == "decoder"
        self._pad = pad_id(task.tokenizer, self._plain_model.config)
        self._takes = set(inspect.signature(type(self._plain_model).forward).parameters)
        self._shares: bool | None = None

    def log_likelihoods(self, rows: Sequence[Candidates]) -> list[Floats]:
        """The natural-log likelihood of every answer of every row, summed over its tokens.

        Raises:
            ModelError: the model's outputs are not finite numbers.
        """
        return [scores for scores, _ in self._found(rows, greedy=False)]

    def with_greedy(self, rows: Sequence[Candidates]) -> list[tuple[Floats, Flags]]:
        """``log_likelihoods``, and of every answer whether each of its tokens is the likeliest.

        Raises:
            ModelError: the model's outputs are not finite numbers.
        """
        return self._found(rows, greedy=True)

    def _found(self, rows: Sequence[Candidates], *, greedy: bool) -> list[tuple[Floats, Flags]]:
        if not rows:
            return []
        with answering(self._model):
            if self._shares is None:
                self._shares = self._agrees(rows)
            if self._shares:
                found = self._shared(rows)
            else:
                chosen = self._greedily(rows) if greedy else [np.zeros(0, bool)] * len(rows)
                found = list(zip(self._plainly(rows), chosen, strict=True))
        if not all(np.isfinite(row).all() for row, _ in found):
            raise ModelError(
                "the model's outputs are not finite numbers, so it is damaged",
                fix="Copy, download or train it again",
            )
        return found

    def _agrees(self, rows: Sequence[Candidates]) -> bool:
        """Whether the shared way gives the plain way's numbers on the shortest and longest row."""
        if not self._decoder and self._start() is None:
            return False
        ranked = sorted(rows, key=lambda row: len(row.prompt))
        trial = [ranked[0], ranked[-1]]
        try:
            shared = [scores for scores, _ in self._shared(trial)]
        except (RuntimeError, IndexError, TypeError, AttributeError, ValueError, KeyError) as error:
            log.info(f"labels are scored one by one: the model's cache cannot be shared ({error})")
            return False
        exact = next(self._model.parameters()).dtype == torch.float32
        tolerance = 1e-3 if exact else 3e-2
        same = all(
            np.allclose(a, b, rtol=tolerance, atol=tolerance)
            for a, b in zip(shared, self._plainly(trial), strict=True)
        )
        if not same:
            log.info("labels are scored one by one: the model's cache gives other numbers")
        return same

    def _plainly(self, rows: Sequence[Candidates]) -> list[Floats]:
        items = [self._item(row.prompt, answer) for row in rows for answer in row.answers]
        lengths = [max(len(item.input_ids), len(item.labels)) for item in items]
        device = self._plain_model.device
        scores = np.zeros(len(items))
        for batch in by_length(lengths, rows=len(items), tokens=reading_budget(device.type)):
            tensors = on_device(self._task.collate([items[i] for i in batch]), device)
            scores[batch] = -self._task.row_losses(self._model, tensors).double().cpu().numpy()
        ends = np.cumsum([len(row.answers) for row in rows])
        return list(np.split(scores, ends[:-1]))

    def _greedily(self, rows: Sequence[Candidates]) -> list[Flags]:
        """Whether each token of each answer is the likeliest one, every answer read on its own."""
        found = []
        for row in rows:
            flags = []
            for answer in row.answers:
                item = self._task.collate([self._item(row.prompt, answer)])
                logits = self._plain_model(**on_device(item, self._plain_model.device)).logits
                last = logits[0, -len(answer) - 1 : -1] if self._decoder else logits[0]
                flags.append(bool((last.argmax(-1).cpu().numpy() == answer).all()))
            found.append(np.array(flags))
        return found

    def _item(self, prompt: Ids, answer: Ids) -> Encoded:
        if not self._decoder:
            return Encoded(prompt, answer)
        read = np.full(len(prompt), IGNORED, dtype=np.int32)
        return Encoded(np.concatenate([prompt, answer]), np.concatenate([read, answer]))

    def _shared(self, rows: Sequence[Candidates]) -> list[tuple[Floats, Flags]]:
        found: dict[int, tuple[Floats, Flags]] = {}
        lengths = [len(row.prompt) for row in rows]
        budget = reading_budget(self._plain_model.device.type)
        for batch in by_length(lengths, rows=len(rows), tokens=budget):
            some = self._batch([rows[i] for i in batch])
            found.update(zip(batch, some, strict=True))
        return [found[i] for i in range(len(rows))]

    def _batch(self, rows: Sequence[Candidates]) -> list[tuple[Floats, Flags]]:
        """Prompts read once; then all answers of more than one token, some at a time."""
        read, logits = self._read([row.prompt for row in rows])
        first = logits.float().log_softmax(-1).double().cpu().numpy()
        scores = [
            first[at, [int(answer[0]) for answer in row.answers]] for at, row in enumerate(rows)
        ]
        best = first.max(-1)
        greedy = [row == best[at] for at, row in enumerate(scores)]
        pairs = [
            (at, place)
            for at, row in enumerate(rows)
            for place, answer in enumerate(row.answers)
            if len(answer) > 1
        ]
        lengths = [len(rows[at].answers[place]) - 1 for at, place in pairs]
        longest = max(lengths, default=1)
        kept = WRITTEN // (read.mask.shape[1] + longest)
        most = max(1, min(kept, LOGITS // (logits.shape[-1] * longest)))
        budget = reading_budget(self._plain_model.device.type)
        for batch in by_length(lengths, rows=most, tokens=budget):
            chosen = [pairs[i] for i in batch]
            answers = [rows[at].answers[place] for at, place in chosen]
            rest = self._rest(read, [at for at, _ in chosen], answers)
            for (at, place), value, likeliest in zip(chosen, *rest, strict=True):
                scores[at][place] += value
                greedy[at][place] &= likeliest
        return list(zip(scores, greedy, strict=True))

    def _read(self, prompts: Sequence[Ids]) -> tuple[_Read, Tensor]:
        """The prompts, kept for their answers, and the logits of each answer's first token."""
        ids, mask = pad(prompts, self._pad, left=self._decoder)
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        batch = on_device(batch, self._plain_model.device)
        more: dict[str, Any] = {"use_cache": True}
        if self._decoder:
            if "position_ids" in self._takes:
                more["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
            if "logits_to_keep" in self._takes:
                more["logits_to_keep"] = 1
        else:
            start = torch.full((len(prompts), 1), self._start() or 0)
            more["decoder_input_ids"] = start.to(self._plain_model.device)
        out = self._plain_model(**batch, **more)
        states = None if self._decoder else out.encoder_last_hidden_state
        return _Read(out.past_key_values, batch["attention_mask"], states), out.logits[:, -1]

    def _rest(
        self, read: _Read, rows: Sequence[int], answers: Sequence[Ids]
    ) -> tuple[Floats, Flags]:
        """The log-likelihood of each answer's tokens after its first, and whether each of them is
        the likeliest."""
        device = self._plain_model.device
        ids, mask = (
            torch.from_numpy(part).to(device) for part in pad([a[:-1] for a in answers], self._pad)
        )
        wanted = torch.from_numpy(pad([a[1:] for a in answers], 0)[0]).to(device)
        index = torch.tensor(rows, device=device)
        seen = read.mask[index]
        inputs: dict[str, Any] = {
            "past_key_values": _select(read.cache, index), "use_cache": True,
        }  # fmt: skip
        if self._decoder:
            inputs |= {"input_ids": ids, "attention_mask": torch.cat([seen, mask], dim=1)}
            if "position_ids" in self._takes:
                places = torch.arange(ids.shape[1], device=device) * mask  # padding stays in reach
                inputs["position_ids"] = seen.sum(1, keepdim=True) + places
        else:
            states = BaseModelOutput(last_hidden_state=read.states[index])
            inputs |= {
                "encoder_outputs": states, "attention_mask": seen, "decoder_input_ids": ids,
            }  # fmt: skip
        logits = self._plain_model(**inputs).logits.float()
        chosen = logits.gather(2, wanted[:, :, None])[:, :, 0]
        greedy = ((chosen == logits.amax(-1)) | (mask == 0)).all(1)
        each = logits.log_softmax(-1).gather(2, wanted[:, :, None])[:, :, 0]
        return (each.double() * mask).sum(1).cpu().numpy(), greedy.cpu().numpy()

    def _start(self) -> int | None:
        """The token that an encoder-decoder's answers begin after; None where none is named."""
        start = getattr(self._plain_model.config, "decoder_start_token_id", None)
        return None if start is None else int(start)


@dataclass(frozen=True, slots=True)
class _Read:
    """Prompts that were read.

    Attributes:
        cache: the attention's keys and values.
        mask: 1 where a prompt has a token, shape (rows, longest).
        states: what an encoder made of them; None for a decoder.
    """

    cache: Any
    mask: Tensor
    states: Any


def _select(cache: Any, rows: Tensor) -> Any:
    """A cache of some rows, any of them any number of times; the given one stays as it is."""
    if isinstance(cache, EncoderDecoderCache):
        both = (cache.self_attention_cache, cache.cross_attention_cache)
        return EncoderDecoderCache(*(_select(part, rows) for part in both))
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(rows)
    return chosen
