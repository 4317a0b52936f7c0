"""What a model in training makes of some unseen text, for a person to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tinyforge.corpus.batches import VALIDATION_SEED
from tinyforge.inference.modes import answering
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.sizes import max_positions
from tinyforge.records.encoded import IGNORED, Encoded

START_CHARACTERS = 60
"""Of the text that a decoder goes on with."""

SHOWN_TOKENS = 40
"""Of the text in which a T5 or a BERT fills gaps."""

TEMPERATURE = 0.8


def sample(model: Any, task: Any, text: str, *, tokens: int, seed: int) -> dict[str, str]:
    """``{"text": …}``: what follows the beginning of ``text``, or its gaps filled in brackets.

    The same weights give the same sample.

    Args:
        tokens: written, at most; 0: no sample.
    """
    if not tokens or not text.strip():
        return {}
    if task.family == "decoder":
        return {"text": _continued(model, task, text, tokens, seed)}
    most = min(SHOWN_TOKENS, (max_positions(model) or SHOWN_TOKENS + task.added) - task.added)
    ids = task.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:most]
    random = np.random.Generator(np.random.Philox(VALIDATION_SEED))
    (item,) = task.examples(np.array(ids, dtype=np.int32), np.zeros(0, dtype=np.int64), random)
    fill = _written if task.family == "encoder-decoder" else _told
    return {"text": fill(model, task, item, tokens)}


def _continued(model: Any, task: Any, text: str, tokens: int, seed: int) -> str:
    start = " ".join(text.split())[:START_CHARACTERS].rpartition(" ")[0] or text[:START_CHARACTERS]
    writer = TorchModel.from_loaded(model, task.tokenizer, task)
    answer = writer.predict(start, max_new_tokens=tokens, temperature=TEMPERATURE, seed=seed)
    return f"{start}[{answer.output}]"


def _told(model: Any, task: Any, item: Encoded, tokens: int) -> str:
    """A BERT's best guess for each hidden token."""
    batch = task.collate([item])
    device = next(model.parameters()).device
    with answering(model):
        logits = model(input_ids=batch["input_ids"].to(device)).logits[0]
    guesses = logits.argmax(-1).cpu().numpy()
    hidden = item.labels != IGNORED
    decode = task.tokenizer.decode
    parts = [
        f"[{decode([int(guess)]).strip()}]" if gap else decode([int(read)])
        for guess, read, gap in zip(guesses, item.input_ids, hidden, strict=True)
    ]
    return " ".join(parts[1:-1]).replace(" ##", "")


def _written(model: Any, task: Any, item: Encoded, tokens: int) -> str:
    """What a T5 writes, each sentinel's part in its place."""
    device = next(model.parameters()).device
    ids = torch.from_numpy(item.input_ids.astype(np.int64))[None].to(device)
    with answering(model):
        answer = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens,
            do_sample=False, num_beams=1,
        )[0].tolist()  # fmt: skip
    filled: dict[int, list[int]] = {}
    place: list[int] = []
    for token in answer[1:]:
        if token in task.end_ids:
            break
        if token in task.sentinels:
            place = filled.setdefault(token, [])
        else:
            place.append(token)
    decode = task.tokenizer.decode
    return "".join(
        f" [{decode(filled.get(int(read), [])).strip()}]"
        if int(read) in task.sentinels
        else decode([int(read)])
        for read in item.input_ids[:-1]
    )
