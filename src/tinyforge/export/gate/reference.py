"""What the source says, step by step: plain PyTorch, one row at a time, nothing padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.export.gate.tolerance import Floats
from tinyforge.inference.modes import answering, plain_model
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example
from tinyforge.tasks.decoder import unanswered

Ids = NDArray[np.int64]

PROMPT = 256
"""Tokens of a prompt that are read, at most: a whole context would make the comparison slow."""


@dataclass(frozen=True)
class Steps:
    """A row as a model answers it.

    Attributes:
        prompt: ids that it reads, shape (n,).
        answer: ids that the source writes, each the likeliest; shape (m,).
        logits: what the source says before each of them, float32, shape (m, vocabulary).
        start: the decoder's first id behind an encoder; None for a decoder.
        row: which of the examples it is.
        whole: whether nothing was cut from the prompt.
    """

    prompt: Ids
    answer: Ids
    logits: Floats
    start: int | None
    row: int
    whole: bool


def room_for(model: TorchModel, most: int) -> int:
    """Tokens of an answer that are compared: ``most``, or half of a short context."""
    return min(most, (model.max_positions or 2 * most) // 2)


def write_steps(model: TorchModel, examples: Sequence[Example], room: int) -> list[Steps]:
    """What a generating model answers, with the logits of every step.

    Rows without a single token are left out. The answer ends with an end token or after ``room``.
    """
    task, start = model.task, start_id(model)
    limit = min(PROMPT, (model.max_positions or PROMPT + room) - room)
    found = []
    for row, encoded in enumerate(task.encode([unanswered(example) for example in examples])):
        cut = task.cut(encoded, limit, limit)
        if not len(cut.input_ids):
            continue
        prompt = cut.input_ids.astype(np.int64)
        logits, answer = _step(model, prompt, room)
        found.append(Steps(prompt, answer, logits, start, row, not cut.cut_input))
    return found


def follow_torch(model: TorchModel, steps: Steps) -> Floats:
    """What another PyTorch model says before each token of the source's answer."""
    logits, _ = _step(model, steps.prompt, len(steps.answer), forced=steps.answer)
    return logits


def end_ids(model: TorchModel) -> set[int]:
    """The tokens at which a source's answer ends."""
    own = getattr(plain_model(model.model), "generation_config", None)
    listed = getattr(own, "eos_token_id", None)
    more = listed if isinstance(listed, list | tuple) else [listed]
    return {*model.task.end_ids, *(int(i) for i in more if i is not None)}


def start_id(model: TorchModel) -> int | None:
    """The first id that a decoder behind an encoder reads; None for a decoder."""
    if model.task.family != "encoder-decoder":
        return None
    plain = plain_model(model.model)
    for holder in (getattr(plain, "generation_config", None), plain.config):
        value = getattr(holder, "decoder_start_token_id", None)
        if value is not None:
            return int(value)
    return None


def _step(
    model: TorchModel, prompt: Ids, most: int, forced: Ids | None = None
) -> tuple[Floats, Ids]:
    """Logits and tokens of an answer, token by token on the cache of the ones before."""
    plain, ends, start = plain_model(model.model), end_ids(model), start_id(model)
    device = plain.device
    ids = torch.from_numpy(prompt)[None].to(device)
    rows, written = [], []
    with answering(plain):
        if start is None:
            given: dict[str, Any] = {"input_ids": ids}
        else:
            given = {
                "encoder_outputs": plain.get_encoder()(input_ids=ids, return_dict=True),
                "attention_mask": torch.ones_like(ids),
                "decoder_input_ids": torch.tensor([[start]], device=device),
            }
        name = "input_ids" if start is None else "decoder_input_ids"
        for place in range(most):
            out = plain(**given, use_cache=True, return_dict=True)
            row = out.logits[0, -1].float().cpu().numpy()
            token = int(row.argmax()) if forced is None else int(forced[place])
            rows.append(row)
            written.append(token)
            if forced is None and token in ends:
                break
            given[name] = torch.tensor([[token]], device=device)
            given["past_key_values"] = out.past_key_values
    return np.stack(rows).astype(np.float32), np.array(written, dtype=np.int64)
